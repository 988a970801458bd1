"""Batches on their way: covered or not, sending, settled."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import (
    Connection,
    Row,
    Select,
    String,
    bindparam,
    cast,
    exists,
    func,
    literal,
    literal_column,
    select,
    update,
)

from domain.errors import Misuse, RequestError
from domain.states import PAYOUT_PENDING, BatchStatus, TransferState, UsdcStatus, WorkState
from storage.history import advance, note
from storage.operation.stopped import look_again_in
from storage.statements import always, among, insert_into, row_of
from storage.tables import batch_items, batches, jobs, payouts, transfer_attempts, transfers
from storage.work import enqueue

WAITING = (BatchStatus.PLANNED, BatchStatus.WAITING_APPROVAL, BatchStatus.WAITING_FUNDS)
UNSETTLED = batches.c.status.in_(among((*WAITING, BatchStatus.SENDING)))
"""Said of the states they can be in: what is only unequal to one state no index finds."""


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What is still to be paid by a batch: `open_payouts` of `unpaid` base units, of which `uncovered` wait for
    conversion."""

    open_payouts: int
    unpaid: int
    uncovered: int


def by_id(conn: Connection, batch_id: int) -> Row[Any]:
    row = conn.execute(row_of(batches), {"which": batch_id}).one_or_none()
    if row is None:
        raise Misuse(f"no batch {batch_id}")
    return row


def outstanding(conn: Connection, batch_id: int) -> Outstanding:
    rows = conn.execute(_OUTSTANDING, {"of": batch_id}).all()
    amounts = {row.state: int(row.amount) for row in rows}
    return Outstanding(
        open_payouts=sum(row.payouts for row in rows),
        unpaid=sum(amounts.values()),
        uncovered=amounts.get(UsdcStatus.PENDING_CONVERSION, 0),
    )


_OUTSTANDING = (
    select(
        payouts.c.state,
        func.count().label("payouts"),
        func.sum(payouts.c.amount - payouts.c.netted_amount).label("amount"),
    )
    .where(payouts.c.batch_id == bindparam("of"), payouts.c.state.in_(among(PAYOUT_PENDING)))
    .group_by(payouts.c.state)
)


def counts(conn: Connection, batch_id: int) -> dict[str, int]:
    """How many payouts of the whole plan are in which state, with those that have left it."""
    per_state = select(payouts.c.state, func.count().label("payouts")).group_by(payouts.c.state)
    within = {row.state: row.payouts for row in conn.execute(per_state.where(payouts.c.batch_id == batch_id))}
    planned = batch_items.c.batch_id == batch_id
    if sum(within.values()) == conn.scalar(select(func.count()).select_from(batch_items).where(planned)):
        return within  # off two indexes alone: none has left, and nothing joins a plan
    whole = per_state.select_from(batch_items.join(payouts, payouts.c.id == batch_items.c.payout_id))
    return {row.state: row.payouts for row in conn.execute(whole.where(planned))}


def waiting(conn: Connection, before: int | None = None, other_than: str = "") -> int | None:
    """The oldest batch that waits for approvals or funds and is not paused: it is served first. One that sends has had
    its turn: a payout of it whose outcome is unknown holds up nobody else. Of those made before `before`, and of
    another kind than the keys that begin with `other_than`."""
    asked = _waiting(before is not None, bool(other_than))
    found: int | None = conn.scalar(asked, {"before": before, "other_than": other_than})
    return found


@cache
def _waiting(before: bool, other_than: bool) -> Select[int]:
    asked = select(func.min(batches.c.id)).where(batches.c.status.in_(among(WAITING)), batches.c.paused.is_(False))
    if before:
        asked = asked.where(batches.c.id < bindparam("before"))
    return asked.where(~batches.c.key.startswith(bindparam("other_than"))) if other_than else asked


def last_planned(conn: Connection, key_prefix: str) -> datetime | None:
    """When the newest batch of a kind was planned."""
    newest = select(batches.c.created_at).where(batches.c.key.startswith(key_prefix)).order_by(batches.c.id.desc())
    found: datetime | None = conn.scalar(newest.limit(1))
    return found


def move(conn: Connection, batch_id: int, status: BatchStatus, now: datetime, why: str | None = None) -> None:
    """Set the batch's status unless it has it already."""
    if by_id(conn, batch_id).status != status:
        settled = {"settled_at": now} if status == BatchStatus.SETTLED else {}
        advance(conn, batch_id, status, now, why, **settled)


def start_transfers(conn: Connection, batch_id: int, now: datetime) -> None:
    """Make the work of each covered, unpaid payout of the batch due; set-based, idempotent. On the `circle` rail a job
    for each transfer, on `solana` one that packs them. A job that was parked when an earlier plan gave its transfer up
    is due again, and one that somebody works on runs once more, who has perhaps found its transfer not covered; one
    that waits for a person because of an attempt that may still take effect goes on waiting."""
    if by_id(conn, batch_id).rail == "solana":
        enqueue(conn, "pack", batch_id, now)
        return
    names = ["kind", "subject", "state", "due_at", "created_at"]
    subject = cast(payouts.c.transfer_id, String)
    when = literal(now, jobs.c.due_at.type)
    covered = payouts.c.batch_id == batch_id, payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION
    rows = (
        select(literal("transfer"), subject, literal(WorkState.DUE.value), when, when.label("born"))
        .where(*covered)
        .distinct()
    )
    conn.execute(insert_into(jobs, conn.dialect.name).from_select(names, rows).on_conflict_do_nothing())
    may_land = exists().where(
        transfer_attempts.c.transfer_id == payouts.c.transfer_id, transfer_attempts.c.state != TransferState.DEAD
    )
    too_early = (jobs.c.state == WorkState.PARKED) | jobs.c.lease_until.is_not(None)
    conn.execute(
        update(jobs)
        .where(jobs.c.kind == "transfer", too_early, jobs.c.subject.in_(select(subject).where(*covered, ~may_land)))
        .values(state=WorkState.DUE, due_at=now, attempts=0, wakes=jobs.c.wakes + 1)
    )


def wake_open(conn: Connection, now: datetime, after: int = 0) -> None:
    """Make the jobs of all open batches made after `after` due: money arrived, or an older batch had its turn."""
    for batch_id in conn.scalars(_UNSETTLED_AFTER, {"after": after}).all():
        enqueue(conn, "batch", batch_id, now)


_UNSETTLED_AFTER = select(batches.c.id).where(UNSETTLED, batches.c.id > bindparam("after")).order_by(batches.c.id)


def wake_with_less(conn: Connection, transfer_id: int, now: datetime) -> None:
    """Less is to be paid by a transfer: make its batch's job due, since that may be covered now, or nothing of it
    left."""
    batch = conn.execute(_BATCH_OF, {"of": transfer_id}).one()
    if batch.status != BatchStatus.SETTLED:
        enqueue(conn, "batch", batch.id, now)


_BATCH_OF = (
    select(batches.c.id, batches.c.status)
    .join(transfers, transfers.c.batch_id == batches.c.id)
    .where(transfers.c.id == bindparam("of"))
)


FEW = 8
"""Payouts of one batch that may be leaving it in other transactions at a moment."""


def wake_near_end(conn: Connection, batch_id: int, now: datetime) -> None:
    """Make the batch's job due when few payouts of it are left: a large batch is not summed up anew for each of its
    transactions. Not only when none is: what leaves the batch at this moment in another replica's transaction (a hold,
    a refund) is still seen here, and this payout there. Each wakes the job, so it looks after the later one. Of two
    that book payouts at once the second has waited for the first, at the ledger's balance of what is paid from: to be
    called after the payout is booked."""
    if len(conn.execute(_OPEN_ONES, {"of": batch_id}).all()) <= FEW:
        enqueue(conn, "batch", batch_id, now)


_OPEN_ONES = (
    select(payouts.c.id)
    .where(payouts.c.batch_id == bindparam("of"), payouts.c.state.in_(among(PAYOUT_PENDING)))
    .limit(always(FEW + 1))
)


def cutoffs_of_scheduled(conn: Connection) -> Sequence[datetime]:
    """Cutoffs of the weekly batches planned so far, the last ones first. Found from the newest batch on: in real time
    there is one for each sale, and no more of them are read than a few weeks have."""
    return conn.scalars(_CUTOFFS).all()


_CUTOFFS = (
    select(batches.c.cutoff_at)
    .where(batches.c.key.like(literal_column("'monday:%'")))
    .order_by(batches.c.id.desc())
    .limit(always(4))
)


def listed(conn: Connection, limit: int) -> Sequence[Row[Any]]:
    """The latest batches, newest first."""
    return conn.execute(select(batches).order_by(batches.c.id.desc()).limit(limit)).all()


def require_unsettled(conn: Connection, batch_id: int) -> None:
    """Before a person pauses it: a settled batch has nothing to stop, and a retry of what failed opens it again.
    Raises RequestError 409 `batch_settled`."""
    status = conn.scalar(select(batches.c.status).where(batches.c.id == batch_id).with_for_update())
    if status == BatchStatus.SETTLED:
        raise RequestError(
            409,
            "batch_settled",
            f"batch {batch_id} is settled: nothing of it is sent any more, so there is nothing to pause",
        )


def set_paused(conn: Connection, batch_id: int, reason: str | None, now: datetime) -> None:
    """Pause a batch with a reason, or let it go on (None). Those behind it look if it is their turn. Idempotent."""
    conn.execute(update(batches).where(batches.c.id == batch_id).values(paused=reason is not None, pause_reason=reason))
    note(conn, "batch", batch_id, None, "paused" if reason else "resumed", now, reason)
    enqueue(conn, "batch", batch_id, now)
    wake_open(conn, now, after=batch_id)
    if reason is None:
        look_again_in(conn, batch_id, now)


def largest_transfer(conn: Connection, batch_id: int) -> int:
    """The largest single amount of a batch (base units)."""
    return int(conn.scalar(_LARGEST, {"of": batch_id}) or 0)


_LARGEST = select(func.max(transfers.c.amount)).where(transfers.c.batch_id == bindparam("of"))
