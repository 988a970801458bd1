"""A payout in its transfer: whether that has begun, and what may change of both while it has not."""

from datetime import datetime

from sqlalchemy import Connection, func, select

from domain.states import PackedState, TransferState, UsdcStatus
from storage.history import advance
from storage.payouts.batches import wake_with_less
from storage.statements import change_of, locked_row_of, row_of
from storage.tables import group_attempts, group_members, payouts, transfer_attempts, transfers
from storage.work import enqueue


def shrink_transfer(conn: Connection, transfer_id: int | None, now: datetime) -> None:
    """A transfer that pays several payouts of one creator pays what is left of them, and its batch may be covered now.
    What was taken from one and is given back within its plan is paid again. One that has begun stays what was asked
    for."""
    if transfer_id is None or has_begun(conn, transfer_id):
        return
    conn.execute(locked_row_of(transfers), {"which": transfer_id})  # what another replica takes from it is seen now
    left = conn.scalar(
        select(func.sum(payouts.c.amount - payouts.c.netted_amount)).where(payouts.c.transfer_id == transfer_id)
    )
    if left:
        conn.execute(change_of(transfers), {"which": transfer_id, "amount": int(left)})
    wake_with_less(conn, transfer_id, now)


def cover_anew(conn: Connection, payout_id: int, now: datetime) -> None:
    """More of a payout is due than before: what was promised to it is not what it needs, and the next funding pass
    finds out whether there is so much. One whose transfer has begun is paid what that asked for."""
    row = conn.execute(row_of(payouts), {"which": payout_id}).one()
    if row.state == UsdcStatus.PENDING_DISTRIBUTION and not has_begun(conn, row.transfer_id):
        advance(conn, payout_id, UsdcStatus.PENDING_CONVERSION, now, "more is due again")
        enqueue(conn, "fund", "treasury", now)


def unlink(conn: Connection, payout_id: int, now: datetime) -> None:
    """Take a payout out of its batch and transfer; the transfer pays the rest."""
    transfer_id = conn.scalar(select(payouts.c.transfer_id).where(payouts.c.id == payout_id))
    conn.execute(change_of(payouts), {"which": payout_id, "batch_id": None, "transfer_id": None})
    shrink_transfer(conn, transfer_id, now)


def has_begun(conn: Connection, transfer_id: int | None) -> bool:
    """Whether a transfer or its group has an attempt that is not proven dead: its money may be on its way."""
    if transfer_id is None:
        return False
    alone = select(transfer_attempts.c.id).where(
        transfer_attempts.c.transfer_id == transfer_id, transfer_attempts.c.state != TransferState.DEAD
    )
    packed = (
        select(group_attempts.c.id)
        .join(group_members, group_members.c.group_id == group_attempts.c.group_id)
        .where(
            group_members.c.transfer_id == transfer_id,
            group_members.c.released_at.is_(None),
            group_attempts.c.state != PackedState.DEAD,
        )
    )
    return any(conn.scalar(asked.limit(1)) is not None for asked in (alone, packed))
