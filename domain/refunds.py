"""Money that comes back: refunds and disputes as facts that only move forward, and what is due after them.

Everything here is a function of the set of facts, never of the order in which they became known.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.split import due_after_refunds, share_out
from domain.states import RefundState

LOST_DISPUTE = "lost"
PREVENTED_DISPUTE = "prevented"
INQUIRY_CLOSED = "warning_closed"
CLOSED_DISPUTES = frozenset({INQUIRY_CLOSED, "won", LOST_DISPUTE, PREVENTED_DISPUTE})
"""Stripe's dispute statuses with an outcome. Any other is open, also one that Stripe adds some day: what is unpaid of a
sale is held rather than paid by a word that we don't know."""


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


def counted_as(status: str, withdrawn: int) -> str:
    """What a dispute counts as by its money: one that was prevented because the buyer was given his money back (Stripe
    calls it resolved) is lost, one that was blocked took nothing."""
    return LOST_DISPUTE if status == PREVENTED_DISPUTE and withdrawn > 0 else status


def is_open(status: str) -> bool:
    """Whether a dispute's outcome is to come."""
    return status not in CLOSED_DISPUTES


def dispute_rank(status: str) -> int:
    """How far a dispute is: an inquiry, its end, a real one, closed. Events of a lower rank are old news; the bank may
    dispute for real what an inquiry has ended for."""
    if is_open(status):
        return 1 if status.startswith("warning") else 3
    return 2 if status == INQUIRY_CLOSED else 4


def dispute_news(status: str, told_at: datetime, withdrawn: int, fee: int) -> tuple[int, datetime, int, int]:
    """Of two events of a dispute the one that compares lower is old news. Stripe's times are whole seconds: of two of
    one second that is the one before its money moved, which goes while the dispute is open or lost at once, and comes
    back when it is won."""
    rank = dispute_rank(status)
    sign = 1 if is_open(status) or status == LOST_DISPUTE else -1
    return rank, told_at, sign * withdrawn, sign * fee


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
    """One payout as netting sees it. Base units: `due` now, `paid` on chain, `netted` by debts, `settled` by hand: what
    a person has paid him beside it, less what he has paid back and what was forgiven."""

    due: int
    paid: int
    netted: int
    settled: int

    @property
    def got(self) -> int:
        return self.paid + self.netted + self.settled

    @property
    def debt(self) -> int:
        """What its recipient got beyond his due."""
        return max(0, self.got - self.due) if self.paid else 0

    @property
    def payable(self) -> int:
        """What is still to be paid."""
        return max(0, self.due - self.got)
