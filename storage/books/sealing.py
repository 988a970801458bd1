"""Seals append-only tables into hash chains, page by page, and checks them (`domain/hash_chain.py`).

Sealing follows the commits at a distance: nothing on the way of money waits for it. A table's rows are sealed in the
order of their ids, but for those whose transaction was slower than the sealing: they are sealed when they are seen.
"""

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Integer,
    Select,
    Table,
    bindparam,
    exists,
    func,
    insert,
    select,
    type_coerce,
)

from domain.hash_chain import Fault, Field, Head, Seal, Tampering, check, content, sealed
from storage.statements import ONE, varying
from storage.tables import audit_log, ledger_entries, ledger_postings, seals

LATE_ROWS = 10_000
"""How many ids behind the newest sealed row a row may still be sealed. On PostgreSQL a transaction draws its ids before
it commits, so its rows appear after later ones; writes end within seconds, and this many are not made in them."""


@dataclass(frozen=True, slots=True)
class SealedTable:
    """An append-only table with a chain of its own. `contents` gives the bytes of rows by id, all that they hold."""

    chain: str
    table: Table
    contents: Callable[[Connection, Sequence[int]], Mapping[int, bytes]]


@dataclass(frozen=True, slots=True)
class Checked:
    """One page of a check. `head` is where the next page goes on; `done` when there is none."""

    head: Head
    fault: Fault | None
    done: bool


@dataclass(frozen=True, slots=True)
class Unsealed:
    """One page of the search for rows outside the chain: `last_id` is where the next page goes on, None at the end;
    `waiting` rows are new and will be sealed."""

    last_id: int | None
    fault: Fault | None
    waiting: int


def head(conn: Connection, chain: str) -> Head:
    """Where a chain ends now."""
    row = conn.execute(_HEAD, {"of": chain}).one_or_none()
    return Head() if row is None else Head(row.number, row.digest)


_HEAD = (
    select(seals.c.number, seals.c.digest)
    .where(seals.c.chain == bindparam("of"))
    .order_by(seals.c.number.desc())
    .limit(ONE)
)


def next_seals(conn: Connection, of: SealedTable, limit: int) -> list[Seal]:
    """Seals for up to `limit` rows that have none, oldest id first. Reads only: hand them to `write_seals`."""
    wanted = {"of": of.chain, "floor": _floor(conn, of.chain), "most": limit}
    ids = conn.scalars(_fresh(of.table), wanted).all()
    if not ids:
        return []
    found = of.contents(conn, ids)
    return sealed(head(conn, of.chain), ((row_id, found[row_id]) for row_id in ids))


@cache
def _fresh(table: Table) -> Select[Any]:
    has_one = exists().where(seals.c.chain == bindparam("of"), seals.c.row_id == table.c.id)
    fresh = select(table.c.id).where(table.c.id > bindparam("floor"), ~has_one).order_by(table.c.id)
    return fresh.limit(varying(bindparam("most", type_=Integer())))


def write_seals(conn: Connection, chain: str, found: Sequence[Seal], now: datetime) -> None:
    """Append seals. Raises IntegrityError when somebody else has sealed since: read them anew."""
    if found:
        rows = [{"chain": chain, "row_id": s.row_id, "number": s.number, "digest": s.digest} for s in found]
        conn.execute(insert(seals).values(sealed_at=now), rows)


def check_page(conn: Connection, of: SealedTable, after: Head, limit: int) -> Checked:
    """Follow the chain over up to `limit` seals after a head that was checked before."""
    query = select(seals.c.number, seals.c.row_id, seals.c.digest).where(
        seals.c.chain == of.chain, seals.c.number > after.number
    )
    page = [Seal(*row) for row in conn.execute(query.order_by(seals.c.number).limit(limit))]
    reached, fault = check(after, page, of.contents(conn, [seal.row_id for seal in page]))
    return Checked(reached, fault, fault is not None or len(page) < limit)


def unsealed_page(conn: Connection, of: SealedTable, after_id: int | None, limit: int) -> Unsealed:
    """Look in up to `limit` rows, by id, for those without a seal: new ones wait for it, others were slipped in."""
    table = of.table
    one_seal = (seals.c.chain == of.chain) & (seals.c.row_id == table.c.id)
    query = select(table.c.id, seals.c.number).select_from(table.outerjoin(seals, one_seal))
    if after_id is not None:
        query = query.where(table.c.id > after_id)
    page = conn.execute(query.order_by(table.c.id).limit(limit)).all()
    floor = _floor(conn, of.chain)
    outside = [row.id for row in page if row.number is None]
    slipped_in = next((row_id for row_id in outside if row_id <= floor), None)
    fault = None
    if slipped_in is not None:
        why = f"row {slipped_in} stands among sealed rows and has no seal"
        fault = Fault(Tampering.INSERTED, slipped_in, why)
    last_id = page[-1].id if len(page) == limit and fault is None else None
    return Unsealed(last_id, fault, len(outside))


def _floor(conn: Connection, chain: str) -> int:
    """Rows with ids up to here have their seal, or are none of ours."""
    return max(0, (conn.scalar(_NEWEST, {"of": chain}) or 0) - LATE_ROWS)


_NEWEST = select(func.max(seals.c.row_id)).where(seals.c.chain == bindparam("of"))


def _ledger_contents(conn: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    """An entry with its postings."""
    e, p = ledger_entries.c, ledger_postings.c
    postings: dict[int, list[Field]] = defaultdict(list)
    for row in conn.execute(
        select(p.entry_id, p.id, p.account, p.asset, p.amount).where(p.entry_id.in_(ids)).order_by(p.id)
    ):
        postings[row.entry_id] += [row.id, row.account, row.asset, row.amount]
    entries = select(e.id, e.key, e.kind, e.subject, type_coerce(e.created_at, BigInteger)).where(e.id.in_(ids))
    return {row[0]: content([*row, *postings[row[0]]]) for row in conn.execute(entries)}


def _audit_contents(conn: Connection, ids: Sequence[int]) -> dict[int, bytes]:
    a = audit_log.c
    told = (a.actor, a.remote, a.request_id, a.action, a.kind, a.subject, a.reason, a.before, a.after)
    rows = conn.execute(select(a.id, type_coerce(a.at, BigInteger), *told).where(a.id.in_(ids)))
    return {row[0]: content(row) for row in rows}


LEDGER = SealedTable("ledger", ledger_entries, _ledger_contents)
AUDIT = SealedTable("audit", audit_log, _audit_contents)
SEALED_TABLES: tuple[SealedTable, ...] = (LEDGER, AUDIT)
"""Every table that is sealed and checked; another one is added here."""
