"""Money that comes back: refunds and disputes as facts that only move forward, and what is due after them.

Everything here is a function of the set of facts, never of the order in which they became known.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from domain.split import due_after_refunds, share_out
from domain.states import RefundState

OPEN_DISPUTES = frozenset(
    {
        "warning_needs_response",
        "warning_under_review",
        "needs_response",
        "under_review",
        "appeal_needs_response",
        "appeal_under_review",
    }
)
"""Stripe's dispute statuses while its outcome is open."""
LOST_DISPUTE = "lost"
REAL_DISPUTE_RANK, CLOSED_RANK = 2, 3


@dataclass(frozen=True, slots=True)
class Returns:
    """What went back to the buyer of one purchase, in cents: by refunds, and by refunds and lost disputes together.

    `contested` adds what open disputes would take if they were lost.
    """

    refunded: int
    returned: int
    contested: int


def refund_state(status: str) -> RefundState:
    """Stripe's refund status as ours: what is not settled is pending, whatever its name."""
    return {
        "succeeded": RefundState.SUCCEEDED,
        "failed": RefundState.FAILED,
        "canceled": RefundState.FAILED,
    }.get(status, RefundState.PENDING)


def dispute_rank(status: str) -> int:
    """How far a dispute is: an inquiry, then a real one, then closed. Events of a lower rank are old news."""
    if status in OPEN_DISPUTES:
        return 1 if status.startswith("warning") else REAL_DISPUTE_RANK
    return CLOSED_RANK


def returns(gross: int, refunded: Collection[int], lost: Collection[int], open_disputes: Collection[int]) -> Returns:
    """Amounts of succeeded refunds, lost disputes and open ones; together they count up to `gross`."""
    by_refunds = min(gross, sum(refunded))
    returned = min(gross, sum(refunded) + sum(lost))
    contested = min(gross, sum(refunded) + sum(lost) + sum(open_disputes))
    return Returns(by_refunds, returned, contested)


def dues(creator_amount: int, gross: int, returned: int, shares: Mapping[int, int]) -> dict[int, int]:
    """What each recipient is due after `returned` cents went back: the due total split anew by the same shares."""
    return share_out(due_after_refunds(creator_amount, gross, returned), shares)


@dataclass(frozen=True, slots=True)
class Position:
    """One payout as netting sees it. Base units: `due` now, `paid` on chain, `netted` by debts."""

    due: int
    paid: int
    netted: int

    @property
    def debt(self) -> int:
        """What its recipient got beyond his due."""
        return max(0, self.paid + self.netted - self.due) if self.paid else 0

    @property
    def payable(self) -> int:
        """What is still to be paid."""
        return max(0, self.due - self.paid - self.netted)
