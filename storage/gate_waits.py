"""How long start gates stay closed: what one process has waited for, the next one need not wait for again."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, select

from storage.statements import insert_into
from storage.tables import cursors

NAME = "start_gate"


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
    values = {"value": str(wait.signed_up_to), "position": wait.closed_until, "moved_at": now}
    born = insert_into(cursors, conn.dialect.name).values(name=NAME, **values)
    conn.execute(born.on_conflict_do_update(index_elements=[cursors.c.name], set_=values))
