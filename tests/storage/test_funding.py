"""A large deposit is handed out in slices, oldest payment first, whatever comes between two of them."""

from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import Connection, Row, delete, func, select

from domain.evidence import Evidence
from domain.keys import transfer_key
from domain.ledger import Asset
from domain.states import BatchStatus
from payouts.fund import FundStep
from storage import work
from storage.engines.inline import InlineStore
from storage.payouts import batches
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.payouts.transfers import distributed, first_send, intend, load
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs, payouts, transfer_attempts, transfers
from storage.treasury import funding, movements
from storage.treasury.movement_rows import Movement
from tests.sales import PLATFORM, START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000
MINUTE = timedelta(minutes=1)
WEEKLY = PlanTerms(START + MINUTE, START + MINUTE, 1, False, timedelta(0), "purchase", "circle")


class Fixed:
    """A clock that stands."""

    def now(self) -> datetime:
        return START

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


def sell(conn: Connection, *minutes: int) -> None:
    """Sales paid at these minutes, in this order, and a deposit that carries all but one of them and a bit more."""
    sales = Sales(ACCOUNT)
    content, buyer = sales.content(conn, sales.user(conn, "ada")), sales.user(conn, "buyer")
    for minute in minutes:
        sales.sold(conn, content, buyer, START + minute * MINUTE)
    sales.deposit(conn, (len(minutes) - 1) * DUE + 1)


def released(conn: Connection) -> list[int]:
    """The minutes of the payments that are covered."""
    covered = select(payouts.c.paid_at).where(payouts.c.state == "pending_distribution").order_by(payouts.c.paid_at)
    return [(at - START) // MINUTE for at in conn.scalars(covered)]


def a_slice(conn: Connection) -> tuple[int, bool]:
    funded = funding.fund(conn, ACCOUNT, START, most=2)
    return funded.purchases, funded.is_done


async def test_each_slice_takes_the_oldest_and_one_that_is_lost_is_taken_again(store: Store) -> None:
    def dies(conn: Connection) -> None:
        assert a_slice(conn) == (2, True)
        raise RuntimeError("the process dies before the commit")

    await store.write(lambda conn: sell(conn, 3, 1, 4, 0, 2))
    assert (await store.write(a_slice), await store.read(released)) == ((2, False), [0, 1])
    with pytest.raises(RuntimeError):
        await store.write(dies)
    assert await store.read(released) == [0, 1]
    assert (await store.write(a_slice), await store.read(released)) == ((2, True), [0, 1, 2, 3])
    assert (await store.write(a_slice), await store.read(released)) == ((0, True), [0, 1, 2, 3])


async def test_the_job_comes_again_until_a_deposit_is_handed_out(inline_store: InlineStore) -> None:
    await inline_store.write(lambda conn: sell(conn, 0, 1, 2, 3))
    step, runs = FundStep(inline_store, Fixed(), ACCOUNT, most=1), 0

    def due(conn: Connection) -> list[work.Claim]:
        return work.claim(conn, Queue(jobs, frozenset({"fund"})), 1, "worker", START, MINUTE)

    while claims := await inline_store.write(due):
        outcome = await step.run(claims[0])

        def end(conn: Connection, claim: work.Claim = claims[0], commit: object = outcome.commit) -> None:
            assert callable(commit)
            commit(conn)
            work.finish(conn, claim, START)

        await inline_store.write(end)
        runs += 1
    moved = select(func.count()).where(payouts.c.state == "pending_distribution")
    assert (runs, await inline_store.read(lambda conn: conn.scalar(moved))) == (3, 3)


async def test_a_deposit_is_handed_out_once_the_payout_that_left_before_it_is_booked(store: Store) -> None:
    """The follower sees the money leave before its step does: until then it counts as gone, and as promised."""
    shop = Sales(ACCOUNT)

    def leaves(conn: Connection) -> int:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        shop.sold(conn, content, buyer)
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, START)
        batch = take(conn, "offcycle:1", WEEKLY, lambda _: None, "ada", shop.uuids)
        assert batch is not None
        transfer = conn.execute(select(transfers)).one()
        begun(conn, transfer)
        shop.sold(conn, content, buyer, START + MINUTE)
        left = Movement("pays", ACCOUNT, Asset.USDC, -DUE, 9, START, transfer.destination_address)
        movements.book_usdc(conn, left, START)
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, START)
        conn.execute(delete(jobs))
        return int(transfer.id)

    def lands(conn: Connection, transfer_id: int) -> list[str]:
        distributed(conn, transfer_id, Evidence("pays", True, "", 9, START, 5_000), ACCOUNT, START)
        return list(conn.scalars(select(jobs.c.subject).where(jobs.c.kind == "fund")))

    transfer_id = await store.write(leaves)
    assert await store.read(released) == [0]
    assert await store.write(lambda conn: lands(conn, transfer_id)) == ["treasury"]
    await store.write(lambda conn: funding.fund(conn, ACCOUNT, START))
    assert await store.read(released) == [1]


def begun(conn: Connection, transfer: Row[Any]) -> None:
    key = transfer_key(transfer.key_scope, UUID(transfer.uuid), 1)
    intend(conn, load(conn, transfer.id, lock=True), 1, key, "wallet", PLATFORM, {}, START)
    first_send(conn, conn.execute(select(transfer_attempts.c.id)).scalar_one(), START)


async def test_what_a_batch_lacks_is_what_must_come_in_until_all_of_it_is_covered(store: Store) -> None:
    """An older sale, of a creator who has no wallet yet, is covered first; and what is free already counts."""

    def story(conn: Connection) -> list[tuple[int, int, int]]:
        sales = Sales(ACCOUNT)
        buyer = sales.user(conn, "buyer")
        for minute, (name, wallet) in enumerate((("late", False), ("ada", True))):
            creator = sales.user(conn, name, wallet=wallet)
            sales.sold(conn, sales.content(conn, creator), buyer, START + minute * MINUTE)
        later = START + 2 * MINUTE
        terms = PlanTerms(later, later, 1, False, timedelta(0), "purchase", "circle")
        batch_id = take(conn, "offcycle:1", terms, lambda _: None, "ada", sales.uuids)
        assert batch_id is not None
        batches.move(conn, batch_id, BatchStatus.WAITING_FUNDS, START)
        told = []
        for units in (1_000_000, 3_699_999, 1):
            sales.deposit(conn, units)
            funding.fund(conn, ACCOUNT, START)
            found = funding.shortage(conn, batch_id)
            told.append((found.short, found.before, funding.lacking(conn)))
        return told

    assert await store.write(story) == [(3_700_000, DUE, 3_700_000), (1, 0, 1), (0, 0, 0)]
