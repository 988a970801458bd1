"""The last days in bars: card money in, USDC paid out. Reads only."""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Column, ColumnElement, Connection, func, select, type_coerce

from domain.calendar import utc_day
from domain.states import PurchaseStatus, UsdcStatus
from storage.payouts.batches import UNSETTLED
from storage.statements import fixed
from storage.tables import batches, payouts, purchases

DAY_MICROSECONDS = 86_400 * 1_000_000
PAID = tuple(status for status in PurchaseStatus if status is not PurchaseStatus.PENDING)


@dataclass(frozen=True, slots=True)
class Day:
    """One UTC day. `amount` in the asset's smallest unit."""

    day: date
    rows: int
    amount: int


def sales_by_day(conn: Connection, now: datetime, days: int) -> list[Day]:
    """Card payments in cents, of the last `days` days up to today, oldest first; days without any are there too."""
    since = _since(now, days)
    day = _day_of(purchases.c.paid_at)
    query = (
        select(day.label("day"), func.count().label("rows"), func.sum(purchases.c.gross_amount).label("amount"))
        .where(purchases.c.status.in_(PAID), purchases.c.paid_at >= since)
        .group_by(day)
    )
    return _filled(conn, query, now, days)


def payouts_by_day(conn: Connection, now: datetime, days: int) -> list[Day]:
    """Finalized payouts in USDC base units, as above, however old their sales are."""
    since = _since(now, days)
    day = _day_of(payouts.c.distributed_at)
    query = (
        select(day.label("day"), func.count().label("rows"), func.sum(payouts.c.paid_amount).label("amount"))
        .where(payouts.c.distributed_at >= since)
        .group_by(day)
    )
    return _filled(conn, query, now, days)


def in_batches(conn: Connection) -> tuple[int, int]:
    """How many covered payouts are in a batch and not final yet, and their unpaid USDC base units."""
    unpaid = func.coalesce(func.sum(payouts.c.amount - payouts.c.netted_amount), 0)
    query = select(func.count(), unpaid).where(
        payouts.c.state == fixed(UsdcStatus.PENDING_DISTRIBUTION), payouts.c.batch_id.is_not(None)
    )
    number, amount = conn.execute(query).one()
    return int(number), int(amount)


def open_batch_ids(conn: Connection, limit: int) -> list[int]:
    """Batches that are not settled, oldest first: that is how they are served."""
    query = select(batches.c.id).where(UNSETTLED).order_by(batches.c.id).limit(limit)
    return list(conn.scalars(query))


def _since(now: datetime, days: int) -> datetime:
    today = utc_day(now)
    return today - timedelta(days=days - 1)


def _day_of(column: Column[Any]) -> ColumnElement[int]:
    return type_coerce(column, BigInteger) // DAY_MICROSECONDS


def _filled(conn: Connection, query: Any, now: datetime, days: int) -> list[Day]:
    found = {int(row.day): row for row in conn.execute(query)}
    first = (_since(now, days) - datetime(1970, 1, 1, tzinfo=UTC)).days
    return [
        Day(
            date(1970, 1, 1) + timedelta(days=number),
            int(found[number].rows) if number in found else 0,
            int(found[number].amount) if number in found else 0,
        )
        for number in range(first, first + days)
    ]
