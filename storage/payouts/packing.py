"""Which transfers of a batch wait to be packed, and what is made of them: groups, token accounts, or nothing."""

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, String, case, cast, exists, func, select, update

from domain.dead_attempts import EXPIRY, DeadAttempts
from domain.states import UpkeepState, UsdcStatus
from storage.history import note
from storage.payouts import membership
from storage.payouts.receipts import LIVE_UPKEEP
from storage.tables import group_members, payouts, state_history, transfers, upkeep, upkeep_items
from storage.work import enqueue


def waiting(conn: Connection, batch_id: int, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` transfers of a batch that are covered, in no group, and not waiting for their token account."""
    unpaid = (
        select(func.sum(payouts.c.amount - payouts.c.netted_amount))
        .where(payouts.c.transfer_id == transfers.c.id, payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION)
        .scalar_subquery()
    )
    uncovered = exists().where(
        payouts.c.transfer_id == transfers.c.id, payouts.c.state != UsdcStatus.PENDING_DISTRIBUTION
    )
    grouped = exists().where(group_members.c.transfer_id == transfers.c.id, group_members.c.released_at.is_(None))
    statement = (
        select(transfers)
        .where(
            transfers.c.batch_id == batch_id,
            ~grouped,
            transfers.c.destination_address.not_in(_being_made()),
            unpaid == transfers.c.amount,
            ~uncovered,
        )
        .order_by(transfers.c.id)
        .limit(limit)
    )
    return conn.execute(statement).all()


def _being_made() -> Any:
    return (
        select(upkeep_items.c.address)
        .join(upkeep, upkeep.c.id == upkeep_items.c.upkeep_id)
        .where(upkeep.c.kind == "accounts", upkeep.c.state.in_(LIVE_UPKEEP))
    )


def waiting_count(conn: Connection, batch_id: int) -> int:
    """Transfers of a batch that are in no group yet and hold something covered: for the wallet's SOL."""
    grouped = exists().where(group_members.c.transfer_id == transfers.c.id, group_members.c.released_at.is_(None))
    covered = exists().where(
        payouts.c.transfer_id == transfers.c.id, payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION
    )
    asked = select(func.count()).select_from(transfers).where(transfers.c.batch_id == batch_id, ~grouped, covered)
    return int(conn.scalar(asked) or 0)


def once_made(conn: Connection, owners: Collection[str]) -> frozenset[str]:
    """Owners whose token account we paid for before."""
    asked = (
        select(upkeep_items.c.address)
        .join(upkeep, upkeep.c.id == upkeep_items.c.upkeep_id)
        .where(
            upkeep.c.kind == "accounts",
            upkeep.c.state == UpkeepState.FINALIZED,
            upkeep_items.c.address.in_(list(owners)),
        )
    )
    return frozenset(conn.scalars(asked))


def dead_tries(conn: Connection, batch_id: int, owners: Collection[str]) -> dict[str, DeadAttempts]:
    """The transactions that were to make an owner's token account for this batch and are proven dead, since a person
    was last told so: another batch, and whoever has it paid again, begin anew."""
    told = (
        select(func.max(state_history.c.at, type_=state_history.c.at.type))
        .select_from(
            transfers.join(payouts, payouts.c.transfer_id == transfers.c.id).join(
                state_history,
                (state_history.c.machine == "payout") & (state_history.c.subject == cast(payouts.c.id, String)),
            )
        )
        .where(
            transfers.c.batch_id == batch_id,
            transfers.c.destination_address == upkeep_items.c.address,
            state_history.c.after == UsdcStatus.FAILED,
        )
        .scalar_subquery()
    )
    asked = (
        select(upkeep_items.c.address, func.count().label("tries"), func.sum(_EXPIRED).label("expired"))
        .join(upkeep, upkeep.c.id == upkeep_items.c.upkeep_id)
        .where(
            upkeep.c.kind == "accounts",
            upkeep.c.state == UpkeepState.DEAD,
            upkeep.c.batch_id == batch_id,
            upkeep_items.c.address.in_(list(owners)),
            told.is_(None) | (upkeep.c.created_at > told),
        )
        .group_by(upkeep_items.c.address)
    )
    return {row.address: DeadAttempts(row.tries - row.expired, row.expired) for row in conn.execute(asked)}


_EXPIRED = case((upkeep.c.proof.contains(f'"{EXPIRY}"', autoescape=True), 1), else_=0)


SCREENED_OUT = "left out by the screening: "
"""Begins what an operator is told of an address that is denied since it was planned."""


def leave_out(conn: Connection, transfer_id: int, why: str, now: datetime) -> None:
    """Give a transfer's payouts back to the next plan, unpaid and with the reason; the batch shrinks by them."""
    found = conn.execute(
        select(payouts).where(payouts.c.transfer_id == transfer_id).order_by(payouts.c.id).with_for_update()
    ).all()
    for row in found:
        membership.unlink(conn, row.id, now)
        conn.execute(update(payouts).where(payouts.c.id == row.id).values(reason=why))
        note(conn, "payout", row.id, row.state, row.state, now, why)
        enqueue(conn, "batch", row.batch_id, now)
