"""Worlds in which creators give their USDC accounts away, or have them frozen."""

from simulator.report import story_of
from simulator.scenario import FaultKind, Scenario
from simulator.week import simulate


def test_nothing_is_paid_into_an_account_that_was_given_away_and_all_is_paid_once_it_is_back() -> None:
    kinds, rail = frozenset({FaultKind.GONE_ACCOUNTS}), (("AGENT_RAIL", "circle"),)
    outcome = simulate(Scenario(2, purchases=6, faults=kinds, operators=True, settings=rail))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert outcome.faults[FaultKind.GONE_ACCOUNTS] > 0
    assert any("is given to" in line for line in outcome.story)
