"""What a long run has come to so far, on the standard error: it may take hours, and nobody need sit before it."""

import sys
import time

from simulator.report import Report
from simulator.week import Outcome

QUIET_SECONDS = 30.0
"""Between two lines, unless something was found: that is told at once, with the seed to play it again."""


class Progress:
    """Lines, where no terminal shows a bar."""

    def __init__(self, part: str, wanted: int, unit: str, quiet_seconds: float = QUIET_SECONDS) -> None:
        self._part, self._wanted, self._unit = part, wanted, unit
        self._quiet_seconds, self._told = quiet_seconds, time.monotonic()

    def add(self, report: Report, outcome: Outcome, done: int) -> None:
        """`done`: of the wanted units, with this one."""
        report.add(outcome)
        for found in outcome.violations:
            self._tell(f"seed {outcome.scenario.seed}: {found}")
        self.at(done, f"{len(report.violations)} violations", at_once=bool(outcome.violations))

    def at(self, done: int, besides: str = "", *, at_once: bool = False) -> None:
        """So far it is, of what is wanted; told when the last line is old enough, or `at_once`."""
        if at_once or time.monotonic() > self._told + self._quiet_seconds:
            self._told = time.monotonic()
            self._tell(f"{done} of {self._wanted} {self._unit}" + (f", {besides}" if besides else ""))

    def _tell(self, line: str) -> None:
        print(f"{self._part}: {line}", file=sys.stderr, flush=True)  # noqa: T201
