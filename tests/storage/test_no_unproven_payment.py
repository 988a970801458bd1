"""Nothing is called paid without the movement that paid it, all of it: the database itself refuses the one, and who
books the movement the other."""

from datetime import timedelta
from functools import partial
from uuid import UUID

import pytest
from sqlalchemy import Connection, select, update
from sqlalchemy.exc import IntegrityError

from domain.errors import Misuse
from domain.evidence import Evidence
from domain.keys import transfer_key
from storage.payouts import transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.store import Store
from storage.tables import payouts
from storage.tables import transfers as transfer_rows
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales

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


async def test_a_transfer_that_moved_another_amount_than_its_payouts_are_due_pays_none_of_them(store: Store) -> None:
    shop = Sales("account")

    def send(conn: Connection) -> int:
        content = shop.content(conn, shop.user(conn, "Ada"))
        shop.sold(conn, content, shop.user(conn, "Ben"), START)
        shop.deposit(conn, 2_350_000)
        funding.fund(conn, "account", START)
        late = START + timedelta(days=3)
        terms = PlanTerms(late, late, 1, False, timedelta(0), "purchase", "circle")
        take(conn, "offcycle:1", terms, lambda _: None, "ada", shop.uuids)
        transfer = conn.execute(select(transfer_rows)).one()
        key = transfer_key(transfer.key_scope, UUID(transfer.uuid), 1)
        transfers.intend(conn, transfers.load(conn, transfer.id, lock=True), 1, key, "wallet", PLATFORM, {}, START)
        conn.execute(update(payouts).values(amount=payouts.c.amount + 1))
        return int(transfer.id)

    transfer_id = await store.write(send)
    landed = Evidence("5ig", True, "", 9, START, 5_000)
    with pytest.raises(Misuse):
        await store.write(lambda conn: transfers.distributed(conn, transfer_id, landed, "account", START))
    assert await store.read(lambda conn: conn.scalar(select(payouts.c.state))) == "pending_distribution"
