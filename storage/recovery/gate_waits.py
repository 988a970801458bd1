"""How long start gates stay closed: what one process has waited for and looked up, the next one need not again."""

import json
from collections.abc import Set
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from storage.statements import insert_into
from storage.tables import cursors

NAME, LOOKED_AT = "start_gate", "start_gate_looked"


@dataclass(frozen=True, slots=True)
class GateWait:
    """`signed_up_to`: the block height at which the last process with an open gate can have signed. `closed_until`: the
    one before which no process opens its gate."""

    signed_up_to: int
    closed_until: int


def standing(conn: Connection) -> GateWait | None:
    """The latest wait, over or not; None where none ever was."""
    row = conn.execute(select(cursors).where(cursors.c.name == NAME)).one_or_none()
    return None if row is None else GateWait(int(row.value), row.position)


def stay_closed(conn: Connection, wait: GateWait, now: datetime) -> None:
    _keep(conn, NAME, str(wait.signed_up_to), wait.closed_until, now)


def looked_at(conn: Connection, wait: GateWait) -> set[int]:
    """Sales for whose NFT it was looked at the end of that wait, when nothing could land any more."""
    row = conn.execute(select(cursors).where(cursors.c.name == LOOKED_AT)).one_or_none()
    return set() if row is None or row.position != wait.signed_up_to else set(json.loads(row.value))


def keep_looked_at(conn: Connection, wait: GateWait, sales: Set[int], now: datetime) -> None:
    _keep(conn, LOOKED_AT, json.dumps(sorted(sales)), wait.signed_up_to, now)


def _keep(conn: Connection, name: str, value: str, position: int, now: datetime) -> None:
    values = {"value": value, "position": position, "moved_at": now}
    born = insert_into(cursors, conn.dialect.name).values(name=name, **values)
    conn.execute(born.on_conflict_do_update(index_elements=[cursors.c.name], set_=values))
