"""Copies of what Stripe and Circle list. Rows of Stripe's never change; Circle's move on until they are terminal."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, func, select

from storage.statements import insert_into
from storage.tables import balance_transactions, circle_transactions, reconciliations

STRIPE_OVERLAP = timedelta(days=3)
"""A list read while Stripe was writing may lack a row; three days of rows are read again each time."""
CIRCLE_OVERLAP = timedelta(days=1)
CIRCLE_ENDED = ("COMPLETE", "FAILED", "DENIED", "CANCELLED")


@dataclass(frozen=True, slots=True)
class StripeRow:
    """One balance transaction (cents)."""

    stripe_id: str
    type: str
    source: str | None
    amount: int
    fee: int
    currency: str
    created_at: datetime


@dataclass(frozen=True, slots=True)
class CircleRow:
    """One outbound transaction; `amount` in base units, None for what is no amount of USDC."""

    circle_id: str
    state: str
    reference: str | None
    token_id: str | None
    amount: int | None
    destination: str | None
    signature: str | None
    created_at: datetime
    updated_at: datetime


def stripe_since(conn: Connection, installed_at: datetime) -> datetime:
    """From when to list Stripe's balance transactions: a little before the last listing that was read to its end."""
    last = conn.scalar(select(func.max(reconciliations.c.listed_at)))
    return (last or installed_at) - STRIPE_OVERLAP


def circle_since(conn: Connection, installed_at: datetime) -> datetime:
    """As for Stripe, and from the oldest transaction whose state may still change."""
    last = conn.scalar(select(func.max(reconciliations.c.listed_at)))
    begin: datetime = (last or installed_at) - CIRCLE_OVERLAP
    unfinished = conn.scalar(
        select(func.min(circle_transactions.c.circle_created_at)).where(
            circle_transactions.c.state.not_in(CIRCLE_ENDED)
        )
    )
    return begin if unfinished is None else min(begin, unfinished)


def copy_stripe(conn: Connection, rows: Sequence[StripeRow], now: datetime) -> int:
    """Store what is not stored yet; returns how many were new."""
    if not rows:
        return 0
    values = [
        {
            "stripe_id": row.stripe_id,
            "type": row.type,
            "source": row.source,
            "amount": row.amount,
            "fee": row.fee,
            "currency": row.currency,
            "stripe_created_at": row.created_at,
            "created_at": now,
        }
        for row in rows
    ]
    born = insert_into(balance_transactions, conn.dialect.name).values(values).on_conflict_do_nothing()
    return len(conn.scalars(born.returning(balance_transactions.c.id)).all())


def copy_circle(conn: Connection, rows: Sequence[CircleRow]) -> None:
    """Store what Circle says now."""
    if not rows:
        return
    statement = insert_into(circle_transactions, conn.dialect.name).values(
        [
            {
                "circle_id": row.circle_id,
                "state": row.state,
                "reference": row.reference,
                "token_id": row.token_id,
                "amount": row.amount,
                "destination": row.destination,
                "signature": row.signature,
                "circle_created_at": row.created_at,
                "circle_updated_at": row.updated_at,
            }
            for row in rows
        ]
    )
    moving = ("state", "signature", "circle_updated_at")
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[circle_transactions.c.circle_id],
            set_={name: statement.excluded[name] for name in moving},
        )
    )
