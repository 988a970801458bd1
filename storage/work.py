"""Durable work: jobs and the two inboxes, claimed under a lease.

A claim takes a lease with a new epoch; whatever a worker writes afterwards it writes under `hold`, or with what ends or
puts off the row: both fail when another worker has claimed it since. A fact that arrives while the row is being worked
on only counts `wakes` up, so that finishing notices it and runs the row once more.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cache
from typing import Any, TypeVar

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Connection,
    Insert,
    Integer,
    RowMapping,
    Select,
    Table,
    Update,
    bindparam,
    case,
    delete,
    func,
    or_,
    select,
    update,
)
from sqlalchemy.sql.dml import ReturningUpdate

from domain.errors import PaymentSystemError
from domain.foreign_text import kept
from domain.states import WorkState
from storage.queues import Queue
from storage.statements import among, fixed, insert_into, varying
from storage.tables import circle_notifications, jobs, stripe_events

T = TypeVar("T")
UNKNOWN_OUTCOME = "unknown outcome: "
"""Begins the `last_error` of a row whose step may have changed something outside; `unknown_since` says from when on it
was so without an end."""
REFUSED_ACCESS = "an operator must act: "
"""Begins the `last_error` of a row whose service refuses whatever is asked, behind UNKNOWN_OUTCOME where that is so. It
uses up no attempt."""
PACKED_KINDS = ("packed_sign", "packed_send", "packed_settle")
"""The steps of a group's one transaction."""
WHY_CHARS, CODE_CHARS = 2_000, 64
BY_HAND = frozenset({"underpaid", "overnetted"})
"""Kinds that no step runs: parked from their birth, for a person."""


class LeaseLost(PaymentSystemError):
    """Another worker has claimed the row since: drop what you were about to write."""


@dataclass(frozen=True, slots=True, eq=False)
class Claim:
    """A claimed row. `kind` and `subject` say what to do on what. For an inbox row `subject` is the foreign id, and
    `type` and `body` are what came in; a job has neither.

    Each is like no other: SQLite gives the id of the newest deleted job to the next one, whose first claim has the same
    epoch, and it may be made before whoever deleted the last one has looked up."""

    table: Table
    id: int
    kind: str
    subject: str
    attempts: int
    epoch: int
    wakes: int
    last_error: str | None
    unknown_since: datetime | None
    created_at: datetime
    type: str
    body: bytes

    @property
    def was_refused(self) -> bool:
        """At its last run, whatever it would have asked."""
        return (self.last_error or "").startswith((REFUSED_ACCESS, UNKNOWN_OUTCOME + REFUSED_ACCESS))


def enqueue(conn: Connection, kind: str, subject: str | int, now: datetime, due_at: datetime | None = None) -> None:
    """Make the job (kind, subject) exist and be due by `due_at` (default: now), in the caller's transaction.

    Idempotent. A live job becomes due earlier if that is earlier, never later; a parked one stays parked: a person
    decides about it (`retry`).
    """
    _make_due(conn, _enqueue(conn.dialect.name), kind, subject, now, due_at or now)


def revive(conn: Connection, kind: str, subject: str | int, now: datetime) -> None:
    """Make the job due now even if it is parked: a person asked for it, or a new fact settles what it waited for."""
    _make_due(conn, _revive(conn.dialect.name), kind, subject, now, now)


def _make_due(
    conn: Connection, statement: Insert, kind: str, subject: str | int, now: datetime, due_at: datetime
) -> None:
    born = {"kind": kind, "subject": str(subject), "state": WorkState.DUE, "due_at": due_at, "created_at": now}
    conn.execute(statement, {**born, "attempts": 0})


@cache
def _enqueue(dialect: str) -> Insert:
    statement = insert_into(jobs, dialect)
    earlier = func.min if dialect == "sqlite" else func.least
    return statement.on_conflict_do_update(
        index_elements=[jobs.c.kind, jobs.c.subject],
        set_={"due_at": earlier(jobs.c.due_at, statement.excluded.due_at), "wakes": jobs.c.wakes + 1},
    )


@cache
def _revive(dialect: str) -> Insert:
    statement = insert_into(jobs, dialect)
    earlier = func.min if dialect == "sqlite" else func.least
    parked, born = jobs.c.state == fixed(WorkState.PARKED), statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[jobs.c.kind, jobs.c.subject],
        set_={
            "state": case((parked, born.state), else_=jobs.c.state),
            "attempts": case((parked, born.attempts), else_=jobs.c.attempts),
            "due_at": case((parked, born.due_at), else_=earlier(jobs.c.due_at, born.due_at)),
            "wakes": jobs.c.wakes + 1,
        },
    )


def claim(conn: Connection, queue: Queue, most: int, holder: str, now: datetime, lease: timedelta) -> list[Claim]:
    """Claim up to `most` due rows of a queue, oldest due first.

    Rows whose lease has run out are claimed again: their worker died or hangs, and `hold` will refuse its writes.
    """
    asked = {"now": now, "most": most, "holder": holder, "until": now + lease}
    rows = conn.execute(_take(queue), asked).mappings().all()
    return [_claim(queue.table, row) for row in sorted(rows, key=lambda row: (row["due_at"], row["id"]))]


@cache
def _take(queue: Queue) -> ReturningUpdate[Any]:
    """The rows are chosen in a CTE, which PostgreSQL runs once: a bare subquery it may run again, beyond its limit."""
    table = queue.table
    chosen = _claimable(queue).cte("chosen")
    return (
        update(table)
        .where(table.c.id.in_(select(chosen.c.id)))
        .values(
            lease_holder=bindparam("holder"),
            lease_until=bindparam("until", type_=table.c.lease_until.type),
            lease_epoch=table.c.lease_epoch + 1,
        )
        .returning(*table.c)
    )


def _claimable(queue: Queue) -> Select[Any]:
    table = queue.table
    now = bindparam("now", type_=table.c.due_at.type)
    free = (table.c.lease_until.is_(None)) | (table.c.lease_until <= now)
    ids = (
        select(table.c.id)
        .where(table.c.state == fixed(WorkState.DUE), table.c.due_at <= now, free)
        .order_by(table.c.due_at, table.c.id)
        .limit(varying(bindparam("most", type_=Integer())))
        .with_for_update(skip_locked=True)
    )
    return ids if queue.kinds is None else ids.where(table.c.kind.in_(among(sorted(queue.kinds))))


def hold(conn: Connection, claimed: Claim) -> None:
    """Fence: raise LeaseLost unless the claim's epoch is still the row's. Locks the row on PostgreSQL.

    A row is known by its birth too: SQLite gives the id of the newest deleted job to the next one.
    """
    _require_held(claimed, len(conn.execute(_held(claimed.table), _same(claimed)).all()))


def _require_held(claimed: Claim, rows: int) -> None:
    if rows == 0:
        raise LeaseLost(f"{claimed.kind} {claimed.subject}: the lease was taken over")


@cache
def _held(table: Table) -> Select[Any]:
    return select(table.c.id).where(*_is_held(table)).with_for_update()


def _is_held(table: Table) -> tuple[ColumnElement[bool], ...]:
    """The row, born when it was claimed, and claimed by nobody since: what ends or puts off a row says so in the same
    statement."""
    same = table.c.id == bindparam("which"), table.c.created_at == bindparam("born")
    return *same, table.c.lease_epoch == bindparam("epoch")


def _same(claimed: Claim) -> dict[str, Any]:
    return {"which": claimed.id, "born": claimed.created_at, "epoch": claimed.epoch}


def wake_refused(conn: Connection, passed: Claim, now: datetime) -> None:
    """A row of this kind is refused no more: make the others due that were."""
    table = passed.table
    waits = table.c.state == WorkState.DUE, table.c.due_at > now, table.c.lease_until.is_(None)
    mine = (table.c.kind == passed.kind,) if table is jobs else ()
    said = table.c.last_error
    refused = or_(said.startswith(REFUSED_ACCESS), said.startswith(UNKNOWN_OUTCOME + REFUSED_ACCESS))
    conn.execute(update(table).where(*waits, *mine, refused).values(due_at=now, wakes=table.c.wakes + 1))


def ask_person(conn: Connection, kind: str, subject: str, code: str, why: str, now: datetime) -> None:
    """Put something that no step can settle before a person: a row that is parked from its birth. One that is there is
    parked and says from now on what is so; one that a person has closed stays closed until that is something else."""
    why = kept(why, WHY_CHARS)
    asked = {"state": WorkState.PARKED, "error_code": kept(code, CODE_CHARS), "last_error": why}
    statement = insert_into(jobs, conn.dialect.name).values(
        kind=kind, subject=subject, due_at=now, created_at=now, **asked
    )
    conn.execute(
        statement.on_conflict_do_update(
            index_elements=[jobs.c.kind, jobs.c.subject],
            set_={**asked, "wakes": jobs.c.wakes + 1},
            where=(jobs.c.state != WorkState.DONE) | (jobs.c.last_error != why),
        )
    )


def ask_no_more(conn: Connection, kind: str, subject: str) -> None:
    """What a person was asked for is settled by itself."""
    asked = (jobs.c.kind == kind) & (jobs.c.subject == subject) & (jobs.c.state == WorkState.PARKED)
    conn.execute(delete(jobs).where(asked))


def renew(conn: Connection, claims: Collection[Claim], until: datetime) -> None:
    """Keep the leases of rows that are still being worked on; a lease lost meanwhile stays lost."""
    for claimed in claims:
        conn.execute(_renew(claimed.table), {**_same(claimed), "until": until})


@cache
def _renew(table: Table) -> Update:
    held = *_is_held(table), table.c.lease_until.is_not(None)
    return update(table).where(*held).values(lease_until=bindparam("until", type_=table.c.lease_until.type))


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


def finish(conn: Connection, claimed: Claim, now: datetime) -> None:
    """The row's work is done. A job that was woken meanwhile runs once more; else its row goes. Raises LeaseLost."""
    if claimed.table is not jobs:
        _release(conn, claimed, state=WorkState.DONE, last_error=None, error_code=None, unknown_since=None)
        return
    gone = conn.execute(_FINISH, {**_same(claimed), "woken": claimed.wakes})
    if gone.rowcount == 0:
        _release(conn, claimed, due_at=now, attempts=0, unknown_since=None)


def again(conn: Connection, claimed: Claim, due_at: datetime, now: datetime, why: str, attempts: int) -> None:
    """Run the row again at `due_at`, or at once when it was woken meanwhile. `attempts`: used up by then. Raises
    LeaseLost."""
    due = {"woken": claimed.wakes, "now": now, "later": due_at, "tries": attempts, "why": kept(why, WHY_CHARS)}
    due["unknown"] = why.startswith(UNKNOWN_OUTCOME)
    _require_held(claimed, conn.execute(_again(claimed.table), {**_same(claimed), **due}).rowcount)


@cache
def _again(table: Table) -> Update:
    now, later = (bindparam(name, type_=table.c.due_at.type) for name in ("now", "later"))
    return (
        update(table)
        .where(*_is_held(table))
        .values(
            lease_holder=None,
            lease_until=None,
            due_at=case((table.c.wakes == bindparam("woken"), later), else_=now),
            attempts=bindparam("tries"),
            last_error=bindparam("why"),
            unknown_since=case((bindparam("unknown", type_=Boolean()), func.coalesce(table.c.unknown_since, now))),
        )
    )


def is_woken(conn: Connection, claimed: Claim) -> bool:
    """Whether a fact or a person has called for the row since it was claimed. Under `hold`."""
    return bool(conn.scalar(_wakes(claimed.table), {"which": claimed.id}) != claimed.wakes)


@cache
def _wakes(table: Table) -> Select[Any]:
    return select(table.c.wakes).where(table.c.id == bindparam("which"))


def park(conn: Connection, claimed: Claim, code: str, why: str) -> None:
    """Leave the row to a person, with its reason. Raises LeaseLost."""
    _release(
        conn,
        claimed,
        state=WorkState.PARKED,
        attempts=claimed.attempts + 1,
        last_error=kept(why, WHY_CHARS),
        error_code=kept(code, CODE_CHARS),
        unknown_since=None,
    )


def retry(conn: Connection, table: Table, row_id: int, now: datetime) -> bool:
    """A person wants a parked row to run again, with all its attempts. False when it is not parked."""
    done = conn.execute(
        update(table)
        .where(table.c.id == row_id, table.c.state == WorkState.PARKED)
        .values(state=WorkState.DUE, due_at=now, attempts=0, lease_until=None, wakes=table.c.wakes + 1)
    )
    return done.rowcount == 1


def _release(conn: Connection, claimed: Claim, **values: object) -> None:
    changed = {"lease_holder": None, "lease_until": None, **values}
    _require_held(claimed, conn.execute(_change(claimed.table), {**_same(claimed), **changed}).rowcount)


@cache
def _change(table: Table) -> Update:
    """Sets the columns that its parameters name."""
    return update(table).where(*_is_held(table))


_FINISH = delete(jobs).where(*_is_held(jobs), jobs.c.wakes == bindparam("woken"))


_INBOXES = {
    stripe_events: ("stripe_event", "event_id"),
    circle_notifications: ("circle_notification", "notification_id"),
}
"""What their rows are as work, and the column of the foreign id."""


def _claim(table: Table, row: RowMapping) -> Claim:
    inbox = _INBOXES.get(table)
    kind, subject = (row["kind"], row["subject"]) if inbox is None else (inbox[0], row[inbox[1]])
    return Claim(
        table=table,
        id=row["id"],
        kind=kind,
        subject=subject,
        attempts=row["attempts"],
        epoch=row["lease_epoch"],
        wakes=row["wakes"],
        last_error=row["last_error"],
        unknown_since=row["unknown_since"],
        created_at=row["created_at"],
        type="" if inbox is None else row["type"],
        body=b"" if inbox is None else row["body"],
    )
