"""What a payout's row says of it."""

from typing import Any

from sqlalchemy import Row

from domain.refunds import Position


def position(row: Row[Any]) -> Position:
    """A row of `payouts` as it stands."""
    return position_of(row, row.amount)


def position_of(row: Row[Any], due: int) -> Position:
    """As if so much were due of it."""
    return Position(due, row.paid_amount, row.netted_amount, row.settled_amount)
