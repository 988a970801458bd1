"""What real time plans by itself from rows, what it leaves for the Monday, and what it tells the operator of it."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from agent import identity
from domain.realtime import Bar, PayoutMode, RealtimeRules
from domain.states import BatchStatus
from payouts.addresses import AddressJudge, DenyList
from payouts.plan import Planner, PlanRules
from payouts.realtime import GATHERS, RealtimePlanner, Turn
from ports.virtual import SeededIds
from storage.engines.inline import InlineStore
from storage.operation.listings import INSTALLED_AT
from storage.operation.switches import SENDS_PAUSED, turn
from storage.payouts import approvals, batches, packing
from storage.sales import holds
from storage.store import Store
from storage.tables import batch_items, payouts, users
from storage.tables import batches as batch_rows
from storage.tables import purchases as purchase_rows
from tests.sales import START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000
BIG, BIG_DUE = 1_000, 8_460_000
"""A $10.00 sale: fee 60 ¢ here, creator 8.46."""
MONDAY_NINE = datetime(2026, 11, 23, 9, tzinfo=START.tzinfo)


@dataclass
class Clock:
    """Time that a test sets."""

    at: datetime = START + timedelta(hours=1)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return self.at.timestamp()

    async def sleep(self, seconds: float) -> None:
        self.at += timedelta(seconds=seconds)


def planners(
    store: Store, clock: Clock, seed: int = 1, grouping: str = "purchase", denied: Sequence[str] = (), **caps: int
) -> tuple[Planner, RealtimePlanner]:
    plan_rules = PlanRules(10_000, True, timedelta(hours=24), grouping, "circle")
    ids, judge = SeededIds(Random(seed)), AddressJudge(DenyList(denied), ())
    weekly = Planner(store, clock, ids, plan_rules, judge, ACCOUNT)
    rules = RealtimeRules(PayoutMode.REALTIME, **caps)
    return weekly, RealtimePlanner(store, clock, ids, weekly, rules, ACCOUNT)


@dataclass
class Shop:
    """Two creators and a buyer; `sell` makes minted, priced and available sales, each a second after the one before."""

    store: Store
    sales: Sales
    contents: dict[str, int]
    buyer: int
    sold: int = 0

    async def sell(self, *names: str, fund: int = 0) -> list[int]:
        def write(conn: Connection) -> list[int]:
            made = []
            for name in names:
                self.sold += 1
                sale = self.sales.paid(conn, self.contents[name], self.buyer, START + timedelta(seconds=self.sold))
                self.sales.minted(conn, sale, 60 if name == "big" else 39, START + timedelta(seconds=self.sold))
                made.append(sale)
            if fund:
                self.sales.deposit(conn, fund)
            return made

        return await self.store.write(write)

    async def planned(self) -> list[list[int]]:
        """The sales of each batch, in order."""

        def read(conn: Connection) -> list[list[int]]:
            found: dict[int, list[int]] = {}
            rows = conn.execute(
                select(batch_items.c.batch_id, payouts.c.purchase_id)
                .join(payouts, payouts.c.id == batch_items.c.payout_id)
                .order_by(batch_items.c.batch_id, payouts.c.purchase_id)
            )
            for row in rows:
                found.setdefault(row.batch_id, []).append(row.purchase_id)
            return list(found.values())

        return await self.store.read(read)

    async def do(self, change: Callable[[Connection], Any]) -> Any:
        return await self.store.write(change)


async def shop_in(store: Store) -> Shop:
    sales = Sales(ACCOUNT)

    def write(conn: Connection) -> Shop:
        buyer = sales.user(conn, "buyer")
        contents = {
            name: sales.content(conn, sales.user(conn, name), BIG if name == "big" else 300)
            for name in ("ada", "bob", "big")
        }
        identity.pin(conn, INSTALLED_AT, START.isoformat(), START)
        return Shop(store, sales, contents, buyer)

    return await store.write(write)


async def later(clock: Clock, planner: RealtimePlanner) -> Turn:
    """The next plan after the last one has gathered."""
    clock.at += GATHERS
    return await planner.plan()


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_covered_sales_are_planned_at_once_oldest_first_and_approved_by_the_mode(
    store: Store, grouping: str
) -> None:
    shop, clock = await shop_in(store), Clock()
    _, planner = planners(store, clock, grouping=grouping)
    first, second, third = await shop.sell("ada", "bob", "ada", fund=2 * DUE)
    made = await planner.plan()
    assert made.planned is not None and made.planned.key.startswith("realtime:")
    assert await shop.planned() == [[first, second]]
    outstanding = await store.read(lambda conn: batches.outstanding(conn, 1))
    assert (outstanding.unpaid, outstanding.uncovered) == (2 * DUE, 0), "nothing is planned that is not covered"

    def approved(conn: Connection) -> tuple[Sequence[str], str]:
        row = batches.by_id(conn, 1)
        assert row.digest == approvals.digest_of(conn, 1)
        return approvals.approvers(conn, 1), row.status

    assert await store.read(approved) == (["realtime"], "planned")
    assert made.backlog is not None and made.backlog.why is Bar.FUNDS
    assert (made.backlog.left.payouts, made.backlog.left.amount) == (1, DUE)
    await shop.sell(fund=DUE)
    assert (await planner.plan()).wait == GATHERS, "a plan gathers what comes in the moments after it"
    assert (await later(clock, planner)).planned is not None
    assert await shop.planned() == [[first, second], [third]]
    assert (await later(clock, planner)).planned is None, "nothing to pay is no batch"
    assert len(await shop.planned()) == 2


async def test_what_the_rules_of_a_plan_leave_out_real_time_leaves_out_too(inline_store: InlineStore) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    held, early, denied, fine = await shop.sell("ada", "ada", "bob", "big", fund=100 * DUE)

    def change(conn: Connection) -> str:
        holds.hold(conn, held, "looked into", START)
        soon = START + timedelta(days=2)
        conn.execute(update(purchase_rows).where(purchase_rows.c.id == early).values(available_on=soon))
        his = select(users.c.circle_wallet_address).join(payouts, payouts.c.recipient_id == users.c.id)
        return str(conn.scalar(his.where(payouts.c.purchase_id == denied)))

    address = await shop.do(change)
    _, planner = planners(inline_store, clock, denied=[address])
    made = await planner.plan()
    assert await shop.planned() == [[fine]]
    assert made.backlog is not None and made.backlog.why is None, "no plan would take them, so nothing falls back"
    await shop.do(lambda conn: holds.release(conn, held, START))
    clock.at = START + timedelta(days=2, seconds=1)
    await planner.plan()
    assert await shop.planned() == [[fine], [held, early]]


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_a_payout_above_a_cap_waits_and_the_others_do_not(inline_store: InlineStore, grouping: str) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    weekly, planner = planners(inline_store, clock, grouping=grouping, payout_cap=BIG_DUE - 1)
    big, small = await shop.sell("big", "ada", fund=100 * DUE)
    made = await planner.plan()
    assert await shop.planned() == [[small]]
    assert made.backlog is not None and made.backlog.why is Bar.PAYOUT_CAP
    clock.at = MONDAY_NINE
    assert await weekly.plan_weekly() is not None
    assert await shop.planned() == [[small], [big]], "the Monday takes it, where a person sees it above the cap"


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_a_batch_keeps_within_its_cap_and_the_next_takes_the_rest(
    inline_store: InlineStore, grouping: str
) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    _, planner = planners(inline_store, clock, grouping=grouping, batch_cap=2 * DUE)
    sales = await shop.sell("ada", "bob", "ada", fund=100 * DUE)
    made = await planner.plan()
    assert made.backlog is not None and (made.backlog.left.payouts, made.backlog.why) == (1, None)
    await later(clock, planner)
    assert await shop.planned() == [sales[:2], sales[2:]]


async def test_a_day_moves_no_more_than_its_cap_and_the_next_day_goes_on(inline_store: InlineStore) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    _, planner = planners(inline_store, clock, day_cap=2 * DUE - 1)
    first, second = await shop.sell("ada", "bob", fund=100 * DUE)
    await planner.plan()
    made = await later(clock, planner)
    assert await shop.planned() == [[first]]
    assert made.backlog is not None and made.backlog.why is Bar.DAY_CAP
    await shop.do(lambda conn: shop.sales.pay(conn, 1, clock.at))
    assert (await later(clock, planner)).planned is None, "what was paid today still counts today"
    clock.at += timedelta(days=1)
    await planner.plan()
    assert await shop.planned() == [[first], [second]]


async def test_the_pause_switch_and_an_older_batch_that_waits_come_before_real_time(
    inline_store: InlineStore,
) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    weekly, planner = planners(inline_store, clock)
    (sale,) = await shop.sell("ada", fund=DUE)
    await shop.do(lambda conn: turn(conn, SENDS_PAUSED, True, "looked into", "ada", START))
    made = await planner.plan()
    assert made.planned is None and made.backlog is not None and made.backlog.why is Bar.PAUSED
    await shop.do(lambda conn: turn(conn, SENDS_PAUSED, False, "", "ada", START))
    (big,) = await shop.sell("big")
    assert await weekly.plan_off_cycle("somebody") is not None  # of both; 8.46 of it is not covered
    (young,) = await shop.sell("bob")
    assert (await planner.plan()).planned is None
    await shop.sell(fund=BIG_DUE + DUE)
    made = await planner.plan()
    assert made.planned is None and made.backlog is not None and made.backlog.why is Bar.OLDER_BATCH
    await shop.do(lambda conn: batches.move(conn, 1, BatchStatus.SENDING, clock.at))
    assert (await planner.plan()).planned is not None, "a batch that sends has had its turn"
    assert await shop.planned() == [[sale, big], [young]]


async def test_what_left_a_plan_for_a_reason_of_its_own_is_not_planned_again_and_again(
    inline_store: InlineStore,
) -> None:
    shop, clock = await shop_in(inline_store), Clock()
    weekly, planner = planners(inline_store, clock, grouping="creator")
    (first,) = await shop.sell("ada", fund=100 * DUE)
    await planner.plan()
    await shop.do(lambda conn: packing.leave_out(conn, 1, "is worth less than the rent", clock.at))
    second, other = await shop.sell("ada", "bob")
    made = await later(clock, planner)
    assert await shop.planned() == [[first], [other]]
    assert made.backlog is not None and made.backlog.why is Bar.LEFT_OUT
    clock.at = MONDAY_NINE
    await weekly.plan_weekly()
    assert await shop.planned() == [[first], [other], [first, second]]
    assert await inline_store.read(lambda conn: set(conn.scalars(select(payouts.c.reason)))) == {None}


async def test_the_monday_and_eight_replicas_in_real_time_take_each_payout_once(store: Store) -> None:
    shop, clock = await shop_in(store), Clock(MONDAY_NINE)
    await shop.sell(*["ada", "bob"] * 5, fund=100 * DUE)
    made = [planners(store, clock, seed) for seed in range(8)]
    await asyncio.gather(*(realtime.plan() for _, realtime in made), *(weekly.plan_weekly() for weekly, _ in made))
    taken = sorted(sale for batch in await shop.planned() for sale in batch)
    assert len(taken) == len(set(taken)) == 10
    keys = await store.read(lambda conn: conn.scalars(select(batch_rows.c.key)).all())
    assert len(keys) == 1, "whoever came first took all of it; nobody plans nothing"
