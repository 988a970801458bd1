"""What two replicas do to the same money at the same moment, one between two statements of the other."""

import asyncio
from contextlib import suppress
from datetime import timedelta
from itertools import count
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import URL, Connection, func, select, update

from domain.errors import RequestError, Retryable
from domain.evidence import Evidence
from domain.keys import purchase_reference, transfer_key
from domain.states import RefundState
from storage.engines.postgres import PostgresStore
from storage.operation import interventions
from storage.payouts import approvals, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.people import users
from storage.recovery.adoption import Outflow
from storage.recovery.placing import Placement, place
from storage.sales import early_reversals, returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.tables import batches, conversions, jobs, payouts, purchases, transfer_attempts
from storage.tables import transfers as transfer_rows
from storage.tables import users as user_rows
from storage.treasury import deposits, funding
from storage.treasury.conversions import Announced, announce
from tests.sales import PLATFORM, START, Sales
from tests.storage.replicas import Between, replica, until_it_waits

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
DUE = 2_350_000
numbers = count(1)


def open_shop(conn: Connection, shop: Sales) -> tuple[int, int]:
    """A work with one sale, and its buyer."""
    content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
    shop.sold(conn, content, buyer)
    return content, buyer


def plan(conn: Connection, shop: Sales, grouping: str) -> int:
    terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), grouping, "circle")
    batch = take(conn, f"test:{next(numbers)}", terms, lambda _: None, "operator", shop.uuids)
    assert batch is not None
    return batch


def send(conn: Connection, transfer_id: int) -> None:
    """From here on the transfer may be on its way."""
    row = conn.execute(select(transfer_rows).where(transfer_rows.c.id == transfer_id)).one()
    key = transfer_key(row.key_scope, UUID(row.uuid), 1)
    transfers.intend(conn, transfers.load(conn, transfer_id, lock=True), 1, key, "wallet", PLATFORM, {}, NOW)


def land(conn: Connection, transfer_id: int) -> None:
    attempt = conn.scalar(select(transfer_attempts.c.id).where(transfer_attempts.c.transfer_id == transfer_id))
    assert attempt is not None
    transfers.first_send(conn, attempt, NOW)
    transfers.distributed(conn, transfer_id, Evidence(f"pays-{transfer_id}", True, "", 9, NOW, 5_000), ACCOUNT, NOW)


def refund(conn: Connection, sale: int, name: str, cents: int, state: RefundState = RefundState.SUCCEEDED) -> None:
    returns.record_refund(conn, sale, RefundSeen(f"re_{name}", cents, state, None), NOW)


async def test_money_that_leaves_while_it_is_counted_is_not_promised_twice(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """All that the wallet has is on its way, and becomes `distributed` between two statements of another replica's
    funding: between each two of them once."""
    shop = Sales(ACCOUNT)
    content, buyer = await postgres_store.write(lambda conn: open_shop(conn, shop))
    gap, has_come = 0, True

    def on_its_way(conn: Connection) -> int:
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, NOW)
        batch = plan(conn, shop, "purchase")
        transfer_id = conn.scalar(select(transfer_rows.c.id).where(transfer_rows.c.batch_id == batch))
        assert transfer_id is not None
        send(conn, transfer_id)
        shop.sold(conn, content, buyer, START + timedelta(hours=1))
        return int(transfer_id)

    while has_come:
        transfer_id = await postgres_store.write(on_its_way)

        async def lands(transfer_id: int = transfer_id) -> None:
            await postgres_store.write(lambda conn: land(conn, transfer_id))

        def fund(conn: Connection, gap: int = gap, lands: Any = lands) -> tuple[int, bool]:
            between = Between(conn, gap, lands)
            return funding.fund(conn, ACCOUNT, NOW).purchases, between.has_come

        async with replica(postgres_url) as funder:
            promised, has_come = await funder.run_sync(fund)
        assert promised == 0, f"gap {gap}"
        gap += 1
    assert gap > 2


async def test_what_grows_while_it_is_covered_is_promised_only_as_far_as_the_money_goes(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """A refund fails between two statements of another replica's funding, and more is due than the wallet has."""
    shop = Sales(ACCOUNT)
    content, buyer = await postgres_store.write(lambda conn: open_shop(conn, shop))
    await postgres_store.write(lambda conn: shop.deposit(conn, DUE))
    await postgres_store.write(lambda conn: funding.fund(conn, ACCOUNT, NOW))
    gap, has_come = 0, True

    def refunded_in_part(conn: Connection) -> int:
        sale = shop.sold(conn, content, buyer, START + timedelta(hours=1))
        refund(conn, sale, f"of_{sale}", 150)
        shop.deposit(conn, DUE // 2)
        return sale

    while has_come:
        sale = await postgres_store.write(refunded_in_part)

        failing: list[asyncio.Task[None]] = []

        async def fails(sale: int = sale, failing: list[asyncio.Task[None]] = failing) -> None:
            failed = postgres_store.write(lambda conn: refund(conn, sale, f"of_{sale}", 150, RefundState.FAILED))
            failing.append(asyncio.create_task(failed))
            await until_it_waits(failing[0], postgres_url)

        def fund(conn: Connection, gap: int = gap, fails: Any = fails) -> bool:
            between = Between(conn, gap, fails)
            with suppress(Retryable):
                funding.fund(conn, ACCOUNT, NOW)
                conn.commit()
            return between.has_come

        async with replica(postgres_url) as funder:
            has_come = await funder.run_sync(fund)
        await asyncio.gather(*failing)
        balance, promised = await postgres_store.read(
            lambda conn: (funding.finalized_balance(conn, ACCOUNT), funding.promised(conn))
        )
        assert promised <= balance, f"gap {gap}"
        await postgres_store.write(lambda conn: shop.deposit(conn, DUE - DUE // 2))
        await postgres_store.write(lambda conn: funding.fund(conn, ACCOUNT, NOW))
        gap += 1
    assert gap > 2


async def test_two_holds_at_once_make_one_transfer_as_small_as_both(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> list[int]:
        content, buyer = open_shop(conn, shop)
        sales = [shop.sold(conn, content, buyer) for _ in range(2)]
        shop.deposit(conn, 3 * DUE)
        funding.fund(conn, ACCOUNT, NOW)
        plan(conn, shop, "creator")
        return sales

    sales = await postgres_store.write(prepare)
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        await one.run_sync(lambda conn: interventions.hold(conn, sales[0], "why", NOW))
        second = asyncio.create_task(other.run_sync(lambda conn: interventions.hold(conn, sales[1], "why", NOW)))
        await until_it_waits(second, postgres_url)
        await one.commit()
        await second
        await other.commit()
    transfer_id = await postgres_store.read(lambda conn: conn.execute(select(transfer_rows.c.id)).scalar_one())
    assert (await postgres_store.read(lambda conn: transfers.load(conn, transfer_id))).sendable


async def test_a_netting_is_not_taken_back_from_a_payout_that_is_being_sent(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """The refund behind a debt fails while another replica commits the intent of the payout that the debt made
    smaller."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> tuple[int, int]:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        first = shop.sold(conn, content, buyer)
        shop.deposit(conn, 2 * DUE)
        funding.fund(conn, ACCOUNT, NOW)
        shop.pay(conn, plan(conn, shop, "purchase"), NOW)
        refund(conn, first, "a", 100)
        shop.sold(conn, content, buyer, START + timedelta(hours=1))
        returns.settle_returns(conn, first, "a debt and a payout", NOW)
        funding.fund(conn, ACCOUNT, NOW)
        batch = plan(conn, shop, "purchase")
        transfer_id = conn.scalar(select(transfer_rows.c.id).where(transfer_rows.c.batch_id == batch))
        assert transfer_id is not None
        return first, transfer_id

    first, transfer_id = await postgres_store.write(prepare)
    async with replica(postgres_url) as sends, replica(postgres_url) as settles:
        await sends.run_sync(lambda conn: send(conn, transfer_id))
        failed = asyncio.create_task(settles.run_sync(lambda conn: refund(conn, first, "a", 100, RefundState.FAILED)))
        await until_it_waits(failed, postgres_url)
        await sends.commit()
        await failed
        await settles.commit()
    await postgres_store.write(lambda conn: land(conn, transfer_id))
    sent = select(transfer_rows.c.amount).where(transfer_rows.c.id == transfer_id)
    paid = select(func.sum(payouts.c.paid_amount)).where(payouts.c.transfer_id == transfer_id)
    found = await postgres_store.read(lambda conn: (conn.scalar(sent), conn.scalar(paid)))
    assert found[0] == found[1]


async def test_a_reversal_is_not_filed_under_a_sale_that_another_replica_books_meanwhile(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shop = Sales(ACCOUNT)
    content, buyer = await postgres_store.write(lambda conn: open_shop(conn, shop))
    async with replica(postgres_url) as books, replica(postgres_url) as files:
        await books.run_sync(lambda conn: shop.paid(conn, content, buyer))
        filed = asyncio.create_task(files.run_sync(lambda conn: early_reversals.file(conn, 1, "pi_2")))
        await until_it_waits(filed, postgres_url)
        await books.commit()
        with pytest.raises(Retryable):
            await filed


async def test_two_tokens_of_one_person_do_not_approve_a_batch_at_the_same_moment(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Each would be the second of two people, if neither saw the other."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> tuple[int, str]:
        open_shop(conn, shop)
        batch_id = plan(conn, shop, "purchase")
        return batch_id, str(conn.execute(select(batches.c.digest)).scalar_one())

    batch_id, digest = await postgres_store.write(prepare)

    def agree(conn: Connection, approver: str, made_by: str) -> None:
        approvals.require_another_person(conn, batch_id, approver, made_by)
        approvals.approve(conn, batch_id, digest, approver, NOW)

    async with replica(postgres_url) as one, replica(postgres_url) as other:
        await one.run_sync(lambda conn: agree(conn, "ada", "the settings"))
        second = asyncio.create_task(other.run_sync(lambda conn: agree(conn, "ada's other token", "ada")))
        await until_it_waits(second, postgres_url)
        await one.commit()
        with pytest.raises(RequestError, match="two approvers"):
            await second


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("comes", ["refund", "dispute"])
async def test_what_comes_back_of_a_paid_sale_meets_the_sale_that_is_minted_at_the_same_moment(
    comes: str, turned: bool, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """A debt is netted from it, and a dispute's risk kept back, whichever is committed first."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> tuple[int, int]:
        content, buyer = open_shop(conn, shop)
        shop.deposit(conn, DUE)
        funding.fund(conn, ACCOUNT, NOW)
        shop.pay(conn, plan(conn, shop, "purchase"), NOW)
        first = conn.execute(select(payouts.c.purchase_id)).scalar_one()
        return first, shop.paid(conn, content, buyer, START + timedelta(hours=1))

    first, second = await postgres_store.write(prepare)

    def comes_back(conn: Connection) -> None:
        if comes == "refund":
            refund(conn, first, "a", 300)
        else:
            returns.record_dispute(conn, first, DisputeSeen("dp_1", 300, "needs_response", 300, 1_500, NOW), NOW)

    def is_minted(conn: Connection) -> None:
        shop.minted(conn, second)

    earlier, later = (is_minted, comes_back) if turned else (comes_back, is_minted)
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        await one.run_sync(earlier)
        meanwhile = asyncio.create_task(other.run_sync(later))
        await until_it_waits(meanwhile, postgres_url)
        await one.commit()
        await meanwhile
        await other.commit()
    state = select(payouts.c.state).where(payouts.c.purchase_id == second)
    found = await postgres_store.read(lambda conn: conn.scalar(state))
    assert found == ("netted" if comes == "refund" else "on_hold")


async def test_the_last_two_payouts_of_a_batch_that_land_at_the_same_moment_have_it_settled(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Each would take the other's payout for open, if neither waited for the other."""
    shop = Sales(ACCOUNT)

    def prepare(conn: Connection) -> list[int]:
        content, buyer = open_shop(conn, shop)
        shop.sold(conn, content, buyer)
        shop.deposit(conn, 2 * DUE)
        funding.fund(conn, ACCOUNT, NOW)
        plan(conn, shop, "purchase")
        sent = list(conn.scalars(select(transfer_rows.c.id).order_by(transfer_rows.c.id)))
        for transfer_id in sent:
            send(conn, transfer_id)
        return sent

    first, last = await postgres_store.write(prepare)
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        await one.run_sync(lambda conn: land(conn, first))
        landing = asyncio.create_task(other.run_sync(lambda conn: land(conn, last)))
        await until_it_waits(landing, postgres_url)
        await one.commit()
        await landing
        await other.commit()
    due = select(jobs.c.id).where(jobs.c.kind == "batch")
    assert await postgres_store.read(lambda conn: conn.scalar(due)) is not None


@pytest.mark.parametrize("turned", [False, True])
async def test_a_deposit_and_the_conversion_that_is_announced_at_the_same_moment_meet(
    turned: bool, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    shop = Sales(ACCOUNT)

    def arrives(conn: Connection) -> None:
        shop.deposit(conn, DUE)

    def is_announced(conn: Connection) -> None:
        announce(conn, Announced(str(shop.uuid()), DUE // 10_000, DUE, ""), NOW)

    earlier, later = (is_announced, arrives) if turned else (arrives, is_announced)
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        await one.run_sync(earlier)
        meanwhile = asyncio.create_task(other.run_sync(later))
        await until_it_waits(meanwhile, postgres_url)
        await one.commit()
        await meanwhile
        await other.commit()
    assert await postgres_store.read(deposits.unexplained_total) == 0
    settled = await postgres_store.read(lambda conn: conn.scalar(select(conversions.c.settled_at)))
    assert settled is not None


async def test_the_gates_of_two_replicas_that_list_an_unknown_order_at_once_adopt_it_once(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Both made the lost transfer anew, and one of the daemons ended by it."""
    shop = Sales(ACCOUNT)
    await postgres_store.write(lambda conn: open_shop(conn, shop))

    def ordered(conn: Connection) -> Outflow:
        sale = conn.execute(select(payouts, purchases.c.stripe_payment_intent_id).join(purchases)).one()
        return Outflow(
            circle_id="c-1",
            state="COMPLETE",
            reference=purchase_reference(sale.stripe_payment_intent_id, 1),
            destination="ada's",
            amount=sale.amount,
            wallet_id="wallet",
            source_address=PLATFORM,
            signature="s-1",
            created_at=NOW,
            updated_at=NOW,
        )

    outflow = await postgres_store.read(ordered)
    async with replica(postgres_url) as one, replica(postgres_url) as other:
        first = await one.run_sync(lambda conn: place(conn, outflow, UUID(int=1), NOW))
        task = asyncio.create_task(other.run_sync(lambda conn: place(conn, outflow, UUID(int=2), NOW)))
        await until_it_waits(task, postgres_url)
        await one.commit()
        assert (first, await task) == (Placement.ADOPTED, Placement.KNOWN)
        await other.commit()
    assert await postgres_store.read(lambda conn: conn.scalar(select(func.count()).select_from(transfer_attempts))) == 1


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_an_address_that_changes_while_a_plan_is_made_is_not_the_one_that_is_paid(
    grouping: str, postgres_store: PostgresStore, postgres_url: URL
) -> None:
    """Between any two of the plan's statements: the new one was paid, without a screening and without its cool-off."""
    shop = Sales(ACCOUNT)

    def sell(conn: Connection) -> int:
        seller = shop.user(conn, "ada", wallet=False)
        conn.execute(
            update(user_rows)
            .where(user_rows.c.id == seller)
            .values(wallet_provider="external", wallet_address="address 0")
        )
        shop.sold(conn, shop.content(conn, seller), shop.user(conn, "buyer"))
        return seller

    seller = await postgres_store.write(sell)
    terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), grouping, "circle")
    gap, has_come = 0, True
    while has_come:
        judged, moving = set[str](), list[asyncio.Task[None]]()

        async def moves(address: str = f"address {gap + 1}", moving: list[asyncio.Task[None]] = moving) -> None:
            moved = postgres_store.write(lambda conn: users.change_external_address(conn, seller, address, NOW))
            moving.append(asyncio.create_task(moved))
            await until_it_waits(moving[0], postgres_url)

        def plan_it(
            conn: Connection, gap: int = gap, moves: Any = moves, judged: set[str] = judged
        ) -> tuple[str, bool]:
            between = Between(conn, gap, moves)
            take(conn, "test:1", terms, judged.add, "operator", shop.uuids)
            return conn.execute(select(transfer_rows.c.destination_address)).scalar_one(), between.has_come

        async with replica(postgres_url) as planner:
            paid, has_come = await planner.run_sync(plan_it)
        await asyncio.gather(*moving)
        assert {paid} == judged, f"gap {gap}"
        gap += 1
    assert gap > 5
