"""How the operation itself stands: what is unproven, waits, was last swept or backed up, and how large the database is.

Cheap on purpose: everything here touches open work or single rows, and is read every few seconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, String, cast, func, select, text

from domain.states import BatchStatus, PurchaseStatus
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts.batches import UNSETTLED
from storage.payouts.held_orders import are_held
from storage.reconciliation import reports
from storage.recovery.backups import last_started
from storage.statements import fixed, insert_into
from storage.tables import batches, cursors, jobs, mint_attempts, purchases, readings, state_history
from storage.treasury.funding import lacking

SWEEP_CURSOR = "stripe_events"
HEARTBEAT = "heartbeat"
STRIPE_BALANCE = "stripe_balance"
"""Reading: available and pending together, cents."""
STRIPE_WEBHOOK = "stripe_webhook"
"""Reading: 1 while Stripe sends events to our address, 0 once its endpoint is disabled."""


@dataclass(frozen=True, slots=True)
class Unproven:
    """Sends whose outcome is not known: rows, and since when the first of them has been unknown."""

    rows: int
    oldest_at: datetime


@dataclass(frozen=True, slots=True)
class Reconciled:
    """The latest reconciliation that came to its end: counts by verdict."""

    at: datetime
    findings: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Vitals:
    """`minting_since`: since when a sale has been minting, the longest; `batches_since`: the same of a batch in each
    unsettled status. `short` in USDC base units: what batches that wait for funds lack. Moments are None for what never
    happened."""

    unproven: Mapping[str, Unproven]
    minting_since: datetime | None
    batches_since: Mapping[BatchStatus, datetime]
    short: int
    sends_paused: bool
    orders_held: bool
    swept_at: datetime | None
    backed_up_at: datetime | None
    reconciled: Reconciled | None
    stripe_balance: int | None
    stripe_webhook: int | None
    size_bytes: int


def read(conn: Connection, now: datetime) -> Vitals:
    return Vitals(
        unproven=_unproven(conn),
        minting_since=conn.scalar(_MINTING_SINCE),
        batches_since=_batches_since(conn),
        short=lacking(conn),
        sends_paused=why_on(conn, SENDS_PAUSED) is not None,
        orders_held=are_held(conn),
        swept_at=_moved_at(conn, SWEEP_CURSOR),
        backed_up_at=last_started(conn, now),
        reconciled=_reconciled(conn),
        stripe_balance=_amount(conn, STRIPE_BALANCE),
        stripe_webhook=_amount(conn, STRIPE_WEBHOOK),
        size_bytes=_size(conn),
    )


_MINTING_SINCE = (
    select(func.min(mint_attempts.c.created_at))
    .select_from(mint_attempts.join(purchases))
    .where(purchases.c.status == fixed(PurchaseStatus.MINTING))
)
"""By its first attempt: what was paid may have waited for days for the buyer's wallet."""


def beat(conn: Connection, now: datetime) -> None:
    """One write that reaches the disk: the sign of life that the service manager is given."""
    born = insert_into(cursors, conn.dialect.name).values(name=HEARTBEAT, value="alive", moved_at=now)
    conn.execute(born.on_conflict_do_update(index_elements=[cursors.c.name], set_={"moved_at": now}))


def _unproven(conn: Connection) -> dict[str, Unproven]:
    query = (
        select(jobs.c.kind, func.count().label("rows"), func.min(jobs.c.unknown_since).label("since"))
        .where(jobs.c.unknown_since.is_not(None))
        .group_by(jobs.c.kind)
    )
    return {row.kind: Unproven(row.rows, row.since) for row in conn.execute(query)}


def _batches_since(conn: Connection) -> dict[BatchStatus, datetime]:
    """By the history: a batch that waited for days for its funds has only begun to send when it is covered."""
    came = (
        select(func.max(state_history.c.at))
        .where(
            state_history.c.machine == "batch",
            state_history.c.subject == cast(batches.c.id, String),
            state_history.c.after == batches.c.status,
        )
        .scalar_subquery()
    )
    query = select(batches.c.status, func.min(came).label("since")).where(UNSETTLED).group_by(batches.c.status)
    return {BatchStatus(row.status): row.since for row in conn.execute(query)}


def _reconciled(conn: Connection) -> Reconciled | None:
    row = reports.latest_finished(conn)
    if row is None:
        return None
    return Reconciled(row.finished_at, {"green": row.green, "explained": row.explained, "red": row.red})


def _amount(conn: Connection, name: str) -> int | None:
    found: int | None = conn.scalar(select(readings.c.amount).where(readings.c.name == name))
    return found


def _moved_at(conn: Connection, name: str) -> datetime | None:
    moment: datetime | None = conn.scalar(select(cursors.c.moved_at).where(cursors.c.name == name))
    return moment


def _size(conn: Connection) -> int:
    if conn.dialect.name == "postgresql":
        return int(conn.scalar(text("SELECT pg_database_size(current_database())")) or 0)
    pages = conn.exec_driver_sql("PRAGMA page_count").scalar_one()
    return int(pages) * int(conn.exec_driver_sql("PRAGMA page_size").scalar_one())
