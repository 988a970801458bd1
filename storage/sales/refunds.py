"""Refunds that we ask Stripe for: the loser's of a sold-out race, and those that an operator wants."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, func, insert, select

from domain.states import PurchaseStatus, RefundState
from storage.history import advance, note
from storage.sales.purchases import SOLD_OUT, required
from storage.sales.returns import returned
from storage.statements import fixed
from storage.tables import refunds

_OPEN = (RefundState.INTENDED, RefundState.PENDING)


def under_way(conn: Connection, purchase_id: int) -> Row[Any] | None:
    """The refund that we asked for, or are about to, and whose outcome is open; there is one at most."""
    ours = (refunds.c.purchase_id == purchase_id) & refunds.c.idempotency_key.is_not(None)
    return conn.execute(select(refunds).where(ours, refunds.c.state.in_(_OPEN))).one_or_none()


def gives_all_back(conn: Connection, purchase: Row[Any]) -> bool:
    """Whether nothing is left of a sale by the refunds that have succeeded, or still may, whoever asked for them."""
    return bool(int(conn.scalar(_STANDING, {"of": purchase.id}) or 0) >= purchase.gross_amount)


_STANDING = select(func.sum(refunds.c.amount)).where(
    refunds.c.purchase_id == bindparam("of"), refunds.c.state != fixed(RefundState.FAILED)
)


def loser(conn: Connection, purchase_id: int) -> Row[Any] | None:
    """The sale, if it lost a race and its money is still to be asked for: the loser gets everything back, once, by
    whomever. While his bank asks for it, the bank decides; what failed is tried anew when a person asks, or when the
    bank gives him nothing."""
    row = required(conn, purchase_id)
    if row.status == PurchaseStatus.REFUNDED or returned(conn, purchase_id).contested >= row.gross_amount:
        return None
    ours = (refunds.c.purchase_id == purchase_id) & refunds.c.idempotency_key.is_not(None)
    asked = conn.scalar(select(refunds.c.id).where(ours, refunds.c.state != RefundState.FAILED).limit(1))
    return row if row.status_reason == SOLD_OUT and asked is None else None


def intend_for_loser(
    conn: Connection, purchase_id: int, left: int, uuid: UUID, key: UUID, now: datetime
) -> Row[Any] | None:
    """What is under way, or is to be by now: `left` cents for the loser, as much as Stripe still holds of his payment;
    of one that holds nothing any more Stripe is asked for all, and says so."""
    row = loser(conn, purchase_id)
    if row is not None:
        intend(conn, purchase_id, SOLD_OUT, min(left, row.gross_amount) or row.gross_amount, uuid, key, now)
    return under_way(conn, purchase_id)


def intend(conn: Connection, purchase_id: int, reason: str, amount: int, uuid: UUID, key: UUID, now: datetime) -> None:
    """Commit a refund's intent (cents), key and exact parameters, before the call. The caller knows that none is under
    way."""
    row = required(conn, purchase_id)
    params = {
        "payment_intent": row.stripe_payment_intent_id,
        "amount": amount,
        "metadata": {"refund": str(uuid), "reason": reason},
    }
    refund_id = conn.scalar(
        insert(refunds)
        .values(
            uuid=str(uuid),
            purchase_id=purchase_id,
            idempotency_key=str(key),
            params=json.dumps(params, sort_keys=True),
            reason=reason,
            amount=amount,
            state=RefundState.INTENDED,
            created_at=now,
        )
        .returning(refunds.c.id)
    )
    note(conn, "refund", refund_id or 0, None, RefundState.INTENDED, now, reason)


def waiting(conn: Connection) -> int:
    """How many refunds Stripe has not settled."""
    return int(conn.scalar(select(func.count()).select_from(refunds).where(refunds.c.state.in_(_OPEN))) or 0)


def refused(conn: Connection, refund_id: int, code: str, now: datetime) -> None:
    """Stripe refused it for good: nothing was made, and another may be asked for."""
    ended(conn, refund_id, f"Stripe refused: {code}", now)


def ended(conn: Connection, refund_id: int, why: str, now: datetime) -> None:
    """Nothing was made, nor will be."""
    advance(conn, refund_id, RefundState.FAILED, now, why)
