"""Several sales are settled together, as when what may have paid them ends; meanwhile somebody settles one of them."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from itertools import count
from typing import Any

import pytest
from sqlalchemy import URL, Connection, select

from domain.evidence import Evidence
from domain.states import RefundState
from storage.engines.postgres import PostgresStore
from storage.operation import interventions, retries
from storage.payouts import transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales import returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.tables import jobs
from storage.tables import transfers as transfer_rows
from storage.treasury import funding
from storage.work import enqueue
from tests.sales import START, Sales
from tests.storage.replicas import Between, replica, until_it_waits
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
SALES = 3
NET = 2_350_000
STEP = 8
"""Statements from one gap that is tried to the next one: what is locked in the wrong order is so for longer."""


@dataclass
class Sold:
    """Sales of two creators, each of them paid by a transfer for all of the sales; refunds of some are told of."""

    shop: Sales
    sales: list[int]
    transfers: list[int]

    def lands(self, conn: Connection) -> None:
        first = self.transfers[0]
        transfers.distributed(conn, first, Evidence(f"payout-{first}", True, "", 9, NOW, 5_000), ACCOUNT, NOW)

    def dies(self, conn: Connection) -> None:
        transfers.dead(conn, self.transfers[0], {"why": "nothing left"}, NOW)

    def is_given_up(self, conn: Connection) -> None:
        transfers.dead(conn, self.transfers[0], {"why": "nothing left"}, NOW)
        transfers.failed(conn, self.transfers[0], "nothing left", NOW)

    def is_tried_again(self, conn: Connection) -> None:
        retries.retry_distribution(conn, self.sales[0], NOW)

    def work_is_tried_again(self, conn: Connection) -> None:
        mine = (jobs.c.kind == "transfer") & (jobs.c.subject == str(self.transfers[0]))
        retries.retry_row(conn, "jobs", conn.scalars(select(jobs.c.id).where(mine)).one(), NOW)

    def is_refunded(self, conn: Connection) -> None:
        _refund(conn, self.sales[-1], "again")

    def is_contested(self, conn: Connection) -> None:
        seen = DisputeSeen(f"dp_{self.sales[-1]}", 100, "needs_response", 100, 1_500, NOW)
        returns.record_dispute(conn, self.sales[-1], seen, NOW)

    def is_held(self, conn: Connection) -> None:
        interventions.hold(conn, self.sales[-1], "look first", NOW)


def sold(conn: Connection, shop: Sales) -> Sold:
    ada, bob, buyer = (shop.user(conn, name) for name in ("ada", "bob", "buyer"))
    content = shop.content(conn, ada, **{f"user_{ada}": 5_000, f"user_{bob}": 5_000})
    made = [shop.sold(conn, content, buyer, START + timedelta(hours=hour)) for hour in range(SALES)]
    shop.deposit(conn, SALES * NET)
    funding.fund(conn, ACCOUNT, NOW)
    terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), "creator", "circle")
    batch_id = take(conn, f"test:{shop.uuid()}", terms, lambda _: None, "operator", shop.uuids)
    mine = transfer_rows.c.batch_id == batch_id
    both = list(conn.scalars(select(transfer_rows.c.id).where(mine).order_by(transfer_rows.c.id)))
    assert len(both) == 2
    return Sold(shop, made, both)


def _refund(conn: Connection, sale: int, name: str) -> None:
    returns.record_refund(conn, sale, RefundSeen(f"re_{name}_{sale}", 30, RefundState.SUCCEEDED, None), NOW)


def in_flight(conn: Connection, shop: Sales) -> Sold:
    found = sold(conn, shop)
    for transfer_id in found.transfers:
        shop.send(conn, transfer_id, NOW)
        enqueue(conn, "transfer", transfer_id, NOW)
    for sale in (found.sales[0], found.sales[-1]):
        _refund(conn, sale, "first")
    return found


def failed(conn: Connection, shop: Sales) -> Sold:
    found = in_flight(conn, shop)
    found.is_given_up(conn)
    parked = (jobs.c.kind == "transfer") & (jobs.c.subject == str(found.transfers[0]))
    conn.execute(jobs.update().where(parked).values(state="parked"))
    return found


@pytest.mark.parametrize(
    ("stands", "settles", "comes"),
    [
        (in_flight, Sold.lands, Sold.is_refunded),
        (in_flight, Sold.dies, Sold.is_contested),
        pytest.param(in_flight, Sold.is_given_up, Sold.is_refunded, marks=pytest.mark.soak),
        (failed, Sold.is_tried_again, Sold.is_held),
        pytest.param(failed, Sold.work_is_tried_again, Sold.is_contested, marks=pytest.mark.soak),
    ],
)
async def test_who_settles_several_sales_and_who_settles_one_of_them_never_wait_for_each_other(
    stands: Callable[[Connection, Sales], Sold],
    settles: Callable[[Sold, Connection], None],
    comes: Callable[[Sold, Connection], None],
    postgres_store: PostgresStore,
    postgres_url: URL,
) -> None:
    """PostgreSQL ends one of two that do, a second later, and it is run again."""
    shop, gaps, has_come = Sales(ACCOUNT), count(0, STEP), True
    while has_come:
        story, gap = await postgres_store.write(lambda conn: stands(conn, shop)), next(gaps)
        others: list[asyncio.Task[None]] = []

        async def other(story: Sold = story) -> None:
            async with replica(postgres_url) as conn:
                await conn.run_sync(lambda sync: comes(story, sync))
                await conn.commit()

        async def meanwhile(others: list[asyncio.Task[None]] = others, other: Any = other) -> None:
            others.append(asyncio.create_task(other()))
            await until_it_waits(others[0], postgres_url)

        def settle(conn: Connection, story: Sold = story, gap: int = gap, meanwhile: Any = meanwhile) -> bool:
            between = Between(conn, gap, meanwhile)
            settles(story, conn)
            conn.commit()
            return between.has_come

        try:
            async with replica(postgres_url) as one:
                has_come = await one.run_sync(settle)
        finally:
            await asyncio.gather(*others)
    assert gap > 2 * STEP
    assert await postgres_store.write(first_findings) == {}
