"""Worlds in which Stripe ends complaints before they are disputes."""

from simulator.report import story_of
from simulator.scenario import FaultKind, Scenario
from simulator.week import simulate


def test_what_stripe_gives_back_to_prevent_a_dispute_is_due_to_nobody() -> None:
    kinds = frozenset({FaultKind.PREVENTED_DISPUTES})
    outcome = simulate(Scenario(2, purchases=6, faults=kinds, operators=True))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    assert outcome.faults[FaultKind.PREVENTED_DISPUTES] > 0
