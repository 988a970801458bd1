"""Simulated weeks of all faults, world after world."""

import time

from simulator.report import Report
from simulator.runs import WEEKS_OF_A_WORLD
from simulator.scenario import ALL_FAULTS, Scenario
from simulator.week import simulate
from tests.proof.document import Account
from tests.proof.progress import Progress

PURCHASES = 10
"""A week, at most: what goes wrong between few sales is found sooner, and told in fewer words."""


def run(weeks: int, seed: int, seconds: float) -> Account:
    """Worlds with and without people at work, until there are so many weeks or the time is over."""
    report, end, number = Report(), time.monotonic() + seconds, seed
    progress = Progress("weeks", weeks, "weeks")
    while report.weeks < weeks and time.monotonic() < end:
        length = min(1 + number % WEEKS_OF_A_WORLD, weeks - report.weeks)
        outcome = simulate(Scenario(number, length, PURCHASES, ALL_FAULTS, operators=number % 3 != 0))
        progress.add(report, outcome, report.weeks + length)
        number += 1
    told = report.as_json()
    figures = {
        "seeds": f"from {seed} on, a world each",
        "purchases": f"{told['purchases']}, {PURCHASES} a week at most",
        "faults injected": told["faults_injected"],
        "deaths of processes": told["deaths"],
        "points at which a process could have died": told["crash_points"],
        "seconds a simulated week": f"{told['seconds'] / max(1, told['weeks']):.2f}",
        "trace hash": f"`{told['trace_hash']}`",
    }
    rows = [f"| {kind} | {times} |" for kind, times in told["faults"].items()]
    return Account(
        f"{weeks} weeks",
        f"{told['weeks']} weeks in {told['worlds']} worlds",
        told["seconds"],
        figures,
        [f"seed {one['seed']}, {one['weeks']} week(s): {one['found']}" for one in told["violations"]],
        "\n".join(["| fault | times |", "|---|---|", *rows]),
    )
