"""The operator's switches: they hold across restarts and replicas, since they are rows."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from storage.history import note
from storage.statements import insert_into
from storage.tables import switches

SENDS_PAUSED = "sends_paused"


def turn(conn: Connection, name: str, is_on: bool, reason: str, who: str, now: datetime) -> None:
    """Set a switch, with its history. Idempotent."""
    values = {"is_on": is_on, "reason": reason[:500], "set_by": who[:64], "set_at": now}
    statement = insert_into(switches, conn.dialect.name).values(name=name, **values)
    conn.execute(statement.on_conflict_do_update(index_elements=[switches.c.name], set_=values))
    note(conn, "switch", name, None, "on" if is_on else "off", now, f"{who}: {reason}"[:500])


def why_on(conn: Connection, name: str) -> str | None:
    """The reason a switch is on; None when it is off."""
    row = conn.execute(_NAMED, {"of": name}).one_or_none()
    return None if row is None or not row.is_on else (row.reason or "no reason given")


_NAMED = select(switches).where(switches.c.name == bindparam("of"))
