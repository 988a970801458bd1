"""Refunds that we ask Stripe for: today the loser's of a sold-out race."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update

from domain.ledger import refund_succeeded as refund_entry
from domain.states import PurchaseStatus, RefundState
from storage.history import advance, note
from storage.ledger import post
from storage.purchases import required
from storage.tables import purchases, refunds


def by_purchase(conn: Connection, purchase_id: int) -> Row[Any] | None:
    """The refund of a purchase that is under way or done; a failed one does not count."""
    return conn.execute(
        select(refunds).where(refunds.c.purchase_id == purchase_id, refunds.c.state != RefundState.FAILED)
    ).one_or_none()


def intend(conn: Connection, purchase_id: int, reason: str, uuid: UUID, key: UUID, now: datetime) -> None:
    """Commit the refund's intent, key and exact parameters, before the call. Idempotent while one is under way."""
    row = required(conn, purchase_id)
    if by_purchase(conn, purchase_id) is not None:
        return
    params = {
        "payment_intent": row.stripe_payment_intent_id,
        "amount": row.gross_amount,
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
            amount=row.gross_amount,
            state=RefundState.INTENDED,
            created_at=now,
        )
        .returning(refunds.c.id)
    )
    note(conn, "refund", refund_id or 0, None, RefundState.INTENDED, now, reason)


def refund_pending(conn: Connection, row_id: int, stripe_refund_id: str | None, now: datetime) -> None:
    """Stripe took the refund on; its outcome comes by event."""
    if _state(conn, row_id) == RefundState.INTENDED:
        advance(conn, row_id, RefundState.PENDING, now, stripe_refund_id=stripe_refund_id)


def refund_succeeded(conn: Connection, row_id: int, stripe_refund_id: str | None, now: datetime) -> None:
    """The buyer has his money back: booked, and the purchase is `refunded`. Idempotent."""
    if _state(conn, row_id) not in (RefundState.INTENDED, RefundState.PENDING):
        return
    advance(conn, row_id, RefundState.SUCCEEDED, now, stripe_refund_id=stripe_refund_id)
    refund = conn.execute(select(refunds).where(refunds.c.id == row_id)).one()
    purchase = required(conn, refund.purchase_id)
    conn.execute(
        update(purchases)
        .where(purchases.c.id == purchase.id)
        .values(refunded_amount=purchases.c.refunded_amount + refund.amount)
    )
    if purchase.status == PurchaseStatus.PAYMENT_COMPLETED:
        advance(conn, purchase.id, PurchaseStatus.REFUNDED, now, refund.reason)
    post(conn, refund_entry(refund.uuid, purchase.stripe_payment_intent_id, refund.amount), now)


def refund_failed(conn: Connection, row_id: int, stripe_refund_id: str | None, now: datetime) -> None:
    """Stripe could not return the money. One that had succeeded is booked back; the step's job goes to a person."""
    state = _state(conn, row_id)
    if state == RefundState.FAILED:
        return
    advance(conn, row_id, RefundState.FAILED, now, stripe_refund_id=stripe_refund_id)
    if state != RefundState.SUCCEEDED:
        return
    refund = conn.execute(select(refunds).where(refunds.c.id == row_id)).one()
    purchase = required(conn, refund.purchase_id)
    conn.execute(
        update(purchases)
        .where(purchases.c.id == purchase.id)
        .values(refunded_amount=purchases.c.refunded_amount - refund.amount)
    )
    if purchase.status == PurchaseStatus.REFUNDED:
        advance(conn, purchase.id, PurchaseStatus.PAYMENT_COMPLETED, now, "the refund failed")
    key = f"failed:{refund.uuid}"
    post(conn, refund_entry(key, purchase.stripe_payment_intent_id, -refund.amount), now)


def _state(conn: Connection, row_id: int) -> RefundState:
    return RefundState(conn.scalar(select(refunds.c.state).where(refunds.c.id == row_id).with_for_update()) or "")


def waiting(conn: Connection) -> int:
    """How many refunds Stripe has not settled."""
    open_states = (RefundState.INTENDED, RefundState.PENDING)
    return int(conn.scalar(select(func.count()).select_from(refunds).where(refunds.c.state.in_(open_states))) or 0)
