"""Runs the simulator for a person who watches: progress while it goes on, figures at its end, failures as stories."""

import gc
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from simulator.cores import in_order
from simulator.progress import Progress as ProgressLines
from simulator.report import Report, story_of
from simulator.runs import faults_named, scenarios
from simulator.scenario import Scenario
from simulator.until import Stop, Until
from simulator.week import Outcome, simulate

STORIES_SHOWN = 3
BAD_OPTION = 2
ENDED = 130
"""As of what Ctrl-C has ended."""


@dataclass(frozen=True, slots=True)
class Wish:
    """The command's options."""

    weeks: int
    seed: int
    faults: str
    operators: bool
    purchases: int
    report: Path | None
    replay: bool
    payout_mode: str = "weekly"
    processes: int = 1

    def again(self, scenario: Scenario) -> str:
        """The command that plays one world again."""
        words = ["python", "main.py", "simulate", "--weeks", str(scenario.weeks), "--seed", str(scenario.seed)]
        words += ["--faults", self.faults, "--purchases", str(self.purchases)]
        words += ["--payout-mode", self.payout_mode] if self.payout_mode != "weekly" else []
        return shlex.join([*words, *(["--operators"] if self.operators else []), "--replay"])


def run(wish: Wish) -> int:
    """The exit code: 0 without a violation, 1 with one, 2 for an option that makes no sense, 130 when Ctrl-C has ended
    it before all was played: what was is reported."""
    console, errors = Console(highlight=False, soft_wrap=True), Console(stderr=True, highlight=False, soft_wrap=True)
    try:
        faults = faults_named(wish.faults)
    except ValueError as error:
        errors.print(f"simulate: --faults: {error}", markup=False)
        return BAD_OPTION
    report = Report()
    gc.freeze()  # what was imported stays: nobody need look at it again for garbage
    worlds = list(scenarios(wish.weeks, wish.seed, wish.purchases, faults, wish.operators, wish.payout_mode))
    if wish.replay:
        for outcome in _replayed(worlds, console):
            report.add(outcome)
        ended = False
    else:
        ended = _played(wish, worlds, report, errors)
    _tell(wish, report, console)
    if wish.report is not None:
        report.write(wish.report)
    return 1 if report.violations else ENDED if ended else 0


def _played(wish: Wish, worlds: Sequence[Scenario], report: Report, errors: Console) -> bool:
    """World after world, into the report; whether somebody ended it early."""
    lines = None if errors.is_terminal else ProgressLines("simulate", wish.weeks, "weeks")
    columns = (TextColumn("weeks"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    outcomes = in_order(simulate, worlds, min(wish.processes, len(worlds)))
    with Stop() as stop, Progress(*columns, console=errors, disable=lines is not None, transient=True) as progress:
        task = progress.add_task("", total=wish.weeks)
        for outcome in Until(stop).each(outcomes):
            if lines is None:
                report.add(outcome)
            else:
                lines.add(report, outcome, report.weeks + outcome.scenario.weeks)
            progress.advance(task, outcome.scenario.weeks)
    return report.weeks < wish.weeks


def _tell(wish: Wish, report: Report, console: Console) -> None:
    for outcome in report.failed[:STORIES_SHOWN]:
        for line in story_of(outcome, wish.again(outcome.scenario)):
            console.print(line, markup=False)
    if len(report.failed) > STORIES_SHOWN:
        console.print(f"and {len(report.failed) - STORIES_SHOWN} more world(s) with violations; --report lists them")
    for name, value in report.as_json().items():
        if name not in ("violations", "faults"):
            console.print(f"{name}: {value}", markup=False)
    console.print(f"violations: {len(report.violations)}", markup=False)


def _replayed(worlds: Iterable[Scenario], console: Console) -> Iterator[Outcome]:
    """One after the other, each line as it happens."""
    for scenario in worlds:
        yield simulate(scenario, lambda line: console.print(line, markup=False), Path(f"simulated-{scenario.seed}.db"))
