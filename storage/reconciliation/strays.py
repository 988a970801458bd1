"""What the outside shows and no row of ours explains: balance transactions, Circle's transfers, outflows on chain."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, exists, func, or_, select

from domain.ledger import Asset
from domain.states import TransferState
from storage.tables import (
    balance_transactions,
    chain_movements,
    circle_transactions,
    disputes,
    purchases,
    refunds,
    transfer_attempts,
    transfers,
)
from storage.treasury.movement_rows import MovementKind

PAGE_ROWS = 500
ON_THE_WAY = timedelta(hours=2)
"""Stripe's event of a movement may come later than the movement; the hourly sweep finds it at the latest."""
_CHARGES = ("charge", "payment")
_REFUNDS = ("refund", "payment_refund", "refund_failure", "payment_refund_failure")
_DISPUTE_IDS = ("du_", "dp_")
"""How the ids of disputes begin; other adjustments are Stripe's own."""
_NEVER = ("DENIED", "CANCELLED", "FAILED")


@dataclass(frozen=True, slots=True)
class Stray:
    """`is_new`: what explains it may still be on its way."""

    subject: str
    why: str
    is_new: bool


@dataclass(frozen=True, slots=True)
class StraysPage:
    """`last_id` is where the next page goes on; None at the end."""

    strays: Sequence[Stray]
    last_id: int | None


def of_stripe(conn: Connection, after: int, listed_at: datetime) -> StraysPage:
    """Balance transactions of sales, refunds and disputes that we don't know."""
    b = balance_transactions.c
    rows = conn.execute(
        select(
            balance_transactions,
            exists().where(purchases.c.stripe_charge_id == b.source).label("sale"),
            exists().where(refunds.c.stripe_refund_id == b.source).label("refund"),
            exists().where(disputes.c.stripe_dispute_id == b.source).label("dispute"),
        )
        .where(b.id > after)
        .order_by(b.id)
        .limit(PAGE_ROWS)
    ).all()
    strays = [
        Stray(
            row.stripe_id,
            f"Stripe moved {row.amount} cents ({row.type} {row.source}), and nothing here knows of it",
            row.stripe_created_at > listed_at - ON_THE_WAY,
        )
        for row in rows
        if _is_stray(row)
    ]
    return StraysPage(strays, rows[-1].id if len(rows) == PAGE_ROWS else None)


def _is_stray(row: Row[Any]) -> bool:
    if row.type in _CHARGES:
        return not row.sale
    if row.type in _REFUNDS:
        return not row.refund
    return row.type == "adjustment" and str(row.source).startswith(_DISPUTE_IDS) and not row.dispute


def of_circle(conn: Connection, after: int, usdc_token_id: str, installed_at: datetime) -> StraysPage:
    """Outbound USDC that Circle made, or is making, for nobody of ours, and that no person has accepted. The answer to
    an order may be on its way, or lost, while Circle lists it: under its reference, once."""
    c, others = circle_transactions.c, circle_transactions.alias()
    named = exists().where(transfer_attempts.c.circle_transaction_id == c.circle_id)
    again = exists().where(
        others.c.reference == c.reference,
        others.c.id != c.id,
        ~exists().where(transfer_attempts.c.circle_transaction_id == others.c.circle_id),
    )
    meant = exists().where(
        transfers.c.reference == c.reference,
        transfers.c.destination_address == c.destination,
        transfers.c.amount == c.amount,
        transfer_attempts.c.transfer_id == transfers.c.id,
        transfer_attempts.c.state == TransferState.SUBMITTED,
        transfer_attempts.c.first_sent_at.is_not(None),
        transfer_attempts.c.circle_transaction_id.is_(None),
        transfer_attempts.c.signature.is_(None),  # one that a person gave an outflow to is paid by that
    )
    accepted = exists().where(
        chain_movements.c.signature == c.signature,
        chain_movements.c.asset == Asset.USDC,
        chain_movements.c.kind != MovementKind.ORPHAN,
    )
    rows = conn.execute(
        select(circle_transactions, or_(named, meant & ~again, accepted).label("explained"))
        .where(c.id > after)
        .order_by(c.id)
        .limit(PAGE_ROWS)
    ).all()
    strays = [
        Stray(
            row.circle_id,
            f"Circle moves {row.amount} base units to {row.destination} ({row.state}, reference "
            f"{row.reference or 'none'}), and no payout of ours asked for it",
            False,
        )
        for row in rows
        if not row.explained
        and row.state not in _NEVER
        and row.token_id in (usdc_token_id, None)
        and row.circle_created_at >= installed_at
    ]
    return StraysPage(strays, rows[-1].id if len(rows) == PAGE_ROWS else None)


def stripe_figures(conn: Connection) -> dict[str, dict[str, int]]:
    """Sums of all balance transactions by type: rows, amount and fee in cents."""
    b = balance_transactions.c
    sums = select(b.type, func.count(), func.sum(b.amount), func.sum(b.fee)).group_by(b.type).order_by(b.type)
    return {
        kind: {"rows": int(rows), "amount": int(amount), "fee": int(fee)}
        for kind, rows, amount, fee in conn.execute(sums)
    }
