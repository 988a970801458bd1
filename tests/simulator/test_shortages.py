"""Worlds in which something is short for a while: room in the blocks, or money at Stripe for refunds."""

import pytest

from simulator.report import story_of
from simulator.scenario import FaultKind, Scenario
from simulator.week import Outcome, simulate

STORM, PENDING = frozenset({FaultKind.FULL_BLOCKS}), frozenset({FaultKind.PENDING_REFUNDS})


def played(seed: int, faults: frozenset[FaultKind], *, payout_mode: str = "weekly") -> Outcome:
    outcome = simulate(Scenario(seed, purchases=3, faults=faults, operators=True, payout_mode=payout_mode))
    assert outcome.violations == [], "\n".join(story_of(outcome, "simulate"))
    return outcome


@pytest.mark.timeout(600)
@pytest.mark.parametrize("payout_mode", ["weekly", pytest.param("realtime", marks=pytest.mark.soak)])
def test_what_no_block_takes_is_minted_and_paid_when_the_storm_is_over(payout_mode: str) -> None:
    outcome = played(1, STORM, payout_mode=payout_mode)
    assert outcome.faults[FaultKind.FULL_BLOCKS] > 0
    assert not any("retries mint" in line for line in outcome.story)


@pytest.mark.timeout(600)
def test_refunds_that_stripe_leaves_pending_count_as_they_end() -> None:
    outcome = played(3, PENDING)
    assert outcome.faults[FaultKind.PENDING_REFUNDS] > 0
    assert any("after all" in line for line in outcome.story)
