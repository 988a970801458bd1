"""What is stopped waits until that ends. Whoever ends it makes the work due, in the same transaction: a switch that is
turned off, a batch that goes on, an outflow that is explained; and each start, since settings change with nothing else.
"""

from datetime import datetime

from sqlalchemy import Connection, Select, String, Update, bindparam, case, cast, select, update

from domain.states import WorkState
from storage.statements import among, fixed
from storage.tables import jobs, payout_groups, transfers

KINDS = ("batch", "conversion", "packed_sign", "transfer", "upkeep")
"""Their steps ask what stops them."""


def look_again(conn: Connection, now: datetime) -> None:
    """Make due what may be stopped by something that has ended. What is due is touched too: whoever has just looked at
    it, and found it stopped, looks once more. What may have taken effect goes on being looked up at its own pace."""
    conn.execute(_ALL, {"now": now})


def look_again_in(conn: Connection, batch_id: int, now: datetime) -> None:
    """`look_again` at what one batch sends."""
    for statement in (_TRANSFERS, _GROUPS):
        conn.execute(statement, {"now": now, "of": batch_id})


def _waking(*kinds: str) -> Update:
    now = bindparam("now", type_=jobs.c.due_at.type)
    return (
        update(jobs)
        .where(jobs.c.state == fixed(WorkState.DUE), jobs.c.kind.in_(among(kinds)), jobs.c.unknown_since.is_(None))
        .values(due_at=case((jobs.c.due_at > now, now), else_=jobs.c.due_at), wakes=jobs.c.wakes + 1)
    )


def _of_batch(kind: str, subjects: Select[str]) -> Update:
    return _waking(kind).where(jobs.c.subject.in_(subjects))


_ALL = _waking(*KINDS)
_TRANSFERS = _of_batch("transfer", select(cast(transfers.c.id, String)).where(transfers.c.batch_id == bindparam("of")))
_GROUPS = _of_batch(
    "packed_sign", select(cast(payout_groups.c.id, String)).where(payout_groups.c.batch_id == bindparam("of"))
)
