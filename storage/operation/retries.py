"""A person asks for failed work to run again: one, many or all of a kind, each checked against the states."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ColumnElement, Connection, Row, cast, func, select, union

from domain.errors import RequestError
from domain.foreign_text import kept
from domain.states import BatchStatus, PurchaseStatus, UsdcStatus, WalletState, WorkState
from storage.history import advance
from storage.operation import by_hand
from storage.operation.decided import run_again, tell
from storage.payouts import recipients
from storage.sales.purchases import PAYMENT_FAILED
from storage.sales.returns import settle_returns
from storage.statements import change_of
from storage.tables import (
    batches,
    circle_notifications,
    group_members,
    jobs,
    payouts,
    purchases,
    stripe_events,
    transfers,
    users,
)
from storage.work import BY_HAND, PACKED_KINDS, WHY_CHARS, enqueue, retry, revive

_ASKED = "retry asked for by an operator"
SOURCES = {"jobs": jobs, "stripe_events": stripe_events, "circle_notifications": circle_notifications}


def retry_wallet(conn: Connection, user_id: int, now: datetime) -> None:
    """Ask for a user's wallet again. Raises RequestError 404 `user_not_found` or 409 `not_failed`."""
    state = conn.scalar(select(users.c.wallet_state).where(users.c.id == user_id).with_for_update())
    if state is None:
        raise RequestError(404, "user_not_found", f"there is no user {user_id}")
    if state == WalletState.FAILED:
        advance(conn, user_id, WalletState.QUEUED, now, _ASKED)
    elif state == WalletState.READY or not _parked(conn, "wallet", user_id):
        raise RequestError(409, "not_failed", f"the wallet of user {user_id} has not failed: {state}")
    run_again(conn, "wallet", user_id, _ASKED, now)


def retry_mint(conn: Connection, purchase_id: int, now: datetime) -> None:
    """Mint again; the step knows from its attempts what may be done. Raises RequestError 404 or 409.

    A purchase whose payment failed is not retried: nothing was paid for it.
    """
    row = _purchase(conn, purchase_id)
    if row.status_reason == PAYMENT_FAILED:
        raise RequestError(
            409, "not_failed", f"purchase {purchase_id} was never paid: there is no mint that has failed"
        )
    if row.status != PurchaseStatus.FAILED and not _parked(conn, "mint", purchase_id):
        raise RequestError(409, "not_failed", f"the mint of purchase {purchase_id} has not failed: {row.status}")
    run_again(conn, "mint", purchase_id, _ASKED, now)


def retry_distribution(conn: Connection, purchase_id: int, now: datetime) -> None:
    """Pay again what is proven unpaid. Raises RequestError 404 or 409.

    The payouts keep their batch and their transfer, whose next attempt cites the proof of the one before; they go back
    to waiting for cover, since the money they were promised may have gone to others. A transfer that pays several
    purchases of one creator goes back as a whole. What their recipients owe, or may come to owe, is taken or kept back
    of them first, as of all that are due.
    """
    recipients.lock_beside(conn, purchase_id)
    _purchase(conn, purchase_id)
    failed = _failed(conn, payouts.c.purchase_id == purchase_id)
    if not failed:
        raise RequestError(409, "not_failed", f"no payout of purchase {purchase_id} has failed")
    transfer_ids = {row.transfer_id for row in failed if row.transfer_id is not None}
    together = _failed(conn, payouts.c.transfer_id.in_(transfer_ids))
    again = {row.id: row.purchase_id for row in (*failed, *together)}
    for payout_id in sorted(again):
        advance(conn, payout_id, UsdcStatus.PENDING_CONVERSION, now, _ASKED, reason=None)
    for sale in sorted(set(again.values())):
        settle_returns(conn, sale, f"retry:{now.timestamp():.6f}", now)
    for batch_id in sorted({row.batch_id for row in failed if row.batch_id is not None}):
        _reopen(conn, batch_id, now)
    alone = select(transfers.c.id).where(transfers.c.id.in_(transfer_ids), batches.c.rail == "circle")
    for transfer_id in sorted(conn.scalars(alone.select_from(transfers.join(batches)))):
        revive(conn, "transfer", transfer_id, now)
    enqueue(conn, "fund", "treasury", now)


def _failed(conn: Connection, which: ColumnElement[bool]) -> Sequence[Row[Any]]:
    """Those of them that have, locked: one that a refund cancels or a person holds meanwhile does not come back."""
    chosen = select(payouts).where(which, payouts.c.state == UsdcStatus.FAILED)
    return conn.execute(chosen.order_by(payouts.c.id).with_for_update()).all()


def _reopen(conn: Connection, batch_id: int, now: datetime) -> None:
    status = conn.scalar(select(batches.c.status).where(batches.c.id == batch_id).with_for_update())
    if status == BatchStatus.SETTLED:
        advance(conn, batch_id, BatchStatus.SENDING, now, _ASKED, settled_at=None)
    revive(conn, "batch", batch_id, now)


def failed_ids(conn: Connection, kind: str, limit: int) -> list[int]:
    """Up to `limit` users (`wallet`) or purchases (`mint`, `distribution`) whose work has failed, oldest first."""
    parked = select(cast(jobs.c.subject, BigInteger).label("id")).where(
        jobs.c.kind == kind, jobs.c.state == WorkState.PARKED
    )
    unpaid = func.coalesce(purchases.c.status_reason, "") == PAYMENT_FAILED
    failed = {
        "wallet": select(users.c.id).where(users.c.wallet_state == WalletState.FAILED),
        "mint": select(purchases.c.id).where(purchases.c.status == PurchaseStatus.FAILED, ~unpaid),
        "distribution": select(payouts.c.purchase_id.label("id")).where(payouts.c.state == UsdcStatus.FAILED),
    }[kind]
    return [row.id for row in conn.execute(union(failed, parked).order_by("id").limit(limit))]


Retry = Callable[[Connection, int, datetime], None]
RETRIES: Mapping[str, Retry] = {
    "wallet": retry_wallet,
    "mint": retry_mint,
    "distribution": retry_distribution,
}


def retry_row(conn: Connection, source: str, row_id: int, now: datetime) -> None:
    """Run a parked job or inbox row again, with all its attempts; what failed with it goes back first, since its step
    would find nothing to do. Raises RequestError 404 or 409.

    What a person pays or gets back by hand stays before him: no step runs it, and as work that is due it would be seen
    by nobody.
    """
    table = SOURCES[source]
    row = conn.execute(select(table).where(table.c.id == row_id)).one_or_none()
    if row is None:
        raise RequestError(404, "work_not_found", f"there is no row {row_id} in {source}")
    if source == "jobs" and row.kind in BY_HAND:
        raise RequestError(409, "by_hand", f"nothing can run it again, a person must settle it: {row.last_error}")
    if not retry(conn, table, row_id, now):
        raise RequestError(409, "not_parked", f"row {row_id} of {source} is not parked")
    tell(conn, source, row, WorkState.DUE, _ASKED, now)
    if source == "jobs":
        _take_up_failed(conn, row, now)


def _take_up_failed(conn: Connection, job: Row[Any], now: datetime) -> None:
    if job.kind == "wallet":
        if conn.scalar(select(users.c.wallet_state).where(users.c.id == int(job.subject))) == WalletState.FAILED:
            retry_wallet(conn, int(job.subject), now)
        return
    if job.kind == "transfer":
        given_up = [int(job.subject)]
    elif job.kind in PACKED_KINDS:
        inside = select(group_members.c.transfer_id).where(group_members.c.group_id == int(job.subject))
        given_up = list(conn.scalars(inside))
    else:
        return
    recipients.lock_of_transfers(conn, given_up)
    mine = payouts.c.transfer_id.in_(given_up)
    failed = select(payouts.c.purchase_id).where(mine, payouts.c.state == UsdcStatus.FAILED).limit(1)
    while (purchase_id := conn.scalar(failed)) is not None:
        retry_distribution(conn, purchase_id, now)


def close_row(conn: Connection, source: str, row_id: int, amount: int | None, reason: str, now: datetime) -> None:
    """A person has settled outside what a parked row was about: it is no work any more. Raises RequestError 404, 409 or
    422.

    Of jobs only those that no step runs; `amount` (base units) is what was paid for it, all that is asked for now: it
    is booked, and stands in the payout's history; also where it was closed before that was so (`by_hand.is_unbooked`).
    An event stays in the inbox and can be replayed; one that waits for its sale is read all the same should that come.
    Nothing of it is booked.
    """
    table = SOURCES[source]
    if table is jobs:
        mine = jobs.c.id == row_id, jobs.c.kind.in_(BY_HAND)
        by_hand.lock_for(conn, conn.scalar(select(jobs.c.subject).where(*mine)) or "")
    row = conn.execute(select(table).where(table.c.id == row_id).with_for_update()).one_or_none()
    if row is None:
        raise RequestError(404, "work_not_found", f"there is no row {row_id} in {source}")
    if row.state != WorkState.PARKED and not (table is jobs and by_hand.is_unbooked(conn, row)):
        raise RequestError(409, "not_parked", f"row {row_id} of {source} is not parked")
    if table is jobs and row.kind not in BY_HAND:
        raise RequestError(
            409, "not_by_hand", f"a step does this work: mend what it says and retry it: {row.last_error}"
        )
    if table is not jobs:
        if amount is not None:
            raise RequestError(422, "invalid_request", "amount: nothing is paid by hand for an event", "amount")
        conn.execute(change_of(table), {"which": row_id, "state": WorkState.DONE})
        tell(conn, source, row, WorkState.DONE, reason, now)
        return
    by_hand.settle_asked(conn, row.kind, row.subject, amount or 0, reason, now)
    # It is booked: should as much be due once more, that is another matter, and asked for anew.
    told = kept(f"{by_hand.SETTLED}{reason}", WHY_CHARS)
    conn.execute(change_of(table), {"which": row_id, "state": WorkState.DONE, "last_error": told})
    tell(conn, source, row, WorkState.DONE, told, now)
    by_hand.ask_anew(conn, row.subject, now)


def _purchase(conn: Connection, purchase_id: int) -> Row[Any]:
    row = conn.execute(select(purchases).where(purchases.c.id == purchase_id).with_for_update()).one_or_none()
    if row is None:
        raise RequestError(404, "purchase_not_found", f"there is no purchase {purchase_id}")
    return row


def _parked(conn: Connection, kind: str, subject: int) -> bool:
    state = conn.scalar(select(jobs.c.state).where(jobs.c.kind == kind, jobs.c.subject == str(subject)))
    return bool(state == WorkState.PARKED)
