"""A check as a value, and what it finds. A check passes by returning; `Failed` and `Skipped` say how to mend it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from agent.contract.ground import Ground

Answer = str | int | bool | None | list[str]


class Verdict(StrEnum):
    PASS = "pass"  # noqa: S105 (a word)
    FAIL = "fail"
    SKIP = "skip"


class Failed(Exception):
    """The outside does not do what this program counts on."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


class Skipped(Exception):
    """It could not be found out: something is missing, or nobody was there to do a person's part."""

    def __init__(self, text: str, mend: str) -> None:
        super().__init__(text)
        self.mend = mend


@dataclass(frozen=True, slots=True)
class Finding:
    """What was seen, and the answers to open questions under names of their own."""

    text: str
    answers: Mapping[str, Answer] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Check:
    """`needed`: live does not start without it. `human`: it asks somebody to do something, and is skipped if nobody is
    there. `settles` is the question that it answers, `after` the checks whose findings it stands on."""

    name: str
    settles: str
    run: Callable[[Ground], Awaitable[Finding]]
    needed: bool = True
    human: bool = False
    after: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Result:
    """One check's end. `mend` is empty when it passed."""

    check: Check
    verdict: Verdict
    text: str
    mend: str = ""
    answers: Mapping[str, Answer] = field(default_factory=dict)

    @property
    def stops_live(self) -> bool:
        return self.check.needed and self.verdict is not Verdict.PASS
