"""Every kind of fault alone, and every two together, over one week's batch of the simulator's creators."""

from collections.abc import Callable, Iterator
from itertools import combinations

from simulator.cores import cores, in_order
from simulator.progress import Progress
from simulator.report import Report
from simulator.scenario import FaultKind, Scenario
from simulator.until import Until
from simulator.week import simulate
from tests.proof.document import Account

PURCHASES = 24
"""The fewest for which the simulator gathers three creators."""


def kinds() -> Iterator[frozenset[FaultKind]]:
    """Singles first: what one alone breaks is told without the other."""
    for size in (1, 2):
        yield from (frozenset(chosen) for chosen in combinations(FaultKind, size))


def run(seed: int, until: Until) -> Account:
    """A world for each, until all have been or the time is over."""
    report, wanted = Report(), list(kinds())
    progress = Progress("pairs", len(wanted), "worlds")
    asked = (Scenario(seed + number, 1, PURCHASES, chosen, operators=True) for number, chosen in enumerate(wanted))
    for number, outcome in enumerate(until.each(in_order(simulate, asked, cores())), start=1):
        progress.add(report, outcome, number)
    named: Callable[[int], str] = lambda number: " with ".join(sorted(wanted[number - seed]))  # noqa: E731
    singles = len(FaultKind)
    return Account(
        f"each of {singles} kinds alone and each of {len(wanted) - singles} pairs, a week of three creators each",
        f"{min(singles, report.worlds)} kinds alone, {max(0, report.worlds - singles)} pairs",
        until.taken,
        {
            "seeds": f"from {seed} on, in the order of the kinds' names in `simulator/scenario.py`",
            "purchases": report.purchases,
            "faults injected": sum(report.faults.values()),
            "points at which a process could have died": report.crash_points,
        },
        [f"seed {one['seed']}, {named(one['seed'])}: {one['found']}" for one in report.violations],
    )
