"""What a plan takes, and what stops it as a whole: days of hold, the cap of a batch."""

import hashlib
from collections.abc import Sequence
from datetime import timedelta
from random import Random
from typing import Any

import pytest
from solders.keypair import Keypair
from sqlalchemy import Connection, delete, insert, select, update

from bench.payout_rows import Eve
from domain.outcomes import Again
from domain.realtime import PayoutMode, RealtimeRules
from domain.states import BatchStatus, RefundState
from payouts.addresses import AddressJudge, DenyList
from payouts.batch import BatchStep, Limits
from payouts.plan import Planned, Planner, PlanRules
from payouts.realtime import RealtimePlanner
from ports.virtual import SeededIds, VirtualClock
from storage import tables, work
from storage.engines.inline import InlineStore
from storage.operation import interventions
from storage.payouts import batches
from storage.payouts.approvals import DIGEST_PAGE, digest_of
from storage.payouts.plan_bounds import beyond_plan
from storage.payouts.planning import PlanTerms, shares
from storage.payouts.taking import take
from storage.queues import Queue
from storage.sales import returns
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import jobs, payouts, users
from storage.treasury import funding
from tests.sales import START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000


class Fixed:
    """A clock that stands."""

    def now(self) -> Any:
        return START

    def monotonic(self) -> float:
        return 0.0

    async def sleep(self, seconds: float) -> None:
        """Nobody waits here."""


def terms(after: timedelta, **changes: Any) -> PlanTerms:
    moment = START + after
    return PlanTerms(moment, moment, 10_000, False, timedelta(0), "purchase", "circle", **changes)


@pytest.mark.parametrize("kind", ["weekly", "real time"])
async def test_an_address_that_became_payable_after_the_chain_was_read_is_paid_by_the_next_plan(
    inline_store: InlineStore, kind: str
) -> None:
    shop, read = Sales(ACCOUNT), list[list[str]]()

    def sell(conn: Connection, name: str) -> None:
        seller = shop.user(conn, name, wallet=False)
        address = str(Keypair.from_seed(seller.to_bytes(32, "big")).pubkey())
        conn.execute(update(users).where(users.c.id == seller).values(wallet_address=address))
        shop.sold(conn, shop.content(conn, seller), shop.user(conn, f"buyer of {name}"), START)
        shop.deposit(conn, DUE)

    async def inspect(addresses: Sequence[str]) -> dict[str, str]:
        read.append(list(addresses))
        if len(read) == 1:
            await inline_store.write(lambda conn: sell(conn, "bob"))
        return {}

    clock, ids, judge = VirtualClock(START + timedelta(hours=1)), SeededIds(Random(1)), AddressJudge(DenyList(()), ())
    rules = PlanRules(10_000, False, timedelta(0), "purchase", "circle")
    planner = Planner(inline_store, clock, ids, rules, judge, ACCOUNT, inspect)
    mode = RealtimeRules(PayoutMode.REALTIME)
    at_once = RealtimePlanner(inline_store, clock, ids, planner, mode, ACCOUNT)

    async def plan() -> Planned | None:
        clock.shift(timedelta(minutes=1))
        return await planner.plan_off_cycle("test") if kind == "weekly" else (await at_once.plan()).planned

    await inline_store.write(lambda conn: sell(conn, "ada"))
    for have_read in (1, 2):
        planned = await plan()
        assert planned is not None
        outstanding = await inline_store.read(lambda conn, of=planned.batch_id: batches.outstanding(conn, of))  # type: ignore[misc]
        assert outstanding.open_payouts == 1
        assert len(read) == have_read
    assert not set(read[0]) & set(read[1])
    assert await plan() is None


async def test_money_is_kept_back_for_the_days_of_the_setting_and_not_longer(inline_store: InlineStore) -> None:
    def sell(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        shop.sold(conn, shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer"), START)

    await inline_store.write(sell)

    async def amount(after: timedelta) -> int:
        found = await inline_store.read(lambda conn: shares(conn, terms(after, hold=timedelta(days=7)), lambda _: None))
        return sum(one.amount for one in found)

    assert await amount(timedelta(days=7) - timedelta(seconds=1)) == 0
    assert await amount(timedelta(days=7)) == DUE


async def test_a_digest_goes_over_the_items_in_the_order_of_their_payouts_however_they_lie(store: Store) -> None:
    """On both databases the same one: it can be worked out without either."""
    eve = Eve(creators=7, purchases=2 * DIGEST_PAGE + 1, now=START)
    numbers = list(range(eve.purchases))
    Random(1).shuffle(numbers)

    def plan(conn: Connection) -> str:
        eve.write(conn)
        head = {"uuid": "u", "key": "offcycle:1", "cutoff_at": START, "status": "planned", "created_at": START}
        rest = {"grouping": "creator", "rail": "solana", "payout_count": 0, "planned_amount": 0}
        conn.execute(insert(tables.batches).values(id=1, fee_ceiling_lamports=5, **head, **rest))
        items = [{"batch_id": 1, "payout_id": n + 1, "destination_address": f"to {n}", "amount": n} for n in numbers]
        conn.execute(insert(tables.batch_items), items)
        return digest_of(conn, 1)

    lines = ["offcycle:1|solana|creator|5"]
    for n in sorted(numbers):
        lines.append(f"{eve.payout_uuid(n)}|{n + 1}|{n % eve.creators + 2}|to {n}|{n}")
    assert await store.write(plan) == hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()


@pytest.mark.parametrize(
    "tampered",
    [
        "UPDATE payouts SET batch_id = 1 WHERE id = 2",
        "UPDATE transfers SET destination_address = 'elsewhere'",
        "UPDATE payouts SET transfer_id = NULL WHERE id = 1",
        "UPDATE payouts SET amount = amount + 1 WHERE id = 1",
    ],
)
async def test_a_batch_that_holds_anything_but_its_plan_is_found(inline_store: InlineStore, tampered: str) -> None:
    def tell(conn: Connection) -> tuple[str | None, str | None]:
        shop = Sales(ACCOUNT)
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        shop.sold(conn, content, buyer)
        assert take(conn, "offcycle:1", terms(timedelta(days=1)), lambda _: None, "ada", shop.uuids) == 1
        shop.sold(conn, content, buyer)
        before = beyond_plan(conn, 1)
        conn.exec_driver_sql(tampered)
        return before, beyond_plan(conn, 1)

    before, after = await inline_store.write(tell)
    assert before is None
    assert after is not None and after.startswith("payout ")


@pytest.mark.parametrize(("cap", "is_paused"), [(2 * DUE - 1, True), (2 * DUE, False)])
async def test_a_batch_one_unit_above_its_cap_is_paused_as_a_whole(
    inline_store: InlineStore, cap: int, is_paused: bool
) -> None:
    def plan(conn: Connection) -> int:
        shop = Sales(ACCOUNT)
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        shop.sold(conn, content, buyer)
        shop.sold(conn, content, buyer)
        shop.deposit(conn, 2 * DUE)
        batch = take(conn, "offcycle:1", terms(timedelta(days=1)), lambda _: None, "ada", shop.uuids)
        funding.fund(conn, ACCOUNT, START)
        work.enqueue(conn, "batch", batch or 0, START)
        return batch or 0

    batch_id = await inline_store.write(plan)
    (claim,) = await inline_store.write(
        lambda conn: work.claim(conn, Queue(jobs, frozenset({"batch"})), 1, "w", START, timedelta(minutes=1))
    )
    outcome = await BatchStep(inline_store, Fixed(), Limits(batch_cap=cap)).run(claim)
    assert isinstance(outcome, Again)
    await inline_store.write(outcome.commit)
    row = await inline_store.read(lambda conn: batches.by_id(conn, batch_id))
    assert (row.paused, row.status == "sending") == (is_paused, not is_paused)
    if is_paused:
        assert "AGENT_CAP_BATCH" in row.pause_reason


@pytest.mark.parametrize("leaves", ["held", "refunded", "netted"])
async def test_a_batch_whose_last_payout_leaves_it_while_it_is_sent_is_looked_at_at_once(
    store: Store, leaves: str
) -> None:
    """It settled at its next look, a quarter of an hour later."""
    sales = Sales("treasury")

    def story(conn: Connection) -> tuple[str, list[str]]:
        content, buyer = sales.content(conn, sales.user(conn, "ada")), sales.user(conn, "buyer")
        paid, last = sales.sold(conn, content, buyer), sales.sold(conn, content, buyer)
        sales.deposit(conn, 2 * 2_350_000)
        batch_id = take(conn, "offcycle:1", terms(timedelta(days=1)), lambda _: None, "somebody", sales.uuids)
        assert batch_id is not None
        funding.fund(conn, sales.usdc_account, START)
        for status in (BatchStatus.WAITING_FUNDS, BatchStatus.SENDING):
            batches.move(conn, batch_id, status, START)
        first = conn.scalar(select(payouts.c.transfer_id).where(payouts.c.purchase_id == paid))
        sales.land(conn, first or 0, START)
        conn.execute(delete(jobs).where(jobs.c.kind == "batch"))
        if leaves == "held":
            interventions.hold(conn, last, "look first", START)
        else:
            returned = last if leaves == "refunded" else paid
            returns.record_refund(conn, returned, RefundSeen("re_1", 300, RefundState.SUCCEEDED, None), START)
        return str(batch_id), list(conn.scalars(select(jobs.c.subject).where(jobs.c.kind == "batch")))

    batch_id, due = await store.write(story)
    assert due == [batch_id]
