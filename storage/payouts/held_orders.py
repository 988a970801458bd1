"""While Circle takes no orders, no other one is begun (ADR 75, ADR 77).

The switch is a row: it holds for every replica, and after a start. The oldest order that was begun and is not taken
asks for all.
"""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, String, cast, exists, func, or_, select, update

from domain.keys import KEY_TRUSTED_FOR
from domain.states import TransferState, WorkState
from storage.operation.switches import state_of, turn
from storage.payouts.transfers import wake_unanswered
from storage.statements import among, fixed
from storage.tables import batches, jobs, transfer_attempts, transfers

ORDERS_HELD = "orders_held"
BY = "the circle rail"
HELD = "Circle takes no orders since "
"""Begins what the work on an order that is held says."""
NONE_LEFT = "no order that was begun waits to be taken"
TRY_ANOTHER = timedelta(minutes=30)
"""After the last order that left, the next one does: the oldest may be at fault itself."""


def are_held(conn: Connection) -> bool:
    """Whether Circle takes no orders, as far as is known."""
    return state_of(conn, ORDERS_HELD) is not None


def why_held(
    conn: Connection, attempt_id: int | None, now: datetime, tried_at: datetime | None = None, *, lock: bool = False
) -> str | None:
    """Why an order that has not left must not leave now. `attempt_id`: its attempt, if it has one. `tried_at`: when one
    that does not ask was tried last, and did not leave. `lock`: in a writing transaction that lets it leave; of two
    that would go, the other one waits for this one's."""
    held = state_of(conn, ORDERS_HELD)
    if held is not None and lock:
        held = state_of(conn, ORDERS_HELD, lock=True)
    if held is None:
        return None
    mine = transfer_attempts.c.id != (attempt_id or 0)
    left_at = func.coalesce(transfer_attempts.c.first_sent_at, transfer_attempts.c.created_at)
    oldest, last = conn.execute(
        select(func.min(transfer_attempts.c.id), func.max(left_at)).where(_ASKED_FOR, _is_fresh(now), mine)
    ).one()
    if oldest is None or (attempt_id is not None and attempt_id < oldest):
        return None
    if now - max(last, tried_at or last) >= TRY_ANOTHER:
        return None
    return f"{HELD}{held.set_at:%Y-%m-%d %H:%M} UTC: {held.reason}"


def asks_for_all(conn: Connection, attempt_id: int, now: datetime) -> bool:
    """Whether this order is the one that asks whether Circle takes orders again."""
    return are_held(conn) and _oldest(conn, now) == attempt_id


def one_waits(conn: Connection, now: datetime) -> bool:
    """Whether Circle takes no orders, and one waits to ask, if only for its batch to go on."""
    return are_held(conn) and _oldest(conn, now, _WAITS) is not None


def stands_still(conn: Connection, now: datetime) -> bool:
    """Whether orders are held, and nobody is about to ask: none that was begun is left, or the oldest was held too."""
    if not are_held(conn):
        return False
    oldest = _oldest(conn, now)
    if oldest is None:
        return _oldest(conn, now, _WAITS) is None
    return conn.scalar(select(jobs.c.id).where(_is_held(oldest, now))) is not None


def move(conn: Connection, now: datetime) -> str | None:
    """What stands still goes on: the oldest that was begun asks; where none is left, nothing is held. In words, what
    was done."""
    if not stands_still(conn, now):
        return None
    oldest = _oldest(conn, now)
    if oldest is None:
        turn(conn, ORDERS_HELD, False, NONE_LEFT, BY, now)
        return NONE_LEFT
    conn.execute(update(jobs).where(_is_held(oldest, now)).values(due_at=now, wakes=jobs.c.wakes + 1))
    return "the next one asks"


def _is_held(attempt_id: int, now: datetime) -> ColumnElement[bool]:
    """The work on an order, where it waits only because orders are held."""
    mine = select(cast(transfer_attempts.c.transfer_id, String)).where(transfer_attempts.c.id == attempt_id)
    waits = (jobs.c.state == fixed(WorkState.DUE)) & (jobs.c.due_at > now) & jobs.c.lease_until.is_(None)
    is_its = (jobs.c.kind == fixed("transfer")) & (jobs.c.subject == mine.scalar_subquery())
    return is_its & waits & jobs.c.last_error.startswith(HELD)


def _oldest(conn: Connection, now: datetime, those: ColumnElement[bool] | None = None) -> int | None:
    of = _ASKED_FOR if those is None else those
    found: int | None = conn.scalar(select(func.min(transfer_attempts.c.id)).where(of, _is_fresh(now)))
    return found


def _is_fresh(now: datetime) -> ColumnElement[bool]:
    """One whose key Circle may have forgotten is looked for, and asks no more."""
    sent_at = transfer_attempts.c.first_sent_at
    return or_(sent_at.is_(None), sent_at >= now - KEY_TRUSTED_FOR)


_WAITS = (
    transfer_attempts.c.state.in_(among((TransferState.INTENDED, TransferState.SUBMITTED)))
    & transfer_attempts.c.circle_transaction_id.is_(None)
    & transfer_attempts.c.signature.is_(None)
)
_ASKED_FOR = _WAITS & ~exists().where(
    transfers.c.id == transfer_attempts.c.transfer_id, batches.c.id == transfers.c.batch_id, batches.c.paused
)
"""What is in a batch that is paused is looked for at most."""


def hold(conn: Connection, why: str, now: datetime) -> bool:
    """Orders are not taken. Whether none were held before."""
    if state_of(conn, ORDERS_HELD, lock=True) is not None:
        return False
    turn(conn, ORDERS_HELD, True, why, BY, now)
    return True


def answered(conn: Connection, now: datetime) -> bool:
    """Circle has answered an order: those that it did not take are due, and what was held goes on. Whether any were
    held."""
    were_held = are_held(conn)
    wake_unanswered(conn, now)
    if were_held:
        turn(conn, ORDERS_HELD, False, "Circle has answered an order", BY, now)
    return were_held
