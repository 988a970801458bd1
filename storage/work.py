"""Durable work: jobs and the two inboxes, claimed under a lease.

A claim takes a lease with a new epoch; whatever a worker writes afterwards it writes under `hold`, which fails when
another worker has claimed the row since. A fact that arrives while the row is being worked on only counts `wakes` up,
so that finishing notices it and runs the row once more.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    ColumnElement,
    Connection,
    Insert,
    Integer,
    RowMapping,
    Select,
    Table,
    bindparam,
    case,
    delete,
    func,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.sql.dml import ReturningUpdate

from domain.errors import PaymentSystemError
from domain.states import WorkState
from storage.tables import circle_notifications, jobs, stripe_events

T = TypeVar("T")
UNKNOWN_OUTCOME = "unknown outcome: "
"""Begins the `last_error` of a row whose step may have changed something outside."""


class LeaseLost(PaymentSystemError):
    """Another worker has claimed the row since: drop what you were about to write."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A claimed row. `kind` and `subject` say what to do on what; for an inbox row `subject` is the foreign id."""

    table: Table
    id: int
    kind: str
    subject: str
    attempts: int
    epoch: int
    wakes: int
    last_error: str | None
    created_at: datetime


def enqueue(conn: Connection, kind: str, subject: str | int, now: datetime, due_at: datetime | None = None) -> None:
    """Make the job (kind, subject) exist and be due by `due_at` (default: now), in the caller's transaction.

    Idempotent. A live job becomes due earlier if that is earlier, never later; a parked one stays parked: a person
    decides about it (`retry`).
    """
    values = {"kind": kind, "subject": str(subject), "state": WorkState.DUE, "due_at": due_at or now, "created_at": now}
    conn.execute(_enqueue(conn.dialect.name), {**values, "attempts": 0})


@cache
def _enqueue(dialect: str) -> Insert:
    insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
    statement = insert(jobs)
    earlier = func.min if dialect == "sqlite" else func.least
    return statement.on_conflict_do_update(
        index_elements=[jobs.c.kind, jobs.c.subject],
        set_={"due_at": earlier(jobs.c.due_at, statement.excluded.due_at), "wakes": jobs.c.wakes + 1},
    )


def claim(
    conn: Connection,
    table: Table,
    holder: str,
    now: datetime,
    lease: timedelta,
    limit: int,
    kinds: Collection[str] | None = None,
) -> list[Claim]:
    """Claim up to `limit` due rows, oldest due first; of `jobs` only those of the given kinds.

    Rows whose lease has run out are claimed again: their worker died or hangs, and `hold` will refuse its writes.
    """
    chosen = conn.scalars(
        _claimable(table, None if kinds is None else frozenset(kinds), conn.dialect.name), {"now": now, "most": limit}
    ).all()
    if not chosen:
        return []
    rows = conn.execute(_take(table), {"chosen": chosen, "holder": holder, "until": now + lease})
    claims = [_claim(table, row) for row in rows.mappings()]
    order = {row_id: place for place, row_id in enumerate(chosen)}
    return sorted(claims, key=lambda claimed: order[claimed.id])


@cache
def _claimable(table: Table, kinds: frozenset[str] | None, dialect: str) -> Select[Any]:
    """Built once: a worker asks this of every lane at each of its turns."""
    now = bindparam("now", type_=table.c.due_at.type)
    free = (table.c.lease_until.is_(None)) | (table.c.lease_until <= now)
    ids = (
        select(table.c.id)
        .where(table.c.state == WorkState.DUE, table.c.due_at <= now, free)
        .order_by(table.c.due_at, table.c.id)
        .limit(bindparam("most", type_=Integer()))
    )
    if kinds is not None:
        ids = ids.where(table.c.kind.in_(sorted(kinds)))
    return ids.with_for_update(skip_locked=True) if dialect == "postgresql" else ids


@cache
def _take(table: Table) -> ReturningUpdate[Any]:
    return (
        update(table)
        .where(table.c.id.in_(bindparam("chosen", expanding=True)))
        .values(
            lease_holder=bindparam("holder"),
            lease_until=bindparam("until", type_=table.c.lease_until.type),
            lease_epoch=table.c.lease_epoch + 1,
        )
        .returning(*table.c)
    )


def next_due(conn: Connection, table: Table, now: datetime, kinds: Collection[str] | None = None) -> datetime | None:
    """When the next row can be claimed: its due time, or the end of its lease if that is later."""
    found: datetime | None = conn.scalar(_next_due(table, None if kinds is None else frozenset(kinds)), {"now": now})
    return found


@cache
def _next_due(table: Table, kinds: frozenset[str] | None) -> Select[Any]:
    now = bindparam("now", type_=table.c.due_at.type)
    leased = (table.c.lease_until.is_not(None)) & (table.c.lease_until > now)
    moment = func.min(case((leased, table.c.lease_until), else_=table.c.due_at), type_=table.c.due_at.type)
    found = select(moment).where(table.c.state == WorkState.DUE)
    return found if kinds is None else found.where(table.c.kind.in_(sorted(kinds)))


def hold(conn: Connection, claimed: Claim) -> None:
    """Fence: raise LeaseLost unless the claim's epoch is still the row's. Locks the row on PostgreSQL.

    A row is known by its birth too: SQLite gives the id of the newest deleted job to the next one.
    """
    epoch = conn.scalar(select(claimed.table.c.lease_epoch).where(*_same_row(claimed)).with_for_update())
    if epoch != claimed.epoch:
        raise LeaseLost(f"{claimed.kind} {claimed.subject}: the lease was taken over")


def park_new(conn: Connection, kind: str, subject: str, code: str, why: str, now: datetime) -> None:
    """Put something that no step can settle before a person: a row that is parked from its birth. Idempotent."""
    insert = sqlite.insert if conn.dialect.name == "sqlite" else postgresql.insert
    conn.execute(
        insert(jobs)
        .values(
            kind=kind,
            subject=subject,
            state=WorkState.PARKED,
            due_at=now,
            created_at=now,
            error_code=code[:64],
            last_error=why[:2000],
        )
        .on_conflict_do_nothing()
    )


def renew(conn: Connection, claims: Collection[Claim], until: datetime) -> None:
    """Keep the leases of rows that are still being worked on; a lease lost meanwhile stays lost."""
    for claimed in claims:
        table = claimed.table
        conn.execute(
            update(table)
            .where(*_same_row(claimed), table.c.lease_epoch == claimed.epoch, table.c.lease_until.is_not(None))
            .values(lease_until=until)
        )


def release_all(conn: Connection) -> None:
    """End every lease: for a database that one process has to itself, at its start. The last one is dead then."""
    for table in (jobs, stripe_events, circle_notifications):
        conn.execute(
            update(table)
            .where(table.c.lease_until.is_not(None))
            .values(lease_holder=None, lease_until=None, lease_epoch=table.c.lease_epoch + 1)
        )


def fenced(claimed: Claim, fn: Callable[[Connection], T]) -> Callable[[Connection], T]:
    """`fn` under the claim's lease: what a step commits before its foreign call goes through this."""

    def run(conn: Connection) -> T:
        hold(conn, claimed)
        return fn(conn)

    return run


_FINISH = delete(jobs).where(jobs.c.id == bindparam("which"), jobs.c.wakes == bindparam("woken"))


def finish(conn: Connection, claimed: Claim, now: datetime) -> None:
    """The row's work is done. A job that was woken meanwhile runs once more; else its row goes. Under `hold`."""
    table = claimed.table
    if table is not jobs:
        _release(conn, claimed, state=WorkState.DONE, last_error=None, error_code=None)
        return
    gone = conn.execute(_FINISH, {"which": claimed.id, "woken": claimed.wakes})
    if gone.rowcount == 0:
        _release(conn, claimed, due_at=now, attempts=0)


def again(conn: Connection, claimed: Claim, due_at: datetime, now: datetime, why: str, counts: bool) -> None:
    """Run the row again at `due_at`, or at once when it was woken meanwhile. Under `hold`."""
    table = claimed.table
    woken = conn.scalar(select(table.c.wakes).where(table.c.id == claimed.id)) != claimed.wakes
    attempts = claimed.attempts + 1 if counts else claimed.attempts
    _release(conn, claimed, due_at=now if woken else due_at, attempts=attempts, last_error=why[:2000])


def park(conn: Connection, claimed: Claim, code: str, why: str) -> None:
    """Leave the row to a person, with its reason. Under `hold`."""
    _release(
        conn,
        claimed,
        state=WorkState.PARKED,
        attempts=claimed.attempts + 1,
        last_error=why[:2000],
        error_code=code[:64],
    )


def retry(conn: Connection, table: Table, row_id: int, now: datetime) -> bool:
    """A person wants a parked row to run again, with all its attempts. False when it is not parked."""
    done = conn.execute(
        update(table)
        .where(table.c.id == row_id, table.c.state == WorkState.PARKED)
        .values(state=WorkState.DUE, due_at=now, attempts=0, lease_until=None, wakes=table.c.wakes + 1)
    )
    return done.rowcount == 1


def revive(conn: Connection, kind: str, subject: str | int, now: datetime) -> None:
    """Make the job due now even if it is parked: a person asked for it, or a new fact settles what it waited for."""
    enqueue(conn, kind, subject, now)
    conn.execute(
        update(jobs)
        .where(jobs.c.kind == kind, jobs.c.subject == str(subject), jobs.c.state == WorkState.PARKED)
        .values(state=WorkState.DUE, due_at=now, attempts=0)
    )


def _same_row(claimed: Claim) -> tuple[ColumnElement[bool], ColumnElement[bool]]:
    return claimed.table.c.id == claimed.id, claimed.table.c.created_at == claimed.created_at


def _release(conn: Connection, claimed: Claim, **values: object) -> None:
    table = claimed.table
    conn.execute(update(table).where(table.c.id == claimed.id).values(lease_holder=None, lease_until=None, **values))


def _claim(table: Table, row: RowMapping) -> Claim:
    if table is stripe_events:
        kind, subject = "stripe_event", row["event_id"]
    elif table is circle_notifications:
        kind, subject = "circle_notification", row["notification_id"]
    else:
        kind, subject = row["kind"], row["subject"]
    return Claim(
        table=table,
        id=row["id"],
        kind=kind,
        subject=subject,
        attempts=row["attempts"],
        epoch=row["lease_epoch"],
        wakes=row["wakes"],
        last_error=row["last_error"],
        created_at=row["created_at"],
    )
