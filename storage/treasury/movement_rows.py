"""Rows of what the platform wallet gained and lost on chain: one for each (signature, account, asset), ever."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, select
from sqlalchemy.sql.dml import ReturningInsert

from domain.errors import Misuse
from domain.ledger import (
    Asset,
)
from storage.statements import insert_into
from storage.tables import chain_movements


class MovementKind(StrEnum):
    DEPOSIT = "deposit"
    PAYOUT = "payout"
    """USDC: a payout of ours (`transfer_id` NULL = a group's, whose attempt carries the signature, or one of several
    transfers', to be claimed by its step). SOL: its cost."""
    ORPHAN = "orphan"
    """USDC left and nothing of ours explains it: stops all sends until a person has looked."""
    MINT = "mint"
    OTHER = "other"
    """SOL that moved from or to outside."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One finalized change of one account: `amount` > 0 came in, < 0 went out.

    `counterparty` is the owner of the one account on the other side, None when there are several or none.
    """

    signature: str
    account: str
    asset: Asset
    amount: int
    slot: int
    block_time: datetime | None
    counterparty: str | None = None


KEY = (chain_movements.c.signature, chain_movements.c.account, chain_movements.c.asset)


def row_values(movement: Movement, kind: MovementKind, now: datetime) -> dict[str, Any]:
    return {
        "signature": movement.signature,
        "account": movement.account,
        "asset": movement.asset,
        "amount": movement.amount,
        "slot": movement.slot,
        "block_time": movement.block_time,
        "kind": kind,
        "counterparty": movement.counterparty,
        "unexplained": movement.amount if kind is MovementKind.DEPOSIT else None,
        "created_at": now,
    }


def record_movement(
    conn: Connection, movement: Movement, kind: MovementKind, now: datetime, transfer_id: int | None = None
) -> bool:
    """Insert the row; False when this (signature, account, asset) is there already, and nothing is written then.

    Books nothing in the ledger: `book_usdc`, `book_payout` and `book_lamports` do both. Raises Misuse when the transfer
    already has another transaction.
    """
    if transfer_id is not None:
        require_unpaid(conn, transfer_id, movement.signature)
    born = conn.scalar(_record(conn.dialect.name), {**row_values(movement, kind, now), "transfer_id": transfer_id})
    return born is not None


@cache
def _record(dialect: str) -> ReturningInsert[Any]:
    born = insert_into(chain_movements, dialect).on_conflict_do_nothing(index_elements=KEY)
    return born.returning(chain_movements.c.id)


def find(conn: Connection, movement: Movement) -> Row[tuple[object, ...]] | None:
    same = {"by": movement.signature, "of": movement.account, "in": movement.asset}
    return conn.execute(_SAME, same).one_or_none()


_SAME = (
    select(chain_movements)
    .where(
        chain_movements.c.signature == bindparam("by"),
        chain_movements.c.account == bindparam("of"),
        chain_movements.c.asset == bindparam("in"),
    )
    .with_for_update()
)


def require_unpaid(conn: Connection, transfer_id: int, signature: str) -> None:
    other = conn.scalar(_PAID_BY_ANOTHER, {"of": transfer_id, "by": signature})
    if other is not None:
        raise Misuse(f"transfer {transfer_id} is already paid by {other}, now {signature} claims it")


_PAID_BY_ANOTHER = select(chain_movements.c.signature).where(
    chain_movements.c.transfer_id == bindparam("of"), chain_movements.c.signature != bindparam("by")
)


def as_movement(row: Row[tuple[object, ...]]) -> Movement:
    return Movement(
        signature=row.signature,
        account=row.account,
        asset=Asset(row.asset),
        amount=row.amount,
        slot=row.slot,
        block_time=row.block_time,
        counterparty=row.counterparty,
    )


def movement_sum(conn: Connection, account: str, asset: Asset) -> int:
    """What the account holds by all that was booked: the balance that funding may promise from."""
    return int(conn.scalar(SUM, {"of": account, "in": asset}) or 0)


SUM = select(func.sum(chain_movements.c.amount)).where(
    chain_movements.c.account == bindparam("of"), chain_movements.c.asset == bindparam("in")
)


def movement_sum_at(conn: Connection, account: str, asset: Asset, slot: int) -> int:
    """What the account held at the end of a slot, by all that was booked."""
    return int(conn.scalar(_SUM_AT, {"of": account, "in": asset, "slot": slot}) or 0)


_SUM_AT = SUM.where(chain_movements.c.slot <= bindparam("slot"))


def booked_signatures(conn: Connection, account: str, asset: Asset, signatures: Sequence[str]) -> set[str]:
    """Which of these transactions have a row for this account and asset."""
    query = select(chain_movements.c.signature).where(
        chain_movements.c.account == account,
        chain_movements.c.asset == asset,
        chain_movements.c.signature.in_(signatures),
    )
    return set(conn.scalars(query))
