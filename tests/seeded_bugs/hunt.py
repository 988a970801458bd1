"""Looks for the first seed at which the simulator finds a seeded bug."""

from dataclasses import dataclass

from pytest import MonkeyPatch

from simulator.scenario import Scenario
from simulator.week import simulate
from tests.seeded_bugs.bugs import Bug

SEEDS_MOST = 1_000


@dataclass(frozen=True)
class Hit:
    """At which seed, and by which words of the checker."""

    seed: int
    found: str


def hunt(bug: Bug, seeds: int = SEEDS_MOST, first: int = 1) -> Hit | None:
    """Short worlds of one week, one after the other; None when none of them shows the bug."""
    for seed in range(first, first + seeds):
        with MonkeyPatch.context() as patch:
            bug.plant(patch)
            try:
                outcome = simulate(Scenario(seed, 1, bug.purchases, bug.faults, operators=True))
            except Exception as error:  # noqa: BLE001 (the world itself can't go on with the bug)
                return Hit(seed, f"{type(error).__name__}: {error}")
        if outcome.violations:
            return Hit(seed, outcome.violations[0])
    return None
