"""What a long run tells where no terminal shows a bar."""

from dataclasses import replace

import pytest

from simulator.progress import Progress
from simulator.report import Report
from simulator.scenario import Scenario
from simulator.week import simulate


def test_a_run_without_a_terminal_tells_how_far_it_is_and_at_once_what_it_finds(
    capsys: pytest.CaptureFixture[str],
) -> None:
    outcome, report = simulate(Scenario(5, purchases=2)), Report()
    patient, eager = Progress("simulate", 9, "weeks"), Progress("simulate", 9, "weeks", quiet_seconds=-1)
    patient.add(report, outcome, 1)
    assert capsys.readouterr().err == ""
    eager.add(report, outcome, 2)
    assert capsys.readouterr().err == "simulate: 2 of 9 weeks, 0 violations\n"
    patient.add(report, replace(outcome, violations=["I6: paid twice"]), 3)
    told = capsys.readouterr().err
    assert told == "simulate: seed 5: I6: paid twice\nsimulate: 3 of 9 weeks, 1 violations\n"
    assert report.weeks == 3
