"""Worlds in which no node knows any more what has just been paid, and Circle has lost sight of it."""

from simulator.report import story_of
from simulator.scenario import FaultKind, Scenario
from simulator.week import simulate


def test_nobody_is_paid_again_where_all_nodes_have_pruned_what_was_paid() -> None:
    kinds, rail = frozenset({FaultKind.PRUNED_NODES}), (("AGENT_RAIL", "circle"),)
    outcome = simulate(Scenario(2, purchases=6, faults=kinds, operators=True, settings=rail))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert outcome.faults[FaultKind.PRUNED_NODES] > 0
    assert any("Circle loses sight" in line for line in outcome.story)
