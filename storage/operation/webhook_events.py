"""Stored webhook deliveries as the operator looks at them, and their replay."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Table, select, update

from domain.errors import RequestError
from domain.states import WorkState
from storage.operation.decided import tell
from storage.statements import fixed
from storage.tables import circle_notifications, stripe_events

INBOXES: Mapping[str, tuple[Table, str]] = {
    "stripe": (stripe_events, "event_id"),
    "circle": (circle_notifications, "notification_id"),
}
"""Where whose deliveries lie, and the column of the sender's id."""


def page(
    conn: Connection,
    source: str,
    state: WorkState | None,
    kind: str | None,
    foreign: str | None,
    before: int | None,
    limit: int,
) -> Sequence[Row[Any]]:
    """Up to `limit` deliveries of `stripe` or `circle`, newest first, with ids below `before`; without their bodies."""
    table, foreign_id = INBOXES[source]
    names = ("id", "type", "state", "attempts", "due_at", "created_at", "error_code", "last_error")
    query = select(table.c[foreign_id].label("foreign_id"), *(table.c[name] for name in names))
    if state is WorkState.DONE:  # nearly all are: walking them newest first finds a page at once
        query = query.where(table.c.state == state)
    elif state is not None:  # by the index of that state: the rest are gigabytes
        query = query.where(table.c.id.in_(select(table.c.id).where(table.c.state == fixed(state))))
    if kind is not None:
        query = query.where(table.c.type == kind)
    if foreign is not None:
        query = query.where(table.c[foreign_id] == foreign)
    if before is not None:
        query = query.where(table.c.id < before)
    return conn.execute(query.order_by(table.c.id.desc()).limit(limit)).all()


def one(conn: Connection, source: str, row_id: int) -> Row[Any] | None:
    """One delivery with its `body`, the exact bytes."""
    table, foreign_id = INBOXES[source]
    query = select(table, table.c[foreign_id].label("foreign_id")).where(table.c.id == row_id)
    return conn.execute(query).one_or_none()


def replay(conn: Connection, source: str, row_id: int, now: datetime) -> None:
    """Work on a delivery once more, done or parked. Harmless: every handler gives the same end state when repeated.

    Raises RequestError 404 `event_not_found`.
    """
    table, _ = INBOXES[source]
    standing = select(table.c.id, table.c.state).where(table.c.id == row_id).with_for_update()
    row = conn.execute(standing).one_or_none()
    if row is None:
        raise RequestError(404, "event_not_found", f"there is no delivery {row_id} of {source}")
    conn.execute(
        update(table)
        .where(table.c.id == row_id)
        .values(state=WorkState.DUE, due_at=now, attempts=0, last_error=None, error_code=None, wakes=table.c.wakes + 1)
    )
    tell(conn, table.name, row, WorkState.DUE, "replayed by an operator", now)
