"""What was frozen to be paid: a batch's plan, what a mint is to pay, and transfers that move what was planned."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Row, case, func, select

from domain.calendar import BATCH_HOUR_UTC
from domain.states import MintState, UsdcStatus
from storage.payouts.approvals import digest_of
from storage.tables import batch_items, batches, mint_attempts, mint_payouts, payouts, transfers
from storage.verification.check import Check, Finding, by_rows

_OUT_OF_A_TRANSFER = (UsdcStatus.CANCELLED, UsdcStatus.ON_HOLD, UsdcStatus.NETTED)


def _plans(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(batches).where(batches.c.id.between(first, last), batches.c.digest.is_not(None)).order_by(batches.c.id)
    )
    for row in rows.all():
        name = f"batches {row.id}"
        items = select(func.count(), func.coalesce(func.sum(batch_items.c.amount), 0))
        count, amount = conn.execute(items.where(batch_items.c.batch_id == row.id)).one()
        if (count, int(amount)) != (row.payout_count, row.planned_amount):
            why = f"{row.payout_count} payouts of {row.planned_amount} were planned, its items are {count} of {amount}"
            yield Finding(name, why)
        elif digest_of(conn, row.id) != row.digest:
            yield Finding(name, "its items are not those of its digest")
        elif row.key.startswith("monday:"):
            yield from _monday(conn, row)


def _monday(conn: Connection, row: Row[Any]) -> Iterator[Finding]:
    at = row.cutoff_at
    if (at.weekday(), at.hour, at.minute, at.second, at.microsecond) != (0, BATCH_HOUR_UTC, 0, 0, 0) or (
        row.key != f"monday:{at.date().isoformat()}"
    ):
        yield Finding(f"batches {row.id}", f"its key {row.key} and its cutoff {at.isoformat()} are no Monday 09:00 UTC")
    late = (
        select(payouts.c.id)
        .select_from(batch_items.join(payouts, payouts.c.id == batch_items.c.payout_id))
        .where(batch_items.c.batch_id == row.id, payouts.c.paid_at >= at)
        .order_by(payouts.c.id)
        .limit(1)
    )
    for payout_id in conn.scalars(late):
        yield Finding(f"payouts {payout_id}", f"it was paid for after the cutoff of batch {row.id}")


def _assigned(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """A payout in a batch is in its plan, to the planned address, with no more than the planned amount."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    sent = case((payouts.c.state == UsdcStatus.DISTRIBUTED, payouts.c.paid_amount), else_=unpaid)
    planned = (batch_items.c.batch_id == payouts.c.batch_id) & (batch_items.c.payout_id == payouts.c.id)
    query = (
        select(
            payouts.c.id,
            payouts.c.batch_id,
            sent.label("sent"),
            transfers.c.destination_address.label("place"),
            batch_items.c.amount,
            batch_items.c.destination_address,
        )
        .select_from(
            payouts.outerjoin(batch_items, planned).outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        )
        .where(payouts.c.id.between(first, last), payouts.c.batch_id.is_not(None))
        .order_by(payouts.c.id)
    )
    for row in conn.execute(query):
        if row.amount is None:
            yield Finding(f"payouts {row.id}", f"it is in batch {row.batch_id} and not in its plan")
        elif row.place != row.destination_address:
            yield Finding(f"payouts {row.id}", f"it goes to {row.place}, planned was {row.destination_address}")
        elif row.sent > row.amount:
            yield Finding(f"payouts {row.id}", f"{row.sent} base units are sent, planned were {row.amount}")


def _transfers(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    done = case((payouts.c.state == UsdcStatus.DISTRIBUTED, 1), else_=0)
    planned = (batch_items.c.batch_id == transfers.c.batch_id) & (batch_items.c.payout_id == payouts.c.id)
    query = (
        select(
            transfers.c.id,
            transfers.c.amount,
            transfers.c.destination_address,
            func.sum(payouts.c.paid_amount).label("paid"),
            func.sum(payouts.c.amount - payouts.c.netted_amount).label("due"),
            func.sum(done).label("done"),
            func.count().label("payouts"),
            func.min(payouts.c.recipient_id).label("recipient"),
            func.max(payouts.c.recipient_id).label("other_recipient"),
            func.min(batch_items.c.destination_address).label("place"),
            func.max(batch_items.c.destination_address).label("other_place"),
        )
        .select_from(transfers.join(payouts, payouts.c.transfer_id == transfers.c.id).outerjoin(batch_items, planned))
        .where(transfers.c.id.between(first, last), payouts.c.state.not_in(_OUT_OF_A_TRANSFER))
        .group_by(transfers.c.id, transfers.c.amount, transfers.c.destination_address)
        .order_by(transfers.c.id)
    )
    for row in conn.execute(query):
        name = f"transfers {row.id}"
        if row.recipient != row.other_recipient:
            yield Finding(name, "it pays several recipients")
        elif not row.place == row.other_place == row.destination_address:
            yield Finding(name, "it goes elsewhere than was planned of its payouts")
        elif row.done not in (0, row.payouts):
            yield Finding(name, f"{row.done} of its {row.payouts} payouts are distributed")
        elif row.amount != (row.paid if row.done else row.due):
            yield Finding(name, f"it moves {row.amount}, its payouts are {row.paid if row.done else row.due}")


def _mint_payouts(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What a mint is to pay is promised exactly as long as its attempt may still pay it, and goes with it or not at
    all: of a landed attempt's signature, the payouts are what was frozen."""
    rows = conn.execute(
        select(mint_payouts, mint_attempts.c.state, mint_attempts.c.signature, payouts.c.paid_amount)
        .select_from(
            mint_payouts.join(mint_attempts).outerjoin(
                payouts,
                (payouts.c.purchase_id == mint_attempts.c.purchase_id)
                & (payouts.c.recipient_id == mint_payouts.c.recipient_id)
                & (payouts.c.signature == mint_attempts.c.signature),
            )
        )
        .where(mint_payouts.c.id.between(first, last))
        .order_by(mint_payouts.c.id)
    )
    for row in rows:
        name, landed = f"mint_payouts {row.id}", row.state == MintState.FINALIZED
        may_pay = row.released_at is None and not landed and row.state != MintState.DEAD
        if may_pay != (row.ended_at is None):
            still = "not promised" if may_pay else "still promised"
            yield Finding(name, f"its mint is {row.state}, and what it is to pay is {still}")
        elif landed and row.released_at is None and row.paid_amount != row.amount:
            yield Finding(name, f"{row.signature} minted and was to pay {row.amount}, paid was {row.paid_amount}")


PLANS = (
    Check(
        "plans",
        ("I5", "I15"),
        "every batch is what its digest covers, and a Monday's takes what was paid before it",
        by_rows(batches, _plans),
    ),
    Check(
        "mints-that-pay",
        ("I5", "I6"),
        "a mint pays all that was frozen with it, or nothing, and promises it no longer than it may land",
        by_rows(mint_payouts, _mint_payouts),
    ),
    Check("assignments", ("I5",), "what a batch pays is in its plan: there, and no more", by_rows(payouts, _assigned)),
    Check(
        "transfers",
        ("I5",),
        "every transfer moves the sum of its payouts to one address",
        by_rows(transfers, _transfers),
    ),
)
