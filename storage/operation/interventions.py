"""What an operator may do to one purchase: hold and unhold it, give the buyer's money back, let its creators be paid.

None of these can say that money was sent: a payout becomes `distributed` only by a transfer that was read back. All of
them raise RequestError 404 `purchase_not_found`, and 409 with a code that says why not. They run in the caller's
transaction.
"""

import hashlib
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, select

from domain.errors import RequestError
from domain.states import PurchaseStatus
from storage.history import note
from storage.payouts import recipients
from storage.people.users import required
from storage.sales import holds, refunds
from storage.sales import purchases as sales
from storage.sales.returns import DISPUTE_HOLD, NO_EDITION, settle_returns
from storage.tables import purchases
from storage.work import enqueue, revive

OPERATOR_HOLD = "operator: "
"""Begins the reason of a hold that a person asked for, so that no text of his can pass for a dispute's."""
OPERATOR_REFUND = "asked for by an operator"


def version(row: Row[Any], payouts: Sequence[Row[Any]]) -> str:
    """A short name of what a purchase is now: another one as soon as its money or its states are others."""
    facts = [row.status, row.status_reason, row.hold_reason, row.refunded_amount, row.stripe_fee, row.released_at]
    parts = [(part.id, part.state, part.amount, part.netted_amount) for part in payouts]
    return hashlib.sha256(repr((facts, parts)).encode()).hexdigest()[:16]


def hold(conn: Connection, purchase_id: int, reason: str, now: datetime) -> None:
    """Hold what is unpaid of a purchase. A transfer that has begun is not touched. A dispute's hold becomes a
    person's, who may have another cause than the bank: it lasts until he ends it, and a dispute that is open then
    holds the sale again."""
    row = _required(conn, purchase_id)
    if row.hold_reason is not None and not row.hold_reason.startswith(DISPUTE_HOLD):
        raise RequestError(409, "held_already", f"purchase {purchase_id} is held already: {row.hold_reason}")
    recipients.lock_of_sale(conn, purchase_id)
    holds.take_over(conn, purchase_id, OPERATOR_HOLD + reason, now)
    holds.hold(conn, purchase_id, OPERATOR_HOLD + reason, now)
    note(conn, "hold", purchase_id, None, "held", now, reason)


def unhold(conn: Connection, purchase_id: int, reason: str, now: datetime) -> None:
    """End a hold that a person, or a missing edition, has made. Under an open dispute it stays held by that one."""
    row = _required(conn, purchase_id)
    if row.hold_reason is None:
        raise RequestError(409, "not_held", f"purchase {purchase_id} is not held")
    if row.hold_reason.startswith(DISPUTE_HOLD):
        raise RequestError(409, "held_by_dispute", "this hold ends when Stripe closes the dispute")
    if row.hold_reason == NO_EDITION and not row.edition_held:
        if not sales.hold_edition(conn, purchase_id, now):
            raise RequestError(409, "no_edition_left", "there is still no edition for this sale: refund it instead")
        enqueue(conn, "mint", purchase_id, now)
    recipients.lock_of_sale(conn, purchase_id)
    holds.release(conn, purchase_id, now)
    note(conn, "hold", purchase_id, "held", "released", now, reason)
    settle_returns(conn, purchase_id, f"unhold:{now.timestamp():.6f}", now)


def refund(conn: Connection, purchase_id: int, amount: int | None, uuid: UUID, key: UUID, now: datetime) -> int:
    """Commit the wish to give `amount` cents back (None: all that is left); the step asks Stripe. Returns the amount.

    What the creators were paid already becomes their debt, as with every refund.
    """
    row = _required(conn, purchase_id)
    if row.paid_at is None or row.stripe_payment_intent_id is None:
        raise RequestError(409, "not_paid", f"purchase {purchase_id} was never paid: {row.status}")
    if row.status_reason == sales.SOLD_OUT:
        raise RequestError(409, "refunded_anyway", "the loser of a sold-out race gets everything back by itself")
    if refunds.under_way(conn, purchase_id) is not None:
        raise RequestError(409, "refund_under_way", f"a refund of purchase {purchase_id} is under way; wait for it")
    left = row.gross_amount - row.refunded_amount
    wanted = left if amount is None else amount
    if not 0 < wanted <= left:
        raise RequestError(409, "too_much", f"{left} cents of purchase {purchase_id} are left to give back", "amount")
    refunds.intend(conn, purchase_id, OPERATOR_REFUND, wanted, uuid, key, now)
    revive(conn, "refund", purchase_id, now)
    return wanted


def release(conn: Connection, purchase_id: int, wait: timedelta, reason: str, now: datetime) -> None:
    """Let the creators be paid for a sale whose buyer has had no wallet for `wait`. The NFT still follows if he gets
    one."""
    row = _required(conn, purchase_id)
    buyer = required(conn, row.buyer_id)
    if row.released_at is not None:
        raise RequestError(409, "released_already", f"the creators of purchase {purchase_id} are paid already or soon")
    waits = row.status == PurchaseStatus.PAYMENT_COMPLETED and row.edition_held
    if not waits or sales.payout_address(buyer) is not None:
        raise RequestError(409, "not_waiting", f"purchase {purchase_id} does not wait for its buyer's wallet")
    if row.hold_reason is not None:
        raise RequestError(409, "on_hold", f"purchase {purchase_id} is held: {row.hold_reason}")
    if refunds.under_way(conn, purchase_id) is not None:
        raise RequestError(409, "refund_under_way", f"a refund of purchase {purchase_id} is under way")
    if row.paid_at is None or now - row.paid_at < wait:
        raise RequestError(409, "too_early", f"the buyer has {wait.days} days from his payment to set up a wallet")
    conn.execute(purchases.update().where(purchases.c.id == purchase_id).values(released_at=now))
    note(conn, "release", purchase_id, None, "released", now, reason)
    sales.open_payouts(conn, purchase_id, now)
    settle_returns(conn, purchase_id, "released", now)


def _required(conn: Connection, purchase_id: int) -> Row[Any]:
    row = conn.execute(select(purchases).where(purchases.c.id == purchase_id).with_for_update()).one_or_none()
    if row is None:
        raise RequestError(404, "purchase_not_found", f"there is no purchase {purchase_id}")
    return row
