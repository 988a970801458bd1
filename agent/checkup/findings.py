"""What a check says."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    OK = "ok"
    WARNING = "warning"
    """It works, and could be better."""
    FAILED = "failed"
    """The daemon can't do its work like this."""
    SKIPPED = "skipped"
    """It can't be checked now; the text says why."""


@dataclass(frozen=True, slots=True)
class Finding:
    """`check` names what was looked at, `text` what was seen, `remedy` what to do; it is empty when all is well."""

    check: str
    state: State
    text: str
    remedy: str = ""


def ok(check: str, text: str) -> Finding:
    return Finding(check, State.OK, text)


def warning(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, State.WARNING, text, remedy)


def failed(check: str, text: str, remedy: str) -> Finding:
    return Finding(check, State.FAILED, text, remedy)


def skipped(check: str, text: str) -> Finding:
    return Finding(check, State.SKIPPED, text)
