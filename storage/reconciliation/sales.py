"""The facts of paid sales for `domain.reconciliation.judge`, page by page: a fixed number of queries for each page."""

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, func, select

from domain.ledger import STRIPE_BALANCE, Asset
from domain.reconciliation import AtCircle, AtStripe, Back, Due, Payment, SaleFacts
from domain.states import PurchaseStatus, RefundState, TransferState, UsdcStatus
from storage.tables import (
    balance_transactions,
    chain_movements,
    circle_transactions,
    disputes,
    ledger_entries,
    ledger_postings,
    payouts,
    purchases,
    refunds,
    transfer_attempts,
    transfers,
)
from storage.treasury.movement_rows import MovementKind

PAGE_SALES = 200
"""Few enough that every list of ids stays far below the databases' limits on bound values."""
FRESH = timedelta(minutes=30)
"""How long before the listing a change may still be missing in it: Stripe books a moment after it tells."""


@dataclass(frozen=True, slots=True)
class SalesPage:
    """`last_id` is where the next page goes on; None at the end."""

    sales: Sequence[tuple[int, SaleFacts]]
    last_id: int | None


def page(conn: Connection, after: int, listed_at: datetime) -> SalesPage:
    """The facts of the next paid sales, in order of id."""
    rows = conn.execute(
        select(purchases)
        .where(purchases.c.id > after, purchases.c.paid_at.is_not(None))
        .order_by(purchases.c.id)
        .limit(PAGE_SALES)
    ).all()
    found = _Page(conn, rows)
    facts = [(row.id, found.of(row, listed_at)) for row in rows]
    return SalesPage(facts, rows[-1].id if len(rows) == PAGE_SALES else None)


class _Page:
    """What belongs to the sales of one page, read at once and kept by sale."""

    def __init__(self, conn: Connection, rows: Sequence[Row[Any]]) -> None:
        ids = [row.id for row in rows]
        self.refunds = _by_sale(conn.execute(select(refunds).where(refunds.c.purchase_id.in_(ids))))
        self.disputes = _by_sale(conn.execute(select(disputes).where(disputes.c.purchase_id.in_(ids))))
        self.payouts = _by_sale(
            conn.execute(select(payouts).where(payouts.c.purchase_id.in_(ids)).order_by(payouts.c.id))
        )
        self.at_stripe = _at_stripe(conn, rows, self.refunds, self.disputes)
        self.booked, self.changed_at = _booked(conn, [row.stripe_payment_intent_id for row in rows])
        own = [payout for mine in self.payouts.values() for payout in mine if payout.signature is not None]
        self.payments = _payments(conn, own)

    def of(self, row: Row[Any], listed_at: datetime) -> SaleFacts:
        payment_intent_id = row.stripe_payment_intent_id
        changed_at = self.changed_at.get(payment_intent_id)
        mine = self.payouts[row.id]
        return SaleFacts(
            status=PurchaseStatus(row.status),
            status_reason=row.status_reason,
            hold_reason=row.hold_reason,
            gross=row.gross_amount,
            fee=row.stripe_fee,
            balance_transaction_id=row.stripe_balance_transaction_id,
            at_stripe=self.at_stripe[row.id],
            refunds=[_refund(one) for one in self.refunds[row.id] if one.stripe_refund_id is not None],
            disputes=[Back(one.stripe_dispute_id, one.withdrawn, one.fee) for one in self.disputes[row.id]],
            booked=self.booked.get(payment_intent_id, 0),
            payments=[self.payments[name] for name in sorted({one.signature for one in mine} & self.payments.keys())],
            dues=[
                Due(
                    recipient_id=one.recipient_id,
                    state=UsdcStatus(one.state),
                    amount=one.amount,
                    netted=one.netted_amount,
                    paid=one.paid_amount,
                    settled=one.settled_amount,
                    reason=one.reason,
                )
                for one in mine
            ],
            is_fresh=any(
                at is not None and at > listed_at - FRESH for at in (changed_at, *(p.distributed_at for p in mine))
            ),
        )


def _by_sale(rows: Any) -> dict[int, list[Row[Any]]]:
    found: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        found[row.purchase_id].append(row)
    return found


def _refund(row: Row[Any]) -> Back:
    pending = row.state in (RefundState.INTENDED, RefundState.PENDING)
    return Back(row.stripe_refund_id, row.amount if row.state == RefundState.SUCCEEDED else 0, is_pending=pending)


def _at_stripe(
    conn: Connection,
    rows: Sequence[Row[Any]],
    back: Mapping[int, Sequence[Row[Any]]],
    disputed: Mapping[int, Sequence[Row[Any]]],
) -> dict[int, list[AtStripe]]:
    owner = {row.stripe_charge_id: row.id for row in rows if row.stripe_charge_id is not None}
    owner |= {one.stripe_refund_id: sale for sale, mine in back.items() for one in mine if one.stripe_refund_id}
    owner |= {one.stripe_dispute_id: sale for sale, mine in disputed.items() for one in mine}
    found: dict[int, list[AtStripe]] = defaultdict(list)
    for names in _chunks(owner):
        mine = balance_transactions.c.source.in_(names)
        for row in conn.execute(select(balance_transactions).where(mine).order_by(balance_transactions.c.id)):
            found[owner[row.source]].append(AtStripe(row.stripe_id, row.source, row.amount, row.fee))
    return found


def _booked(conn: Connection, payment_intents: Sequence[str]) -> tuple[dict[str, int], dict[str, datetime]]:
    """What the ledger moved on Stripe's balance for each sale, and when it was last changed."""
    e, p = ledger_entries.c, ledger_postings.c
    sums = (
        select(e.subject, func.sum(p.amount), func.max(e.created_at, type_=e.created_at.type))
        .select_from(ledger_entries.join(ledger_postings))
        .where(e.subject.in_(payment_intents), p.account == STRIPE_BALANCE, p.asset == Asset.USD)
        .group_by(e.subject)
    )
    booked, changed_at = {}, {}
    for subject, amount, at in conn.execute(sums):
        booked[subject], changed_at[subject] = int(amount), at
    return booked, changed_at


def _payments(conn: Connection, paid: Sequence[Row[Any]]) -> dict[str, Payment]:
    """By signature: what paid these payouts, with whatever else the same transaction paid."""
    found: dict[str, Payment] = {}
    for names in _chunks({row.signature for row in paid}):
        outflows = select(chain_movements.c.signature, chain_movements.c.amount).where(
            chain_movements.c.signature.in_(names),
            chain_movements.c.asset == Asset.USDC,
            chain_movements.c.kind == MovementKind.PAYOUT,
        )
        moved = {signature: -amount for signature, amount in conn.execute(outflows)}
        circle = _circle(conn, names)
        sums = (
            select(
                payouts.c.signature,
                func.sum(payouts.c.paid_amount).label("amount"),
                func.min(transfers.c.destination_address).label("destination"),
                func.min(payouts.c.transfer_id).label("transfer_id"),
            )
            .join(transfers, transfers.c.id == payouts.c.transfer_id)
            .where(payouts.c.signature.in_(names))
            .group_by(payouts.c.signature)
        )
        for row in conn.execute(sums):
            asked, reference, shown = circle.get(row.signature, (False, f"transfer {row.transfer_id}", None))
            found[row.signature] = Payment(
                reference, row.signature, int(row.amount), row.destination, moved.get(row.signature), asked, shown
            )
    return found


def _circle(conn: Connection, signatures: Collection[str]) -> dict[str, tuple[bool, str, AtCircle | None]]:
    """By signature, for transfers that Circle made: its reference and what Circle lists for it."""
    c = circle_transactions.c
    rows = conn.execute(
        select(
            transfer_attempts.c.signature.label("paid_by"),
            transfers.c.reference.label("meant"),
            c.circle_id,
            c.state,
            c.amount,
            c.destination,
            c.signature,
        )
        .select_from(
            transfer_attempts.join(transfers).outerjoin(
                circle_transactions, c.circle_id == transfer_attempts.c.circle_transaction_id
            )
        )
        .where(
            transfer_attempts.c.signature.in_(signatures),
            transfer_attempts.c.state == TransferState.FINALIZED,
            transfer_attempts.c.circle_transaction_id.is_not(None),
        )
    )
    return {
        row.paid_by: (
            True,
            row.meant,
            None if row.circle_id is None else AtCircle(row.state, row.amount, row.destination, row.signature),
        )
        for row in rows
    }


def _chunks(names: Collection[str], size: int = 400) -> Iterator[list[str]]:
    ordered = sorted(names)
    yield from (ordered[start : start + size] for start in range(0, len(ordered), size))
