"""What waits because of a setting waits for a start: settings change with nothing else."""

from datetime import datetime

from sqlalchemy import Connection, bindparam, update

from domain.states import WorkState
from storage.statements import among, fixed
from storage.tables import jobs

KINDS = ("batch", "conversion", "packed_sign", "transfer")
"""Their steps hold money back by caps and by how many must agree."""


def look_again(conn: Connection, now: datetime) -> int:
    """Make due what may wait for a setting; how many rows were not due. What another replica works on, perhaps by its
    own older settings, runs once more. What may have taken effect goes on being looked up at its own pace."""
    return conn.execute(_LOOK_AGAIN, {"now": now}).rowcount


_NOW = bindparam("now", type_=jobs.c.due_at.type)
_LOOK_AGAIN = (
    update(jobs)
    .where(
        jobs.c.state == fixed(WorkState.DUE),
        jobs.c.kind.in_(among(KINDS)),
        (jobs.c.due_at > _NOW) | jobs.c.lease_until.is_not(None),
        jobs.c.unknown_since.is_(None),
    )
    .values(due_at=_NOW, wakes=jobs.c.wakes + 1)
)
