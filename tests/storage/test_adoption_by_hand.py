"""A person gives an outflow to payouts whose order may be on its way at that moment: one of the two must not be."""

import asyncio
from datetime import datetime, timedelta

import pytest
from sqlalchemy import URL, Connection, select

from domain.errors import RequestError, Retryable
from domain.ledger import Asset
from gateways.circle_api.client import DEADLINE_SECONDS
from ports.clock import SEND_WITHIN_SECONDS
from storage import work
from storage.engines.postgres import PostgresStore
from storage.payouts import transfers
from storage.payouts.upkeep import Payer
from storage.queues import Queue
from storage.recovery import adoption_by_hand
from storage.recovery.adoption_by_hand import IN_FLIGHT
from storage.store import Store
from storage.tables import jobs, transfer_attempts
from storage.tables import transfers as transfer_rows
from storage.treasury import funding, movements, outflows
from storage.treasury.movement_rows import Movement
from storage.work import Claim
from tests.sales import PLATFORM, Sales
from tests.storage.replicas import at_once, replica, until_it_waits
from tests.storage.test_replicas import ACCOUNT, DUE, NOW, open_shop, plan, send

SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
BY_HAND = 2
"""The movement's id: the deposit was first."""


class Order:
    """One payout whose order is intended, and an equal payment that a person has made by hand."""

    def __init__(self, store: Store) -> None:
        self.store, self.shop = store, Sales(ACCOUNT)
        self.transfer_id = 0

    async def prepare(self, *, intended: bool = True, by_hand: bool = True) -> None:
        def rows(conn: Connection) -> int:
            open_shop(conn, self.shop)
            self.shop.deposit(conn, 2 * DUE)
            funding.fund(conn, ACCOUNT, NOW)
            plan(conn, self.shop, "purchase")
            transfer = conn.execute(select(transfer_rows)).one()
            if intended:
                send(conn, transfer.id)
            if by_hand:
                self.pay_by_hand(conn)
            work.enqueue(conn, "transfer", transfer.id, NOW)
            return int(transfer.id)

        self.transfer_id = await self.store.write(rows)

    def pay_by_hand(self, conn: Connection) -> None:
        address = conn.execute(select(transfer_rows.c.destination_address)).scalar_one()
        movements.book_usdc(conn, Movement("by hand", ACCOUNT, Asset.USDC, -DUE, 9, NOW, address), NOW)

    def adopt(self, conn: Connection, at: datetime = NOW) -> None:
        adoption_by_hand.adopt(conn, BY_HAND, [1], Payer("wallet", PLATFORM), self.shop.uuid(), at)

    async def refused(self, at: datetime) -> str:
        with pytest.raises(RequestError) as caught:
            await self.store.write(lambda conn: self.adopt(conn, at))
        assert (caught.value.status, caught.value.code) == (409, "may_be_on_its_way")
        return str(caught.value)

    async def claimed(self, at: datetime) -> Claim:
        queue = Queue(jobs, frozenset({"transfer"}))
        (claim,) = await self.store.write(lambda conn: work.claim(conn, queue, 1, "a worker", at, LEASE))
        return claim

    async def attempt_id(self) -> int:
        asked = select(transfer_attempts.c.id)
        return int(await self.store.read(lambda conn: conn.execute(asked).scalar_one()))


async def test_an_order_that_is_worked_on_gets_no_outflow_by_hand(store: Store) -> None:
    """Its step had found nothing that stops it and was about to call Circle: both were paid."""
    order = Order(store)
    await order.prepare()
    claim = await order.claimed(NOW)
    assert "try again" in await order.refused(NOW + SECOND)
    await order.refused(NOW + LEASE + IN_FLIGHT - SECOND)
    await store.write(lambda conn: work.again(conn, claim, NOW + LEASE, NOW, "stopped", 1))
    await store.write(lambda conn: order.adopt(conn, NOW + SECOND))


async def test_an_order_that_was_given_an_outflow_by_hand_is_not_sent(store: Store) -> None:
    order = Order(store)
    await order.prepare()
    await store.write(order.adopt)
    attempt_id = await order.attempt_id()
    with pytest.raises(Retryable, match="it is not sent"):
        await store.write(lambda conn: transfers.first_send(conn, attempt_id, NOW))


async def test_what_was_sent_a_moment_ago_gets_no_outflow_by_hand_until_circle_would_list_it(store: Store) -> None:
    order = Order(store)
    await order.prepare()
    attempt_id, sent_at = await order.attempt_id(), NOW + 5 * IN_FLIGHT
    assert await store.read(lambda conn: adoption_by_hand.sent_order(conn, BY_HAND, [1])) is None, "nothing was sent"
    await store.write(lambda conn: transfers.first_send(conn, attempt_id, sent_at))
    sent = await store.read(lambda conn: adoption_by_hand.sent_order(conn, BY_HAND, [1]))
    assert sent is not None and sent.since < NOW
    await order.refused(sent_at + IN_FLIGHT - SECOND)
    await store.write(lambda conn: order.adopt(conn, sent_at + IN_FLIGHT))


async def test_what_was_an_order_s_own_until_a_moment_ago_is_not_given_to_it_by_hand_yet(store: Store) -> None:
    """Nothing had stopped the order till then: it may have been sent once more right before."""
    order = Order(store)
    await order.prepare(by_hand=False)
    attempt_id, disowned_at = await order.attempt_id(), NOW + 5 * IN_FLIGHT
    await store.write(lambda conn: transfers.first_send(conn, attempt_id, NOW))
    await store.write(order.pay_by_hand)
    await store.write(lambda conn: movements.disown(conn, "by hand", disowned_at))
    await order.refused(disowned_at + IN_FLIGHT - SECOND)
    await store.write(lambda conn: order.adopt(conn, disowned_at + IN_FLIGHT))


def test_a_call_is_at_circle_before_its_order_may_be_given_an_outflow_though_nobody_s_clock_is_right() -> None:
    """Whoever sent and whoever is asked may be on two machines, each so far off that nobody is told of it."""
    told_beyond = timedelta(seconds=30)  # deploy/prometheus: ClockSkewed
    leaves_and_gets_there = timedelta(seconds=SEND_WITHIN_SECONDS + DEADLINE_SECONDS)
    assert leaves_and_gets_there + 2 * told_beyond < IN_FLIGHT


@pytest.mark.parametrize("other", ["adopts it too", "accepts it as his own"])
async def test_two_operators_who_say_at_once_what_an_outflow_was_are_not_both_believed(
    other: str, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    order = Order(postgres_store)
    await order.prepare(intended=False)
    said: list[object] = []

    def also(conn: Connection) -> None:
        if other == "accepts it as his own":
            said.append(outflows.accept_orphan(conn, BY_HAND, "ours", NOW))
            return
        with pytest.raises(RequestError) as caught:
            order.adopt(conn)
        said.append(caught.value.code)

    await at_once(postgres_url, order.adopt, also)
    assert said == [False if other == "accepts it as his own" else "outflow_not_found"]
    adopted = select(transfer_rows.c.id).where(transfer_rows.c.reference.startswith("adopted-by-hand-"))
    assert len(await postgres_store.read(lambda conn: conn.scalars(adopted).all())) == 1


async def test_a_payout_that_another_replica_begins_to_send_at_the_same_moment_gets_no_outflow_by_hand(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    order = Order(postgres_store)
    await order.prepare(intended=False)
    async with replica(postgres_url) as sends, replica(postgres_url) as adopts:
        await sends.run_sync(lambda conn: send(conn, order.transfer_id))
        adopted = asyncio.create_task(adopts.run_sync(order.adopt))
        await until_it_waits(adopted, postgres_url)
        await sends.commit()
        with pytest.raises(Retryable, match="begun a moment ago"):
            await adopted
