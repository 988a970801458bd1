"""Deposits and the announced conversions that explain them. Functions run in the caller's transaction.

They meet in either order: a deposit looks for open conversions when it is booked, a conversion for unexplained deposits
when it is announced; of two replicas that do so at the same moment the second one waits, and sees what the first wrote.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, func, literal_column, select, update

from domain.deposits import OpenConversion, Share, brought, explain
from domain.errors import RequestError
from domain.ledger import usdc_own
from domain.money import format_usdc
from domain.states import ConversionState
from storage.books.ledger import post
from storage.history import note
from storage.tables import chain_movements, conversion_orders, conversions
from storage.treasury.matches import give, is_known, refused, undo
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
        shares = _shares(conn, deposit, opened)
        for share in shares:
            give(conn, deposit.id, share, now)
        if shares:
            made += len(shares)
            opened = _open(conn)
        if not opened:
            break
    return made


def lock_explaining(conn: Connection) -> None:
    """To the end of the transaction nobody else explains deposits: after the recipients (ADR 66), before whatever is
    booked. SQLite has one writer anyway."""
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
            give(conn, row.movement_id, replace(share, settles=whole.settles), now)
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
        for share in _shares(conn, deposit, opened)
    )


def _shares(conn: Connection, deposit: Row[Any], opened: Sequence[OpenConversion]) -> list[Share]:
    known, not_its = is_known(conn, deposit.counterparty), refused(conn, deposit.id)
    return explain(deposit.unexplained, [one for one in opened if one.conversion_id not in not_its], known_sender=known)


def take_back(conn: Connection, deposit_id: int, conversion_id: int, amount: int, reason: str, now: datetime) -> None:
    """A person says that so much of a deposit, which an announced conversion took, was not that one's. What that leaves
    unexplained, or open, may be another one's at once. Raises as `matches.undo`."""
    lock_explaining(conn)
    undo(conn, deposit_id, conversion_id, amount, reason, now)
    explain_deposits(conn, now)


def take_for_debt(conn: Connection, deposit_id: int, amount: int) -> None:
    """By so much of a deposit somebody has paid back what he owes: no conversion explains it. Raises RequestError 409
    `no_such_deposit`, `deposit_explained` or `may_be_an_orders`."""
    row = _claimable(conn, deposit_id, 409)
    if amount > row.unexplained:
        told = f"of deposit {deposit_id} only {format_usdc(row.unexplained)} USDC have no explanation"
        raise RequestError(409, "deposit_explained", told, "deposit_id")
    left = row.unexplained - amount
    conn.execute(update(chain_movements).where(chain_movements.c.id == row.id).values(unexplained=left))


def accept_own(conn: Connection, deposit_id: int, amount: int, reason: str, now: datetime) -> None:
    """A person says that all of a deposit that nothing explains was his own money. `amount` is what he has looked at.
    It leaves the clearing account, and covers what is owed as before. Raises RequestError 404 `no_such_deposit`, 409
    `amount_differs` or `may_be_an_orders`."""
    row = _claimable(conn, deposit_id, 404)
    if not row.unexplained or amount != row.unexplained:
        told = f"of deposit {deposit_id} {format_usdc(row.unexplained)} USDC have no explanation now: look again"
        raise RequestError(409, "amount_differs", told, "amount")
    changed = {"unexplained": 0, "own_amount": amount}
    conn.execute(update(chain_movements).where(chain_movements.c.id == row.id).values(**changed))
    post(conn, usdc_own(row.signature, amount), now)
    note(conn, DEPOSIT, row.id, "unexplained", "own", now, reason)


def _claimable(conn: Connection, deposit_id: int, status: int) -> Row[Any]:
    """A deposit of which a person says what it was; nobody else explains it meanwhile."""
    lock_explaining(conn)
    mine = (chain_movements.c.id == deposit_id) & (chain_movements.c.kind == DEPOSIT)
    row = conn.execute(select(chain_movements).where(mine).with_for_update()).one_or_none()
    if row is None:
        raise RequestError(status, "no_such_deposit", f"there is no deposit {deposit_id}", "deposit_id")
    if row.unexplained in _expected(conn):
        raise RequestError(
            409,
            "may_be_an_orders",
            "an order of that amount at Circle Mint is open: wait until it has ended",
            "deposit_id",
        )
    return row


def _expected(conn: Connection) -> set[int]:
    """What Circle Mint may be sending, by amount, also for an order that was not sent by what this database knows: once
    an old backup was put back, its deposit may be read before Circle Mint's list is."""
    is_open = conversion_orders.c.state.in_(
        (ConversionState.PROPOSED, ConversionState.APPROVED, ConversionState.SENDING)
    )
    return set(conn.scalars(select(conversion_orders.c.amount).where(is_open)))


def unexplained_page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` deposits of which something has no explanation, newest first, behind the one of the id `before`."""
    of = chain_movements.c
    query = select(chain_movements).where(of.unexplained > literal_column("0"))
    if before is not None:
        slot = select(of.slot).where(of.id == before).scalar_subquery()
        query = query.where((of.slot < slot) | ((of.slot == slot) & (of.id < before)))
    return conn.execute(query.order_by(of.slot.desc(), of.id.desc()).limit(limit)).all()


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` deposits, newest first, with ids below `before`."""
    query = select(chain_movements).where(chain_movements.c.kind == DEPOSIT)
    if before is not None:
        query = query.where(chain_movements.c.id < before)
    return conn.execute(query.order_by(chain_movements.c.id.desc()).limit(limit)).all()


def by_id(conn: Connection, deposit_id: int) -> Row[Any]:
    return conn.execute(select(chain_movements).where(chain_movements.c.id == deposit_id)).one()


def unexplained_total(conn: Connection) -> int:
    """Base units that arrived and that no announced conversion explains."""
    query = select(func.sum(chain_movements.c.unexplained)).where(chain_movements.c.unexplained > 0)
    return int(conn.scalar(query) or 0)
