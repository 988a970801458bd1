"""How long start gates stay closed: what one process has waited for and looked up, the next one need not again.

On PostgreSQL others may send meanwhile, from gates that were open before. What they sign is in the rows, unless these
are of a backup: so there a row counts only for as long as it is no copy and the server has not been started anew, as it
is for whatever is copied beneath it.
"""

import json
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import Connection, select, text

from storage.recovery import stamps
from storage.recovery.adoption import RESTORED_AT
from storage.statements import insert_into
from storage.tables import cursors, installation

NAME, LOOKED_AT, OPENED = "start_gate", "start_gate_looked", "start_gate_opened"


@dataclass(frozen=True, slots=True)
class GateWait:
    """`signed_up_to`: the block height at which the last process with an open gate can have signed. `closed_until`: the
    one before which no process opens its gate."""

    signed_up_to: int
    closed_until: int


def standing(conn: Connection) -> GateWait | None:
    """The latest wait, over or not; None where none ever was, or it may be of a backup on PostgreSQL."""
    kept = _kept(conn, NAME)
    return None if kept is None else GateWait(int(kept.value), kept.position)


def stay_closed(conn: Connection, wait: GateWait, now: datetime) -> None:
    _keep(conn, NAME, str(wait.signed_up_to), wait.closed_until, now)


def looked_at(conn: Connection, wait: GateWait) -> set[int]:
    """Sales for whose NFT it was looked at the end of that wait, when nothing could land any more."""
    kept = _kept(conn, LOOKED_AT)
    return set() if kept is None or kept.position != wait.signed_up_to else set(json.loads(kept.value))


def keep_looked_at(conn: Connection, wait: GateWait, sales: Set[int], now: datetime) -> None:
    _keep(conn, LOOKED_AT, json.dumps(sorted(sales)), wait.signed_up_to, now)


def opened(conn: Connection, now: datetime) -> None:
    _keep(conn, OPENED, "", 0, now)


def closed_since_restored(conn: Connection) -> datetime | None:
    """Since when, where no gate has opened on these rows since they were put in place of others."""
    restored: datetime | None = conn.scalar(select(installation.c.set_at).where(installation.c.name == RESTORED_AT))
    before: datetime | None = conn.scalar(select(cursors.c.moved_at).where(cursors.c.name == OPENED))
    return restored if restored is not None and (before is None or before < restored) else None


class _Kept(NamedTuple):
    value: str
    position: int


def _kept(conn: Connection, name: str) -> _Kept | None:
    if not _is_shared(conn):
        row = conn.execute(select(cursors).where(cursors.c.name == name)).one_or_none()
        return None if row is None else _Kept(row.value, row.position)
    row = stamps.own_row(conn, cursors, name)
    if row is None:
        return None
    since, _, value = stamps.value_of(row).partition(" ")
    return _Kept(value, row.position) if since == conn.scalar(_RUNS_SINCE) else None


def _keep(conn: Connection, name: str, value: str, position: int, now: datetime) -> None:
    if _is_shared(conn):
        value = stamps.stamped(conn, f"{conn.scalar(_RUNS_SINCE)} {value}")
    values = {"value": value, "position": position, "moved_at": now}
    born = insert_into(cursors, conn.dialect.name).values(name=name, **values)
    conn.execute(born.on_conflict_do_update(index_elements=[cursors.c.name], set_=values))


def _is_shared(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


_RUNS_SINCE = text("SELECT extract(epoch FROM pg_postmaster_start_time())::text")
