"""What the operator sees: one purchase with its history, work that waits or is parked, and the sums. Reads only."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, String, func, literal, literal_column, or_, select, union_all

from domain.states import UsdcStatus, WorkState
from storage import ledger
from storage.tables import (
    batches,
    circle_notifications,
    disputes,
    jobs,
    ledger_balances,
    ledger_entries,
    ledger_postings,
    mint_attempts,
    payouts,
    purchases,
    readings,
    refunds,
    state_history,
    stripe_events,
    transfer_attempts,
    transfers,
)


@dataclass(frozen=True, slots=True)
class PurchaseHistory:
    """Everything that belongs to one purchase, oldest first."""

    changes: Sequence[Row[Any]]
    mints: Sequence[Row[Any]]
    transfers: Sequence[Row[Any]]
    refunds: Sequence[Row[Any]]
    disputes: Sequence[Row[Any]]
    postings: Sequence[Row[Any]]
    jobs: Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class Position:
    """Where a page of work ended: the source's name and the row's id. Sources come in alphabetical order."""

    source: str
    row_id: int


@dataclass(frozen=True, slots=True)
class EntryWithPostings:
    """One ledger entry."""

    entry: Row[Any]
    postings: list[Row[Any]]


def purchase_history(conn: Connection, purchase: Row[Any]) -> PurchaseHistory:
    """The rows of a purchase, of its attempts, transfers, refunds, ledger entries and live jobs."""
    purchase_id = purchase.id
    mine = select(payouts.c.id).where(payouts.c.purchase_id == purchase_id)
    transfer_ids = select(payouts.c.transfer_id).where(payouts.c.purchase_id == purchase_id)
    attempts = (
        select(transfer_attempts, transfers.c.reference, transfers.c.amount, transfers.c.destination_address)
        .join(transfers, transfers.c.id == transfer_attempts.c.transfer_id)
        .where(transfer_attempts.c.transfer_id.in_(transfer_ids))
    )
    return PurchaseHistory(
        changes=_changes(
            conn,
            {
                "purchase": [purchase_id],
                "checkout": [purchase.checkout_id],
                "payout": list(conn.scalars(mine)),
                "mint": _ids(conn, mint_attempts, purchase_id),
                "transfer": list(conn.scalars(attempts.with_only_columns(transfer_attempts.c.id))),
                "refund": _ids(conn, refunds, purchase_id),
                "hold": [purchase_id],
                "release": [purchase_id],
            },
        ),
        mints=_of(conn, mint_attempts, purchase_id),
        transfers=conn.execute(attempts.order_by(transfer_attempts.c.id)).all(),
        refunds=_of(conn, refunds, purchase_id),
        disputes=_of(conn, disputes, purchase_id),
        postings=conn.execute(
            select(ledger_entries.c.key, ledger_entries.c.kind, ledger_entries.c.created_at, ledger_postings)
            .join(ledger_entries, ledger_entries.c.id == ledger_postings.c.entry_id)
            .where(ledger_entries.c.subject == (purchase.stripe_payment_intent_id or ""))
            .order_by(ledger_postings.c.id)
        ).all(),
        jobs=conn.execute(
            select(jobs).where(
                jobs.c.kind.in_(["fee", "mint", "refund", "refunds"]), jobs.c.subject == str(purchase_id)
            )
        ).all(),
    )


def _ids(conn: Connection, table: Any, purchase_id: int) -> list[int]:
    return list(conn.scalars(select(table.c.id).where(table.c.purchase_id == purchase_id)))


def _of(conn: Connection, table: Any, purchase_id: int) -> Sequence[Row[Any]]:
    return conn.execute(select(table).where(table.c.purchase_id == purchase_id).order_by(table.c.id)).all()


def _changes(conn: Connection, subjects: Mapping[str, list[int]]) -> Sequence[Row[Any]]:
    wanted = [
        (state_history.c.machine == machine) & state_history.c.subject.in_([str(row_id) for row_id in ids])
        for machine, ids in subjects.items()
        if ids
    ]
    return conn.execute(select(state_history).where(or_(*wanted)).order_by(state_history.c.id)).all()


def work(
    conn: Connection, states: Sequence[WorkState], after: Position | None, limit: int, kind: str | None = None
) -> Sequence[Row[Any]]:
    """Up to `limit` jobs and inbox rows in these states, of one kind if it is given, by source and id, after a
    position."""
    columns = ("id", "state", "attempts", "due_at", "created_at", "error_code", "last_error")
    named = [
        (circle_notifications, "circle_notifications", literal("circle_notification"), "notification_id"),
        (jobs, "jobs", jobs.c.kind, "subject"),
        (stripe_events, "stripe_events", literal("stripe_event"), "event_id"),
    ]
    parts = []
    for table, source, what, subject in named:
        if after is not None and source < after.source:
            continue
        query = select(
            literal_column(f"'{source}'", String).label("source"),
            what.label("kind"),
            table.c[subject].label("subject"),
            *(table.c[name] for name in columns),
        ).where(table.c.state.in_(states))
        if kind is not None:
            query = query.where(what == kind)
        if after is not None and source == after.source:
            query = query.where(table.c.id > after.row_id)
        parts.append(query)
    return conn.execute(union_all(*parts).order_by("source", "id").limit(limit)).all() if parts else []


def counts(conn: Connection) -> dict[str, dict[str, int]]:
    """How many purchases, payouts, jobs and inbox rows are in which state."""
    tables = {
        "purchases": (purchases, purchases.c.status),
        "payouts": (payouts, payouts.c.state),
        "jobs": (jobs, jobs.c.state),
        "stripe_events": (stripe_events, stripe_events.c.state),
        "circle_notifications": (circle_notifications, circle_notifications.c.state),
    }
    return {
        name: {
            row.state: row.rows
            for row in conn.execute(
                select(column.label("state"), func.count().label("rows")).select_from(table).group_by(column)
            )
        }
        for name, (table, column) in tables.items()
    }


def readings_of(conn: Connection) -> Sequence[Row[Any]]:
    """The latest finalized balances read from the chain."""
    treasury = readings.c.name.startswith("treasury_")
    return conn.execute(select(readings).where(treasury).order_by(readings.c.name)).all()


def unconverted(conn: Connection) -> int:
    """USDC base units owed that no deposit covers yet: all payouts in pending_conversion."""
    unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
    return int(conn.scalar(select(unpaid).where(payouts.c.state == UsdcStatus.PENDING_CONVERSION)) or 0)


def ledger_page(conn: Connection, after: str | None, limit: int) -> tuple[int, Sequence[Row[Any]]]:
    """The ledger's imbalance (0 when it holds) and up to `limit` accounts with names after `after`, all assets each."""
    names = select(ledger_balances.c.account).distinct().order_by(ledger_balances.c.account).limit(limit)
    if after is not None:
        names = names.where(ledger_balances.c.account > after)
    accounts = list(conn.scalars(names))
    rows = conn.execute(
        select(ledger_balances)
        .where(ledger_balances.c.account.in_(accounts))
        .order_by(ledger_balances.c.account, ledger_balances.c.asset)
    ).all()
    return ledger.total_imbalance(conn), rows


def entries_page(conn: Connection, subject: str | None, before: int | None, limit: int) -> list[EntryWithPostings]:
    """Up to `limit` ledger entries with their postings, newest first, with ids below `before`."""
    query = select(ledger_entries).order_by(ledger_entries.c.id.desc()).limit(limit)
    if subject is not None:
        query = query.where(ledger_entries.c.subject == subject)
    if before is not None:
        query = query.where(ledger_entries.c.id < before)
    entries = {row.id: EntryWithPostings(row, []) for row in conn.execute(query)}
    lines = select(ledger_postings).where(ledger_postings.c.entry_id.in_(entries)).order_by(ledger_postings.c.id)
    for line in conn.execute(lines):
        entries[line.entry_id].postings.append(line)
    return list(entries.values())


def batch_page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` batches, newest first, with ids below `before`."""
    query = select(batches).order_by(batches.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(batches.c.id < before)).all()


def batch(conn: Connection, batch_id: int) -> Row[Any] | None:
    return conn.execute(select(batches).where(batches.c.id == batch_id)).one_or_none()


def age_seconds(created_at: datetime, now: datetime) -> int:
    """Whole seconds since a row's birth, never negative."""
    return max(0, int((now - created_at).total_seconds()))
