"""An approved plan may only shrink: what would be more is refused or leaves it, what is less is written down."""

from datetime import datetime

from sqlalchemy import Connection, select

from domain.states import PAYOUT_PENDING, UsdcStatus
from storage.history import note
from storage.payouts.approvals import changes
from storage.payouts.membership import has_begun, unlink
from storage.tables import batch_items, batches, payouts, state_history, transfers

SHRUNK = "shrunk"
"""Remark in a batch's history: less is sent than was approved."""
NOTED_MOST = 20
"""Items named in one remark; all of them show in the batch's changes."""


def keep_within_plan(conn: Connection, payout_id: int, now: datetime) -> None:
    """A payout of which more is due than its batch planned leaves the plan for the next one."""
    planned = (batch_items.c.payout_id == payouts.c.id) & (batch_items.c.batch_id == payouts.c.batch_id)
    unpaid = (payouts.c.amount - payouts.c.netted_amount).label("unpaid")
    row = conn.execute(
        select(payouts.c.transfer_id, unpaid, batch_items.c.amount)
        .select_from(payouts.join(batch_items, planned))
        .where(payouts.c.id == payout_id, payouts.c.state != UsdcStatus.DISTRIBUTED)
    ).one_or_none()
    if row is not None and row.unpaid > row.amount and not has_begun(conn, row.transfer_id):
        unlink(conn, payout_id, now)


def beyond_plan(conn: Connection, batch_id: int) -> str | None:
    """Why a batch holds more than its approved plan: an added item, another address, a larger amount; None when it does
    not. Set-based."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    mine = (batch_items.c.payout_id == payouts.c.id) & (batch_items.c.batch_id == payouts.c.batch_id)
    elsewhere = transfers.c.destination_address.is_distinct_from(batch_items.c.destination_address)
    row = conn.execute(
        select(payouts.c.uuid, batch_items.c.amount)
        .select_from(payouts.outerjoin(batch_items, mine).outerjoin(transfers, transfers.c.id == payouts.c.transfer_id))
        .where(
            payouts.c.batch_id == batch_id,
            payouts.c.state.in_(PAYOUT_PENDING),
            batch_items.c.amount.is_(None) | elsewhere | (unpaid > batch_items.c.amount),
        )
        .order_by(payouts.c.id)
        .limit(1)
    ).one_or_none()
    if row is None:
        return None
    what = "is not in" if row.amount is None else "is more than, or goes elsewhere than,"
    return f"payout {row.uuid} {what} the batch's approved plan: nothing more of it is sent"


def note_changes(conn: Connection, batch_id: int, now: datetime) -> None:
    """Write down against the digest what of an approved plan has shrunk, once for each state of things."""
    found = changes(conn, batch_id)
    if not found:
        return
    digest = conn.scalar(select(batches.c.digest).where(batches.c.id == batch_id))
    less = sum(change.planned - change.now for change in found)
    items = ", ".join(f"{change.payout_uuid} {change.planned} -> {change.now}" for change in found[:NOTED_MOST])
    more = f" and {len(found) - NOTED_MOST} more" if len(found) > NOTED_MOST else ""
    why = f"{digest}: {less} base units less: {items}{more}"
    last = select(state_history.c.reason).where(
        state_history.c.machine == "batch", state_history.c.subject == str(batch_id), state_history.c.after == SHRUNK
    )
    if conn.scalar(last.order_by(state_history.c.id.desc()).limit(1)) != why:
        note(conn, "batch", batch_id, None, SHRUNK, now, why)
