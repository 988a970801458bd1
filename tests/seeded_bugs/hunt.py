"""Looks for the first seed at which the simulator finds a seeded bug."""

import time
from dataclasses import dataclass
from functools import cache

from pytest import MonkeyPatch

from simulator.scenario import Scenario
from simulator.week import simulate
from tests.seeded_bugs.bugs import Bug

SEEDS_MOST = 1_000
MISFITS = ("TypeError", "AttributeError", "NameError")
"""A call that the code makes otherwise since the bug was written fails at once, and shows nothing but that."""


@dataclass(frozen=True)
class Hit:
    """At which seed, by which words of the checker, and what that world cost of processor time."""

    seed: int
    found: str
    seconds: float


def hunt(bug: Bug, seeds: int = SEEDS_MOST, first: int = 1, *, against_itself: bool = True) -> Hit | None:
    """Short worlds of one week, one after the other; None when none of them shows the bug.

    `against_itself`: a world counts only if nothing is found in it without the bug.
    """
    for seed in range(first, first + seeds):
        began = time.process_time()
        with MonkeyPatch.context() as patch:
            bug.plant(patch)
            found = played(bug.scenario(seed))
        seconds = time.process_time() - began
        if found is not None and any(misfit in found for misfit in MISFITS):
            raise AssertionError(f"{bug.name}: what is planted fits the code no more: {found}")
        if found is not None and (not against_itself or is_sound(bug.scenario(seed))):
            return Hit(seed, found, seconds)
    return None


@cache
def is_sound(scenario: Scenario) -> bool:
    """Whether nothing is found without a bug. Many bugs show in the same world."""
    return played(scenario) is None


def played(scenario: Scenario) -> str | None:
    """The first that is found broken."""
    try:
        violations = simulate(scenario).violations
    except Exception as error:  # noqa: BLE001 (with a bug the world itself may be unable to go on)
        return f"{type(error).__name__}: {error}"
    return violations[0] if violations else None
