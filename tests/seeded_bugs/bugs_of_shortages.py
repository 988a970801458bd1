"""Bugs in what waits for room in a block, for Stripe to have the money of a refund, or for nodes to know what was."""

from collections.abc import Callable
from typing import Any

from pytest import MonkeyPatch

import agent.steps.refund
import agent.steps.refunds_sync
import agent.steps.stripe_event
import indexer.absence
import payouts.rails.destination
from domain.dead_attempts import DeadAttempts
from domain.refunds import refund_state
from simulator.scenario import FaultKind as F
from tests.seeded_bugs.planting import bug


@bug(F.FULL_BLOCKS)
def gives_up_what_no_block_takes(patch: MonkeyPatch) -> None:
    """Attempts that have expired are counted as if they had failed."""
    patch.setattr(DeadAttempts, "are_too_many", lambda self, most: self.count >= most)


@bug(F.PENDING_REFUNDS)
def takes_a_pending_refund_for_given(patch: MonkeyPatch) -> None:
    _hear(patch, lambda told: "succeeded" if told == "pending" else told)


@bug(F.PENDING_REFUNDS)
def forgets_that_a_pending_refund_failed(patch: MonkeyPatch) -> None:
    """What was pending once stays so."""
    _hear(patch, lambda told: "pending" if told == "failed" else told)


@bug(F.PRUNED_NODES, rail="circle")
def believes_lists_that_end_where_a_ledger_was_pruned(patch: MonkeyPatch) -> None:
    async def require(node: Any, since: Any) -> None:
        """Whatever it keeps."""

    patch.setattr(indexer.absence, "_require_history", require)


@bug(F.GONE_ACCOUNTS, rail="circle")
def pays_into_whatever_account_stands_there(patch: MonkeyPatch) -> None:
    async def unfit(self: Any, case: Any) -> None:
        """Nothing is looked at."""

    patch.setattr(payouts.rails.destination.Destination, "unfit", unfit)


def _hear(patch: MonkeyPatch, heard: Callable[[str], str]) -> None:
    """Another status than Stripe has told."""
    for step in (agent.steps.refund, agent.steps.refunds_sync, agent.steps.stripe_event):
        patch.setattr(step, "refund_state", lambda told: refund_state(heard(told)))
