"""A clock that was days ahead has made work due in days, and leases that last as long. Once it is set right, nobody
waits for that."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, update

from domain.states import WorkState
from storage.statements import fixed
from storage.tables import circle_notifications, jobs, stripe_events

WAITS_MOST = timedelta(hours=1)
"""Few steps wait longer for their next run, and each may be run earlier: it looks anew at what is so."""

_TABLES = (jobs, stripe_events, circle_notifications)
_NOW, _LATEST = bindparam("now", type_=jobs.c.due_at.type), bindparam("latest", type_=jobs.c.due_at.type)
_DUE = [
    update(table).where(table.c.state == fixed(WorkState.DUE), table.c.due_at > _LATEST).values(due_at=_NOW)
    for table in _TABLES
]
_LEASED = [
    update(table).where(table.c.state == fixed(WorkState.DUE), table.c.lease_until > _LATEST).values(lease_until=_NOW)
    for table in _TABLES
]


def bring_back(conn: Connection, now: datetime) -> int:
    """Make due now what would be so only after WAITS_MOST, and let leases of that length run out: whoever still works
    renews his. Returns how many rows of work were not due. Repeating it changes nothing.

    `now` may be wrong too, so nothing that guards money is brought forward: an address that was changed by the clock
    that was ahead cools off that much longer.
    """
    moments = {"now": now, "latest": now + WAITS_MOST}
    brought = sum(conn.execute(statement, moments).rowcount for statement in _DUE)
    for statement in _LEASED:
        conn.execute(statement, moments)
    return brought
