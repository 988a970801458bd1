"""Receipts of packed payouts: that they stand, and when they may be closed (reference/solana.md, section 4)."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, insert, select

from domain.evidence import Evidence
from domain.states import BatchStatus, GroupState, ReceiptState, UpkeepState
from storage.history import advance, note
from storage.tables import batches, payout_groups, receipts, upkeep, upkeep_items

LIVE_UPKEEP = (UpkeepState.INTENDED, UpkeepState.SIGNED, UpkeepState.SENT)


def made(conn: Connection, group_id: int, address: str, evidence: Evidence, now: datetime) -> None:
    """The group's receipt was read back: what its transaction cost beyond the fee lies in it. Idempotent."""
    if conn.scalar(select(receipts.c.id).where(receipts.c.address == address)) is not None:
        return
    row_id = conn.scalar(
        insert(receipts)
        .values(
            address=address,
            group_id=group_id,
            state=ReceiptState.PRESENT,
            lamports=evidence.cost_lamports - evidence.fee_lamports,
            made_by=evidence.signature,
            made_at_slot=evidence.slot,
            created_at=now,
        )
        .returning(receipts.c.id)
    )
    note(conn, "receipt", row_id or 0, None, ReceiptState.PRESENT, now, evidence.signature)


def closed(conn: Connection, address: str, signature: str, slot: int, lamports: int, now: datetime) -> None:
    """The chain shows that a receipt was closed. Idempotent. One that this database does not know is remembered: it was
    made and closed after this database's last row."""
    known = conn.execute(select(receipts).where(receipts.c.address == address).with_for_update()).one_or_none()
    if known is not None:
        if known.state != ReceiptState.CLOSED:
            advance(conn, known.id, ReceiptState.CLOSED, now, signature, closed_by=signature, closed_at_slot=slot)
        return
    row_id = conn.scalar(
        insert(receipts)
        .values(
            address=address,
            state=ReceiptState.CLOSED,
            lamports=lamports,
            closed_by=signature,
            closed_at_slot=slot,
            created_at=now,
        )
        .returning(receipts.c.id)
    )
    note(conn, "receipt", row_id or 0, None, ReceiptState.CLOSED, now, f"unknown here, closed by {signature}")


def closed_unknown(conn: Connection) -> list[str]:
    """Accounts of the platform wallet that this database did not know and that were closed: receipts that were made
    after its last row, or accounts that the operator made and closed himself."""
    asked = select(receipts.c.address).where(receipts.c.state == ReceiptState.CLOSED, receipts.c.group_id.is_(None))
    return list(conn.scalars(asked.order_by(receipts.c.id)))


def closable(conn: Connection, settled_before: datetime, limit: int, above: int = 0) -> Sequence[Row[Any, Any]]:
    """Id and address of receipts whose group and batch were settled before that moment and which nobody is closing yet,
    those with ids above that."""
    being_closed = (
        select(upkeep_items.c.address)
        .join(upkeep, upkeep.c.id == upkeep_items.c.upkeep_id)
        .where(upkeep.c.kind == "closing", upkeep.c.state.in_(LIVE_UPKEEP))
    )
    statement = (
        select(receipts.c.id, receipts.c.address)
        .select_from(
            receipts.join(payout_groups, payout_groups.c.id == receipts.c.group_id).join(
                batches, batches.c.id == payout_groups.c.batch_id
            )
        )
        .where(
            receipts.c.id > above,
            receipts.c.state == ReceiptState.PRESENT,
            payout_groups.c.state == GroupState.PAID,
            payout_groups.c.settled_at < settled_before,
            batches.c.status == BatchStatus.SETTLED,
            func.coalesce(batches.c.settled_at, payout_groups.c.settled_at) < settled_before,
            receipts.c.address.not_in(being_closed),
        )
        .order_by(receipts.c.id)
        .limit(limit)
    )
    return conn.execute(statement).all()


def standing_rent(conn: Connection) -> int:
    """Lamports that lie in receipts and come back when they are closed."""
    held = select(func.sum(receipts.c.lamports)).where(receipts.c.state == ReceiptState.PRESENT)
    return int(conn.scalar(held) or 0)
