"""What two replicas decide at the same moment, each from what the other is about to change."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, select, update

from agent.steps.stripe_event import session_expired
from domain.errors import RequestError, Retryable
from domain.states import BatchStatus, ConversionState, RefundState, UsdcStatus
from storage import work
from storage.engines.postgres import PostgresStore
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.operation import interventions, retries
from storage.payouts import batches, debts, reserves, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.people import tokens
from storage.people.tokens import NewToken
from storage.queues import Queue
from storage.recovery import conversion_adoption
from storage.recovery.conversion_adoption import Found
from storage.sales import checkouts, returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.store import Store
from storage.tables import checkouts as checkout_rows
from storage.tables import jobs, payouts
from storage.treasury import conversion_orders, funding
from storage.treasury.conversion_orders import Wish
from tests.sales import PLATFORM, START, Sales
from tests.storage.replicas import Act, Between, at_once, replica, until_it_waits
from tests.storage.test_mint_settlement import NOW as MINTED_AT
from tests.storage.test_mint_settlement import PARTS, Scene, scene
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
HOUR = timedelta(hours=1)
DUE = 2_350_000
MINT = MintIntent("wallet", PLATFORM, PLATFORM, "seed", "mint", "Still life #1", "RBLK", "ipfs://b")


class Creator:
    """One creator: a sale that was paid out, and another that is not due, for a reason of its own."""

    def __init__(self, conn: Connection, shop: Sales) -> None:
        self.shop = shop
        self.user, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
        content = shop.content(conn, self.user)
        self.paid, self.other = (shop.sold(conn, content, buyer, START + timedelta(hours=hour)) for hour in range(2))
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, NOW)

    def plan(self, conn: Connection, key: str, grouping: str = "purchase") -> int:
        terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), grouping, "circle")
        batch_id = take(conn, key, terms, lambda _: None, "operator", self.shop.uuids)
        assert batch_id is not None
        return batch_id

    def refunds(self, conn: Connection) -> None:
        returns.record_refund(conn, self.paid, RefundSeen("re_1", 300, RefundState.SUCCEEDED, None), NOW)

    def disputes(self, conn: Connection) -> None:
        returns.record_dispute(conn, self.paid, DisputeSeen("dp_1", 300, "needs_response", 300, 1_500, NOW), NOW)


def held(conn: Connection, shop: Sales) -> Creator:
    creator = Creator(conn, shop)
    interventions.hold(conn, creator.other, "look first", NOW)
    shop.pay(conn, creator.plan(conn, "test:1"), NOW)
    return creator


def failed(conn: Connection, shop: Sales) -> Creator:
    creator = Creator(conn, shop)
    shop.deposit(conn, DUE)
    funding.fund(conn, ACCOUNT, NOW)
    shop.pay(conn, creator.plan(conn, "test:1"), NOW, fails=1)
    return creator


def unhold(conn: Connection, creator: Creator) -> None:
    interventions.unhold(conn, creator.other, "it is fine", NOW)


def retry(conn: Connection, creator: Creator) -> None:
    retries.retry_distribution(conn, creator.other, NOW)


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("comes", [Creator.refunds, Creator.disputes])
@pytest.mark.parametrize(("kept", "lets_go"), [(held, unhold), (failed, retry)])
async def test_what_comes_back_of_a_paid_sale_meets_the_payout_that_a_person_lets_go_at_the_same_moment(
    kept: Callable[[Connection, Sales], Creator],
    lets_go: Callable[[Connection, Creator], None],
    comes: Callable[[Creator, Connection], None],
    turned: bool,
    postgres_store: PostgresStore,
    postgres_url: URL,
) -> None:
    """The debt is netted from it, and the dispute's risk kept back, whichever is committed first."""
    shop = Sales(ACCOUNT)
    creator = await postgres_store.write(lambda conn: kept(conn, shop))
    acts: list[Act] = [lambda conn: comes(creator, conn), lambda conn: lets_go(conn, creator)]
    await at_once(postgres_url, *(reversed(acts) if turned else acts))

    def found(conn: Connection) -> tuple[str | None, int, bool]:
        state = conn.scalar(select(payouts.c.state).where(payouts.c.purchase_id == creator.other))
        return state, debts.open_debt(conn, creator.user), reserves.is_short(conn, creator.user)

    state = UsdcStatus.NETTED if comes is Creator.refunds else UsdcStatus.ON_HOLD
    assert await postgres_store.write(found) == (state, 0, False)
    assert await postgres_store.write(first_findings) == {}


@pytest.mark.parametrize("turned", [False, True])
async def test_what_is_refunded_at_the_moment_in_which_its_failed_transfer_is_tried_again_stays_cancelled(
    turned: bool, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """It went back to the queue with nothing due, and waited there for ever."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> Creator:
        creator = Creator(conn, shop)
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, NOW)
        shop.pay(conn, creator.plan(conn, "test:1", "creator"), NOW, fails=1)
        return creator

    creator = await postgres_store.write(prepare)
    acts: list[Act] = [creator.refunds, lambda conn: retry(conn, creator)]
    await at_once(postgres_url, *(reversed(acts) if turned else acts))
    states = select(payouts.c.state).order_by(payouts.c.id)
    found = await postgres_store.read(lambda conn: list(conn.scalars(states)))
    assert found == [UsdcStatus.CANCELLED, UsdcStatus.PENDING_CONVERSION]


async def test_a_payout_that_is_let_go_while_its_sale_is_covered_ends_no_funding(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Between any two of its statements: the work of funding was parked, and till a person came nothing was covered."""
    shop, sold, gap, has_come = Sales(ACCOUNT), count(1), 0, True

    def half_is_kept_back(conn: Connection) -> int:
        """A sale of two, with one part kept back for a dispute; the disputed sale."""
        ada, bob, buyer = (shop.user(conn, name) for name in ("ada", "bob", "buyer"))
        disputed = shop.sold(conn, shop.content(conn, bob), buyer)
        shop.deposit(conn, 2 * DUE)
        funding.fund(conn, ACCOUNT, NOW)
        terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), "purchase", "circle")
        batch_id = take(conn, f"test:{next(sold)}", terms, lambda _: None, "operator", shop.uuids)
        assert batch_id is not None
        shop.pay(conn, batch_id, NOW)
        of_both = shop.content(conn, ada, **{f"user_{ada}": 5_000, f"user_{bob}": 5_000})
        contest(conn, disputed, "needs_response", 300)
        shop.sold(conn, of_both, buyer, NOW)
        return disputed

    def contest(conn: Connection, disputed: int, status: str, withdrawn: int) -> None:
        seen = DisputeSeen(f"dp_{disputed}", 300, status, withdrawn, 1_500, NOW)
        returns.record_dispute(conn, disputed, seen, NOW)

    while has_come:
        disputed = await postgres_store.write(half_is_kept_back)
        winning: list[asyncio.Task[None]] = []

        async def is_won(disputed: int = disputed, winning: list[asyncio.Task[None]] = winning) -> None:
            won = postgres_store.write(lambda conn: contest(conn, disputed, "won", 0))
            winning.append(asyncio.create_task(won))
            await until_it_waits(winning[0], postgres_url)

        def fund(conn: Connection, gap: int = gap, is_won: Any = is_won) -> bool:
            between = Between(conn, gap, is_won)
            with suppress(Retryable):
                funding.fund(conn, ACCOUNT, NOW)
                conn.commit()
            return between.has_come

        async with replica(postgres_url) as funder:
            has_come = await funder.run_sync(fund)
        await asyncio.gather(*winning)
        await postgres_store.write(lambda conn: funding.fund(conn, ACCOUNT, NOW))
        gap += 1
    waiting = select(payouts.c.id).where(payouts.c.state == UsdcStatus.PENDING_CONVERSION)
    assert await postgres_store.read(lambda conn: list(conn.scalars(waiting))) == []
    assert gap > 5


async def test_what_came_back_of_an_order_that_has_not_left_is_read_without_a_lock(store: Store) -> None:
    """PostgreSQL locks nothing for a reader: the look failed, and with its last try so did the payout."""
    shop = Sales(ACCOUNT)

    def intended(conn: Connection) -> int:
        creator = Creator(conn, shop)
        creator.plan(conn, "test:1")
        case = transfers.load(conn, 1, lock=True)
        transfers.intend(conn, case, 1, UUID(int=1), "wallet", PLATFORM, {}, NOW)
        creator.refunds(conn)
        return creator.paid

    sale = await store.write(intended)

    def look(conn: Connection) -> tuple[str | None, int]:
        return transfers.why_overtaken(conn, transfers.load(conn, 1)), returns.returned(conn, sale).returned

    assert await store.read(look) == ("money of its sale came back", 300)


async def test_a_session_that_stripe_calls_expired_while_its_end_is_booked_is_over_once(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Who ends it is told of that by an event too, which went to a person."""
    shop = Sales(ACCOUNT)

    def opened(conn: Connection) -> Any:
        session = shop.opened(conn, shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer"))
        checkouts.opened(conn, session.id, "cs_1", "https://checkout.stripe.com/x", START)
        return session

    session = await postgres_store.write(opened)
    told = {"metadata": {"checkout": session.uuid}}
    await at_once(
        postgres_url,
        lambda conn: checkouts.abandon(conn, session.id, "sold out", NOW),
        lambda conn: session_expired(conn, told, NOW, NOW),
    )
    assert await postgres_store.read(lambda conn: conn.scalar(select(checkout_rows.c.state))) == "expired"


async def test_no_mint_is_begun_of_a_sale_of_which_everything_is_to_be_given_back_since_a_moment(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """An operator asked for it after the step had looked: the buyer got his money back, and the NFT."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> int:
        return shop.paid(conn, shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer"))

    sale = await postgres_store.write(prepare)
    assert not (await postgres_store.read(lambda conn: minting.load(conn, sale))).gives_back
    with pytest.raises(Retryable, match="given back"):
        await at_once(
            postgres_url,
            lambda conn: interventions.refund(conn, sale, None, UUID(int=1), UUID(int=2), NOW),
            lambda conn: minting.intend(conn, sale, UUID(int=3), MINT, NOW),
        )


async def test_of_two_operators_who_make_a_token_of_one_name_at_the_same_moment_one_is_told_that_it_is_taken(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    def make(conn: Connection, maker: str) -> None:
        tokens.make(conn, NewToken(f"made by {maker}", "bob", "approver", NOW + timedelta(days=1), maker), NOW)

    with pytest.raises(RequestError, match="bob has a token already"):
        await at_once(postgres_url, lambda conn: make(conn, "ada"), lambda conn: make(conn, "zoe"))
    assert len(await postgres_store.read(lambda conn: tokens.operators_page(conn, None, 9))) == 1


async def test_an_order_that_a_start_gate_finds_at_circle_mint_at_that_moment_is_not_sent(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    def approved(conn: Connection) -> int:
        order_id = conversion_orders.propose(conn, Wish(UUID(int=1), DUE, PLATFORM, "", "ada"), START)
        digest = conversion_orders.required(conn, order_id).digest
        conversion_orders.approve(conn, order_id, digest, "zoe", "the settings", 1, START)
        assert conversion_orders.intend(conn, order_id, UUID(int=2), {}, NOW)
        return order_id

    order_id = await postgres_store.write(approved)
    found = Found("transfer-1", "pending", DUE, PLATFORM, None, NOW)
    with pytest.raises(Retryable, match="transfer-1"):
        await at_once(
            postgres_url,
            lambda conn: conversion_adoption.adopt(conn, found, UUID(int=3), NOW),
            lambda conn: conversion_orders.first_send(conn, order_id, NOW),
        )
    order = await postgres_store.read(lambda conn: conversion_orders.required(conn, order_id))
    assert (order.state, order.circle_transfer_id) == (ConversionState.SENDING, "transfer-1")


@pytest.mark.parametrize("gap", range(3))
async def test_what_a_mint_pays_counts_under_the_cap_of_the_day_also_while_it_lands(
    gap: int, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    def signed(conn: Connection) -> Scene:
        story = scene(conn)
        story.signed()
        return story

    story = await postgres_store.write(signed)

    async def lands() -> None:
        await postgres_store.write(lambda conn: replace(story, conn=conn).landed())

    def begun(conn: Connection) -> int:
        Between(conn, gap, lands)
        return transfers.begun_since(conn, MINTED_AT)

    async with replica(postgres_url) as asking:
        assert await asking.run_sync(begun) == sum(PARTS)


@pytest.mark.parametrize("turned", [False, True])
async def test_a_batch_whose_last_payout_lands_while_another_one_leaves_it_is_looked_at_after_both(
    turned: bool, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Each saw the other's payout as open: the batch's end was seen with its next look, up to an hour later."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> Creator:
        creator = Creator(conn, shop)
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, NOW)
        batch_id = creator.plan(conn, "test:1")
        batches.move(conn, batch_id, BatchStatus.SENDING, NOW)
        conn.execute(update(jobs).where(jobs.c.kind == "batch").values(due_at=NOW + HOUR))
        return creator

    creator = await postgres_store.write(prepare)
    acts: list[Act] = [
        lambda conn: shop.land(conn, 1, NOW),
        lambda conn: interventions.hold(conn, creator.other, "look first", NOW),
    ]
    await at_once(postgres_url, *(reversed(acts) if turned else acts))

    def look(conn: Connection) -> tuple[int, list[int]]:
        due = work.claim(conn, Queue(jobs, frozenset({"batch"})), 1, "one", NOW, timedelta(seconds=30))
        return batches.outstanding(conn, 1).open_payouts, [int(one.subject) for one in due]

    assert await postgres_store.write(look) == (0, [1])


async def test_a_transfer_that_is_covered_while_somebody_finds_it_not_covered_is_looked_at_once_more(
    store: Store,
) -> None:
    """Its work was done with by then, and waited for the hour in which the batch looks again."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[str]:
        batch_id = Creator(conn, shop).plan(conn, "test:1")
        work.enqueue(conn, "transfer", 1, NOW)
        (claimed,) = work.claim(conn, Queue(jobs, frozenset({"transfer"})), 1, "one", NOW, timedelta(seconds=30))
        batches.start_transfers(conn, batch_id, NOW)
        work.finish(conn, claimed, NOW)
        return list(conn.scalars(select(jobs.c.subject).where(jobs.c.kind == "transfer")))

    assert await store.write(story) == ["1"]
