"""Switches that stop work: they hold across restarts and replicas, since they are rows."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from storage.history import note
from storage.operation.stopped import look_again
from storage.statements import insert_into
from storage.tables import switches

SENDS_PAUSED = "sends_paused"


def turn(conn: Connection, name: str, is_on: bool, reason: str, who: str, now: datetime) -> None:
    """Set a switch, with its history. What it has stopped goes on with its end. Idempotent."""
    if not is_on:
        look_again(conn, now)  # before the row of the switch, as whoever looks at both
    values = {"is_on": is_on, "reason": reason[:500], "set_by": who[:64], "set_at": now}
    statement = insert_into(switches, conn.dialect.name).values(name=name, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=[switches.c.name], set_=values))
    note(conn, "switch", name, None, "on" if is_on else "off", now, f"{who}: {reason}"[:500])


def why_on(conn: Connection, name: str) -> str | None:
    """The reason a switch is on; None when it is off."""
    row = state_of(conn, name)
    return None if row is None else (row.reason or "no reason given")


def state_of(conn: Connection, name: str, *, lock: bool = False) -> Row[Any] | None:
    """The switch, where it is on. `lock`: to the end of a writing transaction nobody else turns it; one that was never
    turned there is nothing of to lock."""
    row = conn.execute(_NAMED_LOCKED if lock else _NAMED, {"of": name}).one_or_none()
    return row if row is not None and row.is_on else None


_NAMED = select(switches).where(switches.c.name == bindparam("of"))
_NAMED_LOCKED = _NAMED.with_for_update()
