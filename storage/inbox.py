"""What came in from Stripe and Circle, stored once each as work for later. One statement takes many events."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any

from sqlalchemy import Connection, Dialect, Insert, bindparam, select

from domain.states import WorkState
from storage.statements import ONE, fixed, insert_into
from storage.tables import Moment, circle_notifications, stripe_events

_EVENT_COLUMNS = "event_id, type, stripe_created_at, body, state, due_at, created_at"
_POSTGRES_EVENTS = (
    f"INSERT INTO stripe_events ({_EVENT_COLUMNS}) "  # noqa: S608 (column names, no values)
    "SELECT i, t, c, b, 'due', n, n FROM unnest($1::text[], $2::text[], $3::bigint[], $4::bytea[], $5::bigint[]) "
    "AS e(i, t, c, b, n) ON CONFLICT (event_id) DO NOTHING"
)
"""Plain SQL because this is the hottest statement of the daemon: building the expression costs more than running it."""
_ROWS_MAX = 100
"""Rows in one SQLite statement; each number of rows is a statement of its own, and the driver keeps 128 prepared."""


@dataclass(frozen=True, slots=True)
class StripeEvent:
    """An event to be worked on later. `body` is exactly what was signed, or the event as Stripe's API lists it."""

    event_id: str
    type: str
    stripe_created_at: datetime
    body: bytes
    received_at: datetime


def add_stripe_events(conn: Connection, events: Sequence[StripeEvent]) -> int:
    """Store the events that are not stored yet, due now. Returns how many were new.

    Sorted by id, so that two writers with the same events in different order can't block each other.
    """
    rows = [_row(event, conn.dialect) for event in sorted(events, key=lambda event: event.event_id)]
    if not rows:
        return 0
    if conn.dialect.name == "sqlite":
        return _add_to_sqlite(conn, rows)
    return conn.exec_driver_sql(_POSTGRES_EVENTS, tuple([list(column) for column in zip(*rows, strict=True)])).rowcount


def _add_to_sqlite(conn: Connection, rows: Sequence[tuple[Any, ...]]) -> int:
    """Many rows a statement: for each row of an executemany the driver would hand the interpreter to another thread."""
    new = 0
    for start in range(0, len(rows), _ROWS_MAX):
        chunk = rows[start : start + _ROWS_MAX]
        values = tuple([value for row in chunk for value in row])
        new += conn.exec_driver_sql(_sqlite_events(len(chunk)), values).rowcount
    return new


@lru_cache(maxsize=_ROWS_MAX)
def _sqlite_events(rows: int) -> str:
    places = ", ".join(
        f"(?{place + 1}, ?{place + 2}, ?{place + 3}, ?{place + 4}, 'due', ?{place + 5}, ?{place + 5})"
        for place in range(0, 5 * rows, 5)
    )
    return f"INSERT INTO stripe_events ({_EVENT_COLUMNS}) VALUES {places} ON CONFLICT (event_id) DO NOTHING"  # noqa: S608


def add_circle_notification(
    conn: Connection, notification_id: str, notification_type: str, body: bytes, now: datetime
) -> bool:
    """Store a notification, due now; False when it is stored already."""
    told = {"notification_id": notification_id, "type": notification_type, "body": body}
    born = {"state": WorkState.DUE, "due_at": now, "created_at": now}
    return conn.execute(_add_circle(conn.dialect.name), {**told, **born}).rowcount == 1


@cache
def _add_circle(dialect: str) -> Insert:
    born = insert_into(circle_notifications, dialect)
    return born.on_conflict_do_nothing(index_elements=[circle_notifications.c.notification_id])


def event_time(seconds: object, otherwise: datetime) -> datetime:
    """Stripe's `created` as a time; `otherwise` for anything that is none: an event is not refused for it."""
    if isinstance(seconds, int) and not isinstance(seconds, bool) and 0 <= seconds < _YEAR_9999:
        return datetime.fromtimestamp(seconds, UTC)
    return otherwise


_YEAR_9999 = 253_370_764_800
_MOMENT = Moment()


def _row(event: StripeEvent, dialect: Dialect) -> tuple[Any, ...]:
    """Values in the order of the statements' parameters."""
    received = _MOMENT.process_bind_param(event.received_at, dialect)
    created = _MOMENT.process_bind_param(event.stripe_created_at, dialect)
    return (event.event_id, event.type, created, event.body, received)


def is_unread(conn: Connection, until: datetime) -> bool:
    """Whether an event that came by then has not been worked on yet; one that was tried in vain, has been."""
    return conn.scalar(_UNREAD, {"until": until}) is not None


_UNREAD = (
    select(stripe_events.c.id)
    .where(
        stripe_events.c.state == fixed(WorkState.DUE),
        stripe_events.c.last_error.is_(None),
        stripe_events.c.created_at <= bindparam("until", type_=stripe_events.c.created_at.type),
    )
    .limit(ONE)
)
