"""What the operator sees: one purchase with its history, work that waits or is parked, and the sums. Reads only."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from typing import Any

from sqlalchemy import Connection, Row, String, Table, cast, func, literal, literal_column, select, union_all

from domain.states import UsdcStatus, WorkState
from storage.books import ledger
from storage.statements import fixed
from storage.tables import (
    batches,
    circle_notifications,
    group_members,
    jobs,
    ledger_balances,
    ledger_entries,
    ledger_postings,
    payouts,
    purchases,
    readings,
    stripe_events,
)
from storage.work import BY_HAND, PACKED_KINDS


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


def jobs_of(
    conn: Connection, purchase_id: int, payout_ids: Collection[int], transfer_ids: Collection[int]
) -> Sequence[Row[Any]]:
    """The live jobs of a purchase, of its transfers and of the groups that they are packed in, and what a person is
    asked about its payouts."""
    groups = select(cast(group_members.c.group_id, String)).where(group_members.c.transfer_id.in_(transfer_ids))
    of_purchase = jobs.c.kind.in_(["fee", "mint", "refund", "refunds"]) & (jobs.c.subject == str(purchase_id))
    of_payouts = jobs.c.kind.in_(BY_HAND) & jobs.c.subject.in_([str(one) for one in payout_ids])
    of_transfers = (jobs.c.kind == "transfer") & jobs.c.subject.in_([str(one) for one in transfer_ids])
    of_groups = jobs.c.kind.in_(PACKED_KINDS) & jobs.c.subject.in_(groups)
    query = select(jobs).where(of_purchase | of_payouts | of_transfers | of_groups)
    return conn.execute(query.where(jobs.c.state != WorkState.DONE).order_by(jobs.c.id)).all()


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
    for (table, source, what, subject), state in product(named, states):
        if after is not None and source < after.source:
            continue
        query = select(
            literal_column(f"'{source}'", String).label("source"),
            what.label("kind"),
            table.c[subject].label("subject"),
            *(table.c[name] for name in columns),
        ).where(table.c.state == fixed(state))  # by the index of that state: the inboxes keep all that ever came
        if kind is not None:
            query = query.where(what == kind)
        if after is not None and source == after.source:
            query = query.where(table.c.id > after.row_id)
        parts.append(query)
    return conn.execute(union_all(*parts).order_by("source", "id").limit(limit)).all() if parts else []


def counts(conn: Connection) -> dict[str, dict[str, int]]:
    """How many purchases, payouts, jobs and inbox rows are in which state."""
    columns = {"purchases": purchases.c.status, "payouts": payouts.c.state, "jobs": jobs.c.state}
    by_state = {
        name: {row.state: row.rows for row in conn.execute(select(column.label("state"), _ROWS).group_by(column))}
        for name, column in columns.items()
    }
    return by_state | {table.name: _inbox_counts(conn, table) for table in (stripe_events, circle_notifications)}


_ROWS = func.count().label("rows")


def _inbox_counts(conn: Connection, table: Table) -> dict[str, int]:
    """What is done is what is left of all: only the bodies' own pages know it, and they are gigabytes."""
    found = {
        state: conn.scalar(select(_ROWS).select_from(table).where(table.c.state == fixed(state))) or 0
        for state in (WorkState.DUE, WorkState.PARKED)
    }
    found[WorkState.DONE] = (conn.scalar(select(_ROWS).select_from(table)) or 0) - sum(found.values())
    return {state.value: rows for state, rows in found.items() if rows}


def readings_of(conn: Connection) -> Sequence[Row[Any]]:
    """The latest finalized balances read from the chain."""
    treasury = readings.c.name.startswith("treasury_")
    return conn.execute(select(readings).where(treasury).order_by(readings.c.name)).all()


def unconverted(conn: Connection) -> int:
    """USDC base units owed that no deposit covers yet: all payouts in pending_conversion."""
    unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
    return int(conn.scalar(select(unpaid).where(payouts.c.state == fixed(UsdcStatus.PENDING_CONVERSION))) or 0)


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
