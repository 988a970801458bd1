"""Simulated weeks of all faults, world after world."""

from collections.abc import Iterator
from itertools import count

from simulator.cores import cores, in_order
from simulator.progress import Progress
from simulator.report import Report
from simulator.runs import WEEKS_OF_A_WORLD
from simulator.scenario import ALL_FAULTS, Scenario
from simulator.until import Until
from simulator.week import simulate
from tests.proof.document import Account

PURCHASES = 10
"""A week, at most: what goes wrong between few sales is found sooner, and told in fewer words."""


def run(weeks: int, seed: int, until: Until) -> Account:
    """Worlds with and without people at work, until there are so many weeks or the time is over."""
    report = Report()
    progress = Progress("weeks", weeks, "weeks")
    for outcome in until.each(in_order(simulate, _scenarios(weeks, seed), cores())):
        progress.add(report, outcome, report.weeks + outcome.scenario.weeks)
    told = report.as_json()
    figures = {
        "seeds": f"from {seed} on, a world each",
        "purchases": f"{told['purchases']}, {PURCHASES} a week at most",
        "faults injected": told["faults_injected"],
        "deaths of processes": told["deaths"],
        "points at which a process could have died": told["crash_points"],
        "seconds a simulated week": f"{told['seconds'] / max(1, told['weeks']):.2f} on one of {cores()} cores",
        "trace hash": f"`{told['trace_hash']}`",
    }
    rows = [f"| {kind} | {times} |" for kind, times in told["faults"].items()]
    return Account(
        f"{weeks} weeks",
        f"{told['weeks']} weeks in {told['worlds']} worlds",
        until.taken,
        figures,
        [f"seed {one['seed']}, {one['weeks']} week(s): {one['found']}" for one in told["violations"]],
        "\n".join(["| fault | times |", "|---|---|", *rows]),
    )


def _scenarios(weeks: int, seed: int) -> Iterator[Scenario]:
    for number in count(seed):
        if weeks <= 0:
            return
        length = min(1 + number % WEEKS_OF_A_WORLD, weeks)
        weeks -= length
        yield Scenario(number, length, PURCHASES, ALL_FAULTS, operators=number % 3 != 0)
