"""The database itself refuses a payout that is called distributed without the movement that paid it."""

from functools import partial

import pytest
from sqlalchemy import Connection, update
from sqlalchemy.exc import IntegrityError

from storage.store import Store
from storage.tables import payouts
from tests.sales import START, Sales

UNPROVEN: list[dict[str, object]] = [
    {"state": "distributed"},
    {"state": "distributed", "signature": "5ig"},
    {"state": "distributed", "paid_amount": 2_350_000},
    {"paid_amount": 2_350_000, "signature": "5ig"},
]


async def test_distributed_needs_an_amount_that_moved_and_the_signature_that_moved_it(store: Store) -> None:
    def sell(conn: Connection) -> None:
        sales = Sales("account")
        content = sales.content(conn, sales.user(conn, "Ada"))
        sales.sold(conn, content, sales.user(conn, "Ben"), START)

    await store.write(sell)
    for values in UNPROVEN:
        with pytest.raises(IntegrityError):
            await store.write(partial(_set, values=values))


def _set(conn: Connection, values: dict[str, object]) -> None:
    conn.execute(update(payouts).values(**values))
