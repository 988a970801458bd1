"""Weeks in which everything goes wrong: a slice of what `make soak` does by the thousand."""

import json
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from agent.cli import app
from simulator.report import story_of
from simulator.runs import faults_named, scenarios
from simulator.scenario import ALL_FAULTS, FaultKind, Scenario
from simulator.week import simulate

ZONES = ("NZST-12NZDT,M9.5.0,M4.1.0/3", "EST5EDT,M3.2.0,M11.1.0")
"""Auckland and New York, written out, so that no table of zones is needed: another day, and another hour each half
year."""
SEEDS = (25, *(pytest.param(seed, marks=pytest.mark.soak) for seed in (21, 23)))


@pytest.mark.timeout(600)
@pytest.mark.parametrize("seed", SEEDS)
def test_a_week_of_all_faults_breaks_no_invariant_and_is_the_same_week_twice(seed: int) -> None:
    scenario = Scenario(seed, weeks=1, purchases=2, faults=ALL_FAULTS, operators=True)
    first, second = simulate(scenario), simulate(scenario)
    assert first.violations == [], "\n".join(story_of(first, "simulate"))
    assert first.trace_hash == second.trace_hash
    assert first.crash_points == second.crash_points > 0


def test_another_seed_is_another_week() -> None:
    assert simulate(Scenario(1, purchases=1)).trace_hash != simulate(Scenario(2, purchases=1)).trace_hash


def test_without_faults_everybody_is_served_also_where_two_must_approve() -> None:
    outcome = simulate(Scenario(3, weeks=1, purchases=4, operators=True, settings=(("AGENT_APPROVERS", "2"),)))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert outcome.purchases > 2
    assert not outcome.faults
    assert outcome.deaths == 0


@pytest.mark.timeout(600)
def test_who_pays_around_the_cut_off_is_paid_for_by_the_right_monday() -> None:
    late = frozenset({FaultKind.LATE_BUYERS})
    outcome = simulate(Scenario(3, weeks=1, purchases=3, faults=late, operators=True))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert outcome.faults[FaultKind.LATE_BUYERS] > 0


@pytest.fixture
def in_its_own_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    yield monkeypatch
    monkeypatch.undo()
    time.tzset()


def test_a_monday_is_the_same_monday_wherever_the_machine_stands(in_its_own_zone: pytest.MonkeyPatch) -> None:
    scenario = Scenario(3, weeks=1, purchases=2, faults=frozenset({FaultKind.LATE_BUYERS}), operators=True)
    hashes = set()
    for zone in ("UTC0", *ZONES):
        in_its_own_zone.setenv("TZ", zone)
        time.tzset()
        hashes.add(simulate(scenario).trace_hash)
    assert len(hashes) == 1


def test_the_command_reports_what_the_issue_of_a_run_is(tmp_path: Path) -> None:
    place = tmp_path / "report.json"
    ran = CliRunner().invoke(
        app, ["simulate", "--weeks", "1", "--seed", "4", "--faults", "none", "--purchases", "1", "--report", str(place)]
    )
    assert ran.exit_code == 0, ran.output
    told = json.loads(place.read_text())
    assert told["weeks"] == 1
    assert told["violations"] == []
    assert (told["faults_injected"], told["faults"]) == (0, {})
    assert {"purchases", "crash_points", "trace_hash", "seconds"} <= told.keys()


def test_a_fault_that_does_not_exist_is_named_with_those_that_do() -> None:
    ran = CliRunner().invoke(app, ["simulate", "--faults", "rain"])
    assert ran.exit_code == 2
    assert "rain" in ran.output
    assert "lost_answers" in ran.output
    with pytest.raises(ValueError, match="no such fault"):
        faults_named("")
    assert faults_named("all") == ALL_FAULTS


def test_many_weeks_are_worlds_of_up_to_four() -> None:
    made = list(scenarios(10, 7, 50, frozenset(), True))
    assert [(one.seed, one.weeks) for one in made] == [(7, 4), (8, 4), (9, 2)]


@pytest.mark.soak
def test_a_week_in_real_time_under_all_faults_breaks_no_invariant() -> None:
    scenario = Scenario(31, weeks=1, purchases=2, faults=ALL_FAULTS, operators=True, payout_mode="realtime")
    outcome = simulate(scenario)
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
