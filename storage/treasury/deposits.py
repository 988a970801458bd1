"""Deposits and the announced conversions that explain them. Functions run in the caller's transaction.

They meet in either order: a deposit looks for open conversions when it is booked, a conversion for unexplained deposits
when it is announced; of two replicas that do so at the same moment the second one waits, and sees what the first wrote.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, insert, select, update

from domain.deposits import OpenConversion, Share, brought, explain
from domain.states import ConversionState
from storage.tables import chain_movements, conversion_orders, conversions, deposit_matches
from storage.work import enqueue

DEPOSIT = "deposit"
_EXPLAINING = 0x64657073
"""PostgreSQL advisory lock."""


def explain_deposits(conn: Connection, now: datetime) -> int:
    """Give what arrived to what was announced, both oldest first; returns how many shares were made.

    A conversion that names its transaction takes that one's deposit and no other. What may be the deposit of an open
    order at Circle Mint waits until that one's transaction is known, or it is taken back.
    Ends with the open conversions or with the unexplained deposits, whichever are fewer.
    """
    lock_explaining(conn)
    made = _give_named(conn, now)
    opened = _open(conn)
    if not opened:
        return made
    expected = _expected(conn)
    unexplained = select(chain_movements).where(chain_movements.c.kind == DEPOSIT, chain_movements.c.unexplained > 0)
    for deposit in conn.execute(unexplained.order_by(chain_movements.c.slot, chain_movements.c.id)).all():
        if deposit.unexplained in expected:
            continue
        shares = explain(deposit.unexplained, opened, known_sender=_is_known(conn, deposit.counterparty))
        for share in shares:
            _give(conn, deposit.id, share, now)
        if shares:
            made += len(shares)
            opened = _open(conn)
        if not opened:
            break
    return made


def lock_explaining(conn: Connection) -> None:
    """To the end of the transaction nobody else explains deposits. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_EXPLAINING)))


def _give_named(conn: Connection, now: datetime) -> int:
    """To each conversion that names its transaction, the deposit of it. That is all that is to come: one that is long
    enough settles it, also where what was announced by hand had taken a part of it before anybody knew whose it is."""
    mine = (chain_movements.c.signature == conversions.c.signature) & (chain_movements.c.kind == DEPOSIT)
    arrived = (
        select(conversions, chain_movements.c.id.label("movement_id"), chain_movements.c.amount, _LEFT)
        .join(chain_movements, mine)
        .where(conversions.c.settled_at.is_(None))
        .order_by(conversions.c.id)
        .with_for_update()
    )
    made = 0
    for row in conn.execute(arrived).all():
        whole = brought(row.amount, OpenConversion(row.id, row.expected_usdc, 0))
        share = brought(row.unexplained, OpenConversion(row.id, row.expected_usdc, row.received))
        if share.amount:
            _give(conn, row.movement_id, replace(share, settles=whole.settles), now)
            made += 1
        elif whole.settles:
            conn.execute(update(conversions).where(conversions.c.id == row.id).values(settled_at=now))
        else:
            continue
        order_id = conn.scalar(select(conversion_orders.c.id).where(conversion_orders.c.conversion_id == row.id))
        if order_id is not None:
            enqueue(conn, "conversion", order_id, now)
    return made


_LEFT = func.coalesce(chain_movements.c.unexplained, 0).label("unexplained")


def _open(conn: Connection) -> list[OpenConversion]:
    """Announced by hand and not withdrawn, and not all of it has come."""
    rows = conn.execute(select(conversions).where(*_IS_OPEN).order_by(conversions.c.id).with_for_update())
    return [OpenConversion(row.id, row.expected_usdc, row.received) for row in rows]


_IS_OPEN = (
    conversions.c.settled_at.is_(None),
    conversions.c.signature.is_(None),
    conversions.c.withdrawn_at.is_(None),
)


def may_be_of(conn: Connection, conversion_id: int) -> bool:
    """Whether a deposit has come that explains this announced conversion unless it turns out to be that of an order at
    Circle Mint. Under `lock_explaining`."""
    opened, expected = _open(conn), _expected(conn)
    waiting = select(chain_movements).where(
        chain_movements.c.kind == DEPOSIT,
        chain_movements.c.unexplained > 0,
        chain_movements.c.unexplained.in_(expected),
    )
    return any(
        share.conversion_id == conversion_id
        for deposit in conn.execute(waiting).all()
        for share in explain(deposit.unexplained, opened, known_sender=_is_known(conn, deposit.counterparty))
    )


def take_for_debt(conn: Connection, deposit_id: int, amount: int) -> int | None:
    """By so much of a deposit somebody has paid back what he owes: no conversion explains it. Returns what of it had no
    explanation, and takes nothing where that is less; None where there is no such deposit."""
    lock_explaining(conn)
    mine = (chain_movements.c.id == deposit_id) & (chain_movements.c.kind == DEPOSIT)
    left: int | None = conn.scalar(select(_LEFT).where(mine).with_for_update())
    if left is not None and left >= amount:
        conn.execute(update(chain_movements).where(mine).values(unexplained=chain_movements.c.unexplained - amount))
    return left


def _expected(conn: Connection) -> set[int]:
    """What Circle Mint may be sending, by amount, also for an order that was not sent by what this database knows: once
    an old backup was put back, its deposit may be read before Circle Mint's list is."""
    is_open = conversion_orders.c.state.in_(
        (ConversionState.PROPOSED, ConversionState.APPROVED, ConversionState.SENDING)
    )
    return set(conn.scalars(select(conversion_orders.c.amount).where(is_open)))


def _is_known(conn: Connection, sender: str | None) -> bool:
    """Whether a conversion came from there before."""
    if sender is None:
        return False
    matched = exists().where(deposit_matches.c.movement_id == chain_movements.c.id)
    query = select(chain_movements.c.id).where(chain_movements.c.counterparty == sender, matched).limit(1)
    return conn.scalar(query) is not None


def _give(conn: Connection, movement_id: int, share: Share, now: datetime) -> None:
    conn.execute(
        insert(deposit_matches).values(
            movement_id=movement_id, conversion_id=share.conversion_id, amount=share.amount, created_at=now
        )
    )
    conn.execute(
        update(chain_movements)
        .where(chain_movements.c.id == movement_id)
        .values(unexplained=chain_movements.c.unexplained - share.amount)
    )
    settled = {"settled_at": now} if share.settles else {}
    conn.execute(
        update(conversions)
        .where(conversions.c.id == share.conversion_id)
        .values(received=conversions.c.received + share.amount, **settled)
    )


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` deposits, newest first, with ids below `before`."""
    query = select(chain_movements).where(chain_movements.c.kind == DEPOSIT)
    if before is not None:
        query = query.where(chain_movements.c.id < before)
    return conn.execute(query.order_by(chain_movements.c.id.desc()).limit(limit)).all()


def matches_of(conn: Connection, movement_ids: Sequence[int]) -> dict[int, list[tuple[int, int]]]:
    """Deposit → its (conversion, base units)."""
    found: dict[int, list[tuple[int, int]]] = {movement_id: [] for movement_id in movement_ids}
    query = select(deposit_matches).where(deposit_matches.c.movement_id.in_(movement_ids))
    for row in conn.execute(query.order_by(deposit_matches.c.id)):
        found[row.movement_id].append((row.conversion_id, row.amount))
    return found


def unexplained_total(conn: Connection) -> int:
    """Base units that arrived and that no announced conversion explains."""
    query = select(func.sum(chain_movements.c.unexplained)).where(chain_movements.c.unexplained > 0)
    return int(conn.scalar(query) or 0)
