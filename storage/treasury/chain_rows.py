"""What the indexer writes down: signatures and their fate, how far the chain has been read, the latest balances.

What the platform wallet gained and lost is in `storage.treasury.movements`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Insert, Row, bindparam, delete, func, select, update

from domain.errors import Misuse
from domain.states import WatchState
from storage.statements import among, insert_into
from storage.tables import cursors, readings, watched_signatures
from storage.work import enqueue, revive

OPEN = (WatchState.WATCHING, WatchState.CONFIRMED)
"""States that can still change; finalized and expired are final."""


@dataclass(frozen=True, slots=True)
class Watched:
    """One signature whose fate job (purpose, subject) waits for.

    `err` is the JSON text of the transaction's error, set only in state finalized; None there means it succeeded.
    `proof` is the JSON text of why it counts as expired. Without `last_valid_block_height` it never expires.
    """

    signature: str
    purpose: str
    subject: str
    last_valid_block_height: int | None
    state: WatchState
    slot: int | None
    err: str | None
    proof: str | None
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Fate:
    """What the chain says of a signature now."""

    signature: str
    state: WatchState
    slot: int | None = None
    err: str | None = None
    proof: str | None = None


@dataclass(frozen=True, slots=True)
class Cursor:
    """How far a follower has read: `value` names the last thing stored, `position` is its slot."""

    value: str
    position: int | None


@dataclass(frozen=True, slots=True)
class Reading:
    """A balance as the chain had it at a slot, in the asset's smallest unit."""

    amount: int
    slot: int
    read_at: datetime


def watch(
    conn: Connection,
    signature: str,
    purpose: str,
    subject: str | int,
    last_valid_block_height: int | None,
    now: datetime,
) -> None:
    """Have a signature's fate found out; job (purpose, subject) is made due when it is finalized or expired, or
    a fork has taken it back.

    In the transaction that stores the signed bytes, before they are sent. Idempotent; then poke the tracker. Raises
    Misuse when the signature is watched for something else.
    """
    named = {"signature": signature, "purpose": purpose, "subject": str(subject), "state": WatchState.WATCHING}
    times = {"last_valid_block_height": last_valid_block_height, "created_at": now, "changed_at": now}
    if conn.execute(_watch(conn.dialect.name), {**named, **times}).rowcount == 1:
        return
    found = watched(conn, signature)
    if found is None or (found.purpose, found.subject) != (purpose, str(subject)):
        raise Misuse(f"signature {signature} is watched for something else than {purpose} {subject}")


@cache
def _watch(dialect: str) -> Insert:
    born = insert_into(watched_signatures, dialect)
    return born.on_conflict_do_nothing(index_elements=[watched_signatures.c.signature])


def unwatch(conn: Connection, signature: str) -> None:
    """Nobody waits for this signature any more."""
    conn.execute(delete(watched_signatures).where(watched_signatures.c.signature == signature))


def watched(conn: Connection, signature: str) -> Watched | None:
    """What is known of a signature; None when nobody ever had it watched."""
    row = conn.execute(_WATCHED, {"of": signature}).one_or_none()
    return None if row is None else _watched(row)


_WATCHED = select(watched_signatures).where(watched_signatures.c.signature == bindparam("of"))


def open_watches(conn: Connection) -> list[Watched]:
    """All signatures whose fate is open, oldest first."""
    return [_watched(row) for row in conn.execute(_OPEN_WATCHES)]


_IS_OPEN = watched_signatures.c.state.in_(among(OPEN))
_OPEN_WATCHES = (
    select(watched_signatures).where(_IS_OPEN).order_by(watched_signatures.c.created_at, watched_signatures.c.signature)
)


def open_watch_count(conn: Connection) -> int:
    return int(conn.scalar(select(func.count()).select_from(watched_signatures).where(_IS_OPEN)) or 0)


def open_watches_by_state(conn: Connection) -> dict[str, int]:
    """How many open signatures are in which state."""
    query = select(watched_signatures.c.state, func.count().label("rows")).where(_IS_OPEN)
    return {row.state: row.rows for row in conn.execute(query.group_by(watched_signatures.c.state))}


def moved_at(conn: Connection, name: str) -> datetime | None:
    """When a cursor was last moved; None before its first row."""
    found: datetime | None = conn.scalar(select(cursors.c.moved_at).where(cursors.c.name == name))
    return found


def record_fates(conn: Connection, fates: Sequence[Fate], now: datetime) -> int:
    """Write what the chain says and make due the jobs of what has ended, parked ones too, and of what a fork has taken
    back, to send it again; returns how many rows changed.

    Final states never change, so an answer that comes late, or to two replicas, does nothing.
    """
    told = {"of": [fate.signature for fate in fates]}
    known = {row.signature: row for row in conn.execute(_OPEN_OF_THESE, told)}
    changed = [fate for fate in fates if fate.signature in known and known[fate.signature].state != fate.state]
    if not changed:
        return 0
    conn.execute(
        _CHANGED,
        [
            {
                "of": fate.signature,
                "state": fate.state,
                "slot": fate.slot,
                "err": fate.err,
                "proof": fate.proof,
                "changed_at": now,
            }
            for fate in changed
        ],
    )
    for purpose, subject in _waiting(known[fate.signature] for fate in changed if fate.state not in OPEN):
        revive(conn, purpose, subject, now)
    for purpose, subject in _waiting(known[fate.signature] for fate in changed if fate.state is WatchState.WATCHING):
        enqueue(conn, purpose, subject, now)
    return len(changed)


_OPEN_OF_THESE = (
    select(watched_signatures)
    .where(watched_signatures.c.signature.in_(bindparam("of", expanding=True)), _IS_OPEN)
    .order_by(watched_signatures.c.signature)
    .with_for_update()
)
_CHANGED = update(watched_signatures).where(watched_signatures.c.signature == bindparam("of"))


def _waiting(rows: Iterable[Row[tuple[object, ...]]]) -> list[tuple[str, str]]:
    """In one order in every transaction, so that two of them never wait for each other."""
    return sorted({(row.purpose, row.subject) for row in rows})


def cursor(conn: Connection, name: str) -> Cursor | None:
    """Where a follower stands; None before its first row."""
    row = conn.execute(_CURSOR, {"of": name}).one_or_none()
    return None if row is None else Cursor(row.value, row.position)


_CURSOR = select(cursors).where(cursors.c.name == bindparam("of"))


def move_cursor(
    conn: Connection, name: str, before: Cursor | None, value: str, position: int | None, now: datetime
) -> bool:
    """Move a cursor from where the caller read it, in the transaction of the rows it stands for.

    False, and nothing changed, when somebody else moved it since: the caller writes none of its rows.
    """
    if before is None:
        born = conn.execute(
            insert_into(cursors, conn.dialect.name)
            .values(name=name, value=value, position=position, moved_at=now)
            .on_conflict_do_nothing(index_elements=[cursors.c.name])
        )
        return born.rowcount == 1
    moved = conn.execute(
        _MOVE, {"of": name, "stood": before.value, "value": value, "position": position, "moved_at": now}
    )
    return moved.rowcount == 1


_MOVE = update(cursors).where(cursors.c.name == bindparam("of"), cursors.c.value == bindparam("stood"))


def reading(conn: Connection, name: str) -> Reading | None:
    """The latest balance read from the chain under that name."""
    row = conn.execute(select(readings).where(readings.c.name == name)).one_or_none()
    return None if row is None else Reading(row.amount, row.slot, row.read_at)


def read_at(conn: Connection, name: str) -> datetime | None:
    """When a balance was last read, with the history before it; None before the first time."""
    moment: datetime | None = conn.scalar(select(readings.c.read_at).where(readings.c.name == name))
    return moment


def record_reading(conn: Connection, name: str, amount: int, slot: int, now: datetime) -> None:
    """Store a balance unless a newer one is known."""
    conn.execute(_read(conn.dialect.name), {"name": name, "amount": amount, "slot": slot, "read_at": now})


@cache
def _read(dialect: str) -> Insert:
    statement = insert_into(readings, dialect)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[readings.c.name],
        set_={"amount": new.amount, "slot": new.slot, "read_at": new.read_at},
        where=readings.c.slot <= new.slot,
    )


def _watched(row: Row[tuple[object, ...]]) -> Watched:
    return Watched(
        signature=row.signature,
        purpose=row.purpose,
        subject=row.subject,
        last_valid_block_height=row.last_valid_block_height,
        state=WatchState(row.state),
        slot=row.slot,
        err=row.err,
        proof=row.proof,
        created_at=row.created_at,
    )
