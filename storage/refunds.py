"""Refunds that we ask Stripe for: today the loser's of a sold-out race."""

import json
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select

from domain.states import RefundState
from storage.history import note
from storage.purchases import required
from storage.tables import refunds


def by_purchase(conn: Connection, purchase_id: int) -> Row[Any] | None:
    """The refund that we asked for and that is under way or done; a failed one does not count."""
    ours = refunds.c.idempotency_key.is_not(None) & (refunds.c.state != RefundState.FAILED)
    return conn.execute(select(refunds).where(refunds.c.purchase_id == purchase_id, ours)).one_or_none()


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


def waiting(conn: Connection) -> int:
    """How many refunds Stripe has not settled."""
    open_states = (RefundState.INTENDED, RefundState.PENDING)
    return int(conn.scalar(select(func.count()).select_from(refunds).where(refunds.c.state.in_(open_states))) or 0)
