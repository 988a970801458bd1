"""What the metrics read of how the system stands.

Every query is set-based and touches what is open, not what is done: a million settled sales cost nothing here.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Table, exists, func, select, true

from domain.ledger import Asset
from domain.states import (
    PAYOUT_DUE,
    PAYOUT_OWED,
    BatchStatus,
    PurchaseStatus,
    UsdcStatus,
    WorkState,
)
from storage.statements import among, fixed
from storage.tables import (
    batches,
    chain_movements,
    circle_notifications,
    jobs,
    ledger_balances,
    payouts,
    purchases,
    readings,
    stripe_events,
    users,
)

LATE_AFTER = timedelta(days=7, hours=6)
"""From when it could have been paid. A plan of Monday takes what came just after the last one a week later, and sends
for some hours."""
UNMINTED = (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED)


@dataclass(frozen=True, slots=True)
class Queue:
    """Rows of one kind of work in one state; `oldest_at` is a birth, `due_at` the earliest due time."""

    kind: str
    state: WorkState
    rows: int
    oldest_at: datetime
    due_at: datetime


@dataclass(frozen=True, slots=True)
class Balance:
    """A finalized balance as last read from the chain, in the asset's smallest unit."""

    amount: int
    read_at: datetime


@dataclass(frozen=True, slots=True)
class Unpaid:
    """Payouts in one state. `amount` in USDC base units, less what was netted."""

    rows: int
    amount: int


@dataclass(frozen=True, slots=True)
class Payable:
    """From when on a plan takes a sale: `hold` after its payment and, with `require_available`, not before Stripe's
    money may be used."""

    hold: timedelta = timedelta(0)
    require_available: bool = False


@dataclass(frozen=True, slots=True)
class Readings:
    """How the system stands. `oldest_unpaid_at`: the oldest card payment whose creators' money is not paid out."""

    queues: Sequence[Queue]
    unpaid: Mapping[UsdcStatus, Unpaid]
    oldest_unpaid_at: datetime | None
    batches: Mapping[BatchStatus, int]
    usdc: Balance | None
    sol: Balance | None
    imbalance: Mapping[Asset, int]
    orphans: int
    waiting_for_wallet: int
    waiting_too_long: int


def read(conn: Connection, wallet_wait_since: datetime) -> Readings:
    """Read all figures on one view. Purchases paid before `wallet_wait_since` wait too long for a wallet."""
    waiting, too_long = _waiting_for_wallet(conn, wallet_wait_since)
    return Readings(
        queues=queues(conn),
        unpaid=_unpaid(conn),
        oldest_unpaid_at=_oldest_unpaid(conn),
        batches=_batches(conn),
        usdc=_balance(conn, "treasury_usdc"),
        sol=_balance(conn, "treasury_sol"),
        imbalance=_imbalance(conn),
        orphans=_count(conn, chain_movements, chain_movements.c.kind == "orphan"),
        waiting_for_wallet=waiting,
        waiting_too_long=too_long,
    )


def queues(conn: Connection) -> list[Queue]:
    """All work that waits or is parked, by kind and state."""
    return [*_job_queues(conn), *_inbox_queues(conn)]


def _job_queues(conn: Connection) -> list[Queue]:
    """Finished jobs are deleted, so that all rows here are work, but for those that a person has closed."""
    columns = (
        func.count().label("rows"),
        func.min(jobs.c.created_at).label("born"),
        func.min(jobs.c.due_at).label("due"),
    )
    query = select(jobs.c.kind, jobs.c.state, *columns).group_by(jobs.c.kind, jobs.c.state)
    query = query.where(jobs.c.state.in_(among((WorkState.DUE, WorkState.PARKED))))
    return [Queue(row.kind, WorkState(row.state), row.rows, row.born, row.due) for row in conn.execute(query)]


def _inbox_queues(conn: Connection) -> list[Queue]:
    """One query a state: each has an index of its own, and rows that are done are never touched."""
    found = []
    for kind, table in (("stripe_event", stripe_events), ("circle_notification", circle_notifications)):
        for state in (WorkState.DUE, WorkState.PARKED):
            row = conn.execute(
                select(
                    func.count().label("rows"),
                    func.min(table.c.created_at).label("born"),
                    func.min(table.c.due_at).label("due"),
                ).where(table.c.state == fixed(state))
            ).one()
            if row.rows:
                found.append(Queue(kind, state, row.rows, row.born, row.due))
    return found


def _unpaid(conn: Connection) -> dict[UsdcStatus, Unpaid]:
    query = (
        select(
            payouts.c.state,
            func.count().label("rows"),
            func.sum(payouts.c.amount - payouts.c.netted_amount).label("amount"),
        )
        .where(payouts.c.state.in_(among(PAYOUT_OWED)))
        .group_by(payouts.c.state)
    )
    found = {UsdcStatus(row.state): Unpaid(row.rows, int(row.amount)) for row in conn.execute(query)}
    return {state: found.get(state, Unpaid(0, 0)) for state in PAYOUT_OWED}


_WITHOUT_WALLET = users.c.circle_wallet_address.is_(None) & users.c.wallet_address.is_(None)
_UNMINTED = (
    purchases.c.edition_held
    & purchases.c.hold_reason.is_(None)
    & purchases.c.minted_at.is_(None)
    & purchases.c.released_at.is_(None)
    & exists().where(users.c.id == purchases.c.buyer_id, ~_WITHOUT_WALLET)
)


def _oldest_unpaid(conn: Connection) -> datetime | None:
    """Over payouts, and over paid purchases that have none yet because they are not minted. What waits on purpose does
    not count: for a hold's end, or for a buyer to set up his wallet; nor does the loser of a sold-out race."""
    moments: list[datetime | None] = [
        *(
            conn.scalar(select(func.min(payouts.c.paid_at)).where(payouts.c.state == fixed(state)))
            for state in PAYOUT_DUE
        ),
        *(
            conn.scalar(select(func.min(purchases.c.paid_at)).where(purchases.c.status == fixed(status), _UNMINTED))
            for status in UNMINTED
        ),
    ]
    return min((moment for moment in moments if moment is not None), default=None)


def oldest_late(conn: Connection, payable: Payable, now: datetime) -> datetime | None:
    """The oldest of the same payments that could have been paid out LATE_AFTER ago. Newer ones are not looked at."""
    since = now - LATE_AFTER
    paid, available = since - payable.hold, purchases.c.available_on
    usable = available.is_(None) | (available <= since) if payable.require_available else true()
    owed = select(payouts.c.paid_at).select_from(payouts.join(purchases)).where(payouts.c.paid_at <= paid, usable)
    unminted = select(purchases.c.paid_at).where(purchases.c.paid_at <= paid, usable, _UNMINTED)
    first = [
        *(owed.where(payouts.c.state == fixed(state)).order_by(payouts.c.paid_at) for state in PAYOUT_DUE),
        *(unminted.where(purchases.c.status == fixed(status)).order_by(purchases.c.paid_at) for status in UNMINTED),
    ]
    moments = [conn.scalar(query.limit(1)) for query in first]
    return min((moment for moment in moments if moment is not None), default=None)


def _batches(conn: Connection) -> dict[BatchStatus, int]:
    query = select(batches.c.status, func.count().label("rows")).group_by(batches.c.status)
    found = {BatchStatus(row.status): int(row.rows) for row in conn.execute(query)}
    return {status: found.get(status, 0) for status in BatchStatus}


def _balance(conn: Connection, name: str) -> Balance | None:
    row = conn.execute(select(readings.c.amount, readings.c.read_at).where(readings.c.name == name)).one_or_none()
    return None if row is None else Balance(row.amount, row.read_at)


def _imbalance(conn: Connection) -> dict[Asset, int]:
    query = select(ledger_balances.c.asset, func.sum(ledger_balances.c.amount).label("amount"))
    found = {Asset(row.asset): int(row.amount) for row in conn.execute(query.group_by(ledger_balances.c.asset))}
    return {asset: found.get(asset, 0) for asset in Asset}


def _waiting_for_wallet(conn: Connection, since: datetime) -> tuple[int, int]:
    """How many wait, and how many of them for too long: of those that are released a person has decided."""
    too_long = (purchases.c.paid_at < since) & purchases.c.released_at.is_(None)
    query = (
        select(func.count().label("rows"), func.count().filter(too_long).label("too_long"))
        .select_from(purchases.join(users, purchases.c.buyer_id == users.c.id))
        .where(
            purchases.c.status == PurchaseStatus.PAYMENT_COMPLETED,
            purchases.c.edition_held,
            _WITHOUT_WALLET,
        )
    )
    row = conn.execute(query).one()
    return int(row.rows), int(row.too_long)


def _count(conn: Connection, table: Table, condition: Any) -> int:
    return conn.scalar(select(func.count()).select_from(table).where(condition)) or 0
