"""What a plan takes, what it leaves out and says why, and that nothing of it changes afterwards."""

import asyncio
import json
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

import pytest
from solders.keypair import Keypair
from sqlalchemy import URL, func, select

from agent import identity
from chain.addresses import ata
from payouts.addresses import AddressJudge, DenyList
from payouts.plan import Planner, PlanRules
from ports.virtual import SeededIds
from storage.engines.postgres import PostgresStore
from storage.operation.listings import INSTALLED_AT
from storage.payouts.batches import outstanding
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.store import Store
from storage.tables import batch_items, batches, payouts, transfers
from tests.sales import START, Sales
from tests.week.checker import TRANSFER_URL, rows_of, usdc_of
from tests.week.selling import DUE, Market, written
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld


def references(world: VirtualWorld) -> list[str]:
    sent = [json.loads(request.body) for request in world.transport.sent if request.url == TRANSFER_URL]
    return sorted({body["refId"] for body in sent})


async def left_out(shop: Market) -> dict[str, str]:
    """Name → why the creator gets nothing this time."""
    preview = await shop.world.operator("GET", "/admin/api/distribution/preview")
    return {row["name"]: row["reason"] for row in preview.body["left_out"]}


def test_an_address_changed_after_the_plan_changes_nothing_of_it_and_cools_off_for_the_next(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        former = await shop.join_from_before("olga")
        await shop.sell("olga")
        await shop.plan()
        moved = str(Keypair.from_seed(b"another address of the same user").pubkey())
        body = {"wallet_address": moved}
        changed = await shop.world.call("POST", "/api/wallet/external/", body, former.token)
        assert changed.status == 200, changed
        await shop.sell("olga")
        shop.fund(3 * DUE)
        await shop.batch_is("settled")
        assert former.address is not None
        assert (usdc_of(shop.world, former.address), usdc_of(shop.world, moved)) == (DUE, 0)
        assert await left_out(shop) == {"olga": "changed the address lately"}
        assert await shop.plan() is None
        shop.world.clock.shift(timedelta(hours=24, seconds=1))
        await shop.plan()
        await shop.batch_is("settled", 2)
        assert usdc_of(shop.world, moved) == DUE
        await shop.close()

    run_virtually(story())


def test_below_the_minimum_waits_and_at_the_minimum_is_paid(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_PAYOUT_MINIMUM=str(DUE)))
        await shop.open()
        await shop.join("small", price_cents=299)
        await shop.sell()
        shop.fund(10 * DUE)
        await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": DUE, "small": 0}
        assert shop.states() == ["distributed", "pending_distribution"]
        await shop.close()

    run_virtually(story())


def test_with_grouping_creator_small_sales_count_together_against_the_minimum(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_PAYOUT_MINIMUM=str(2 * DUE), AGENT_GROUPING="creator"))
        await shop.open()
        await shop.sell()
        assert await left_out(shop) == {"ada": "is below the minimum"}
        assert await shop.plan() is None
        await shop.sell()
        shop.fund(10 * DUE)
        await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": 2 * DUE}
        await shop.close()

    run_virtually(story())


def test_held_purchases_and_creators_without_a_wallet_are_left_out_and_the_next_plan_takes_them(tmp_path: Path) -> None:
    async def story() -> None:
        world = VirtualWorld(tmp_path)
        shop = Market(world)
        await shop.open("ada", "bob")
        world.circle.custody.switches.auto_pin = False
        _, token = await shop.sign_up("cleo")
        body = {"content_id": await shop.publish(token, 300), "payment_method": "card"}
        begun = await world.call("POST", "/api/checkout/stripe/", body, shop.buyer_token)
        world.stripe.controls.pay(begun.body["session_id"])
        ada, _ = await shop.sell("ada", "bob")
        dispute: Any = world.stripe.controls.open_dispute(ada.payment)

        async def held() -> bool:
            return shop.states().count("on_hold") == 1 and len(shop.states()) == 3

        await world.until("it is held", held)
        assert await left_out(shop) == {"cleo": "has no wallet yet"}
        cleo_id = (await world.call("GET", "/api/profile/", token=token)).body["user_id"]
        board = (await world.call("GET", f"/api/creators/{cleo_id}/dashboard/", token=token)).body
        assert "waits for it" in board["wallet_prompt"] and board["pending_distribution"] == "2.35"
        shop.fund(3 * DUE)
        await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": 0, "bob": DUE}
        world.stripe.controls.close_dispute(dispute["id"], "won")
        (open_challenge,) = (await world.circle_get("/_sandbox/challenges"))["challenges"]
        await world.circle_post(f"/_sandbox/challenges/{open_challenge['id']}/complete", {})

        async def ready() -> bool:
            preview = await world.operator("GET", "/admin/api/distribution/preview")
            return bool(preview.body["number_of_creators"] == 2)

        await world.until("both are payable", ready)
        await shop.plan()
        await shop.batch_is("settled", 2)
        cleo = (await world.call("GET", "/api/profile/", token=token)).body["circle_wallet_address"]
        assert (shop.paid(), usdc_of(world, cleo)) == ({"ada": DUE, "bob": DUE}, DUE)
        await shop.close()

    run_virtually(story())


def test_a_denied_address_is_left_out_with_its_screening_stored(tmp_path: Path) -> None:
    denied = str(Keypair.from_seed(b"an address on the deny list.....").pubkey())

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_SCREENING_DENY=denied))
        await shop.open()
        await shop.join_from_before("mallory", denied)
        await shop.sell()
        assert await left_out(shop) == {"mallory": "is on the deny list"}
        shop.fund(5 * DUE)
        await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": DUE, "mallory": 0}
        stored = {
            row["address"]: (row["allowed"], row["reason"]) for row in rows_of(shop.world, "SELECT * FROM screenings")
        }
        assert stored == {shop.creators["ada"].address: (1, None), denied: (0, "is on the deny list")}
        await shop.close()

    run_virtually(story())


def test_addresses_that_nobody_can_own_and_our_own_are_refused_at_the_door_and_by_the_plan(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        olga = await shop.join_from_before("olga")
        await shop.sell("olga")
        await shop.deposited(5 * DUE)
        platform, mint = shop.world.platform.address, shop.world.settings.usdc_mint
        wrong = [platform, ata(platform, mint), ata(olga.address or "", mint), mint, "11111111111111111111111111111111"]
        for address in [*wrong, "not an address"]:
            body = {"wallet_address": address}
            answer = await shop.world.call("POST", "/api/wallet/external/", body, olga.token)
            assert (answer.status, answer.body["error"]["field"]) == (422, "wallet_address"), address
        for address in wrong:
            sql = f"UPDATE users SET wallet_address = '{address}' WHERE username = 'olga'"
            await written(shop.world, lambda conn, sql=sql: conn.exec_driver_sql(sql))
            assert list(await left_out(shop)) == ["olga"]
            assert await shop.plan() is None
        assert shop.paid()["olga"] == 0
        await shop.close()

    run_virtually(story())


def test_collaborators_are_paid_by_share_with_a_reference_each(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        ada, bob = shop.creators["ada"].id, shop.creators["bob"].id
        shares = [{"user_id": ada, "share_bps": 6_667}, {"user_id": bob, "share_bps": 3_333}]
        await shop.join("cleo", collaborators=shares)
        (sale,) = await shop.sell("cleo")
        shop.fund(DUE)
        await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": 1_566_745, "bob": 783_255, "cleo": 0}
        assert references(shop.world) == [
            f"purchase-{sale.payment}-distribution",
            f"purchase-{sale.payment}-distribution-2",
        ]
        shown = await shop.world.call("GET", f"/api/purchases/{sale.purchase_id}/", token=shop.buyer_token)
        assert (shown.body["usdc_payment_status"], shown.body["usdc_transfer_signature"]) == ("distributed", None)
        assert len({one["usdc_transfer_signature"] for one in shown.body["payouts"]}) == 2
        await shop.close()

    run_virtually(story())


def test_grouping_creator_pays_many_sales_by_one_transfer_and_one_signature(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_GROUPING="creator"))
        await shop.open("ada", "bob")
        await shop.sell("ada", "ada", "bob", "ada")
        shop.fund(4 * DUE)
        planned = await shop.plan()
        await shop.batch_is("settled")
        assert shop.paid() == {"ada": 3 * DUE, "bob": DUE}
        uuids = {row["username"]: row["uuid"] for row in rows_of(shop.world, "SELECT username, uuid FROM users")}
        assert planned is not None
        wanted = [f"batch-{planned['uuid']}-creator-{uuids[name]}-distribution" for name in ("ada", "bob")]
        assert references(shop.world) == sorted(wanted)
        rows = rows_of(shop.world, "SELECT COUNT(*) n, COUNT(DISTINCT signature) s FROM payouts GROUP BY recipient_id")
        assert [(row["n"], row["s"]) for row in rows] == [(3, 1), (1, 1)]
        await shop.close()

    run_virtually(story())


def test_an_off_cycle_batch_and_mondays_batch_share_no_payout(tmp_path: Path) -> None:
    async def story() -> None:
        start = datetime(2026, 11, 16, 8, 58, tzinfo=UTC)
        shop = Market(VirtualWorld(tmp_path, start=start))
        await shop.open()
        await shop.sell()
        await shop.plan()
        await shop.sell()

        async def weekly() -> bool:
            return len(rows_of(shop.world, "SELECT id FROM batches WHERE key = 'monday:2026-11-16'")) == 1

        await shop.world.until("monday is planned", weekly)
        shop.fund(2 * DUE)
        await shop.batch_is("settled", 1)
        await shop.batch_is("settled", 2)
        rows = rows_of(shop.world, "SELECT batch_id, COUNT(*) n FROM batch_items GROUP BY 1 ORDER BY 1")
        assert [(row["batch_id"], row["n"]) for row in rows] == [(1, 1), (2, 1)]
        assert shop.paid() == {"ada": 2 * DUE}
        await shop.close()

    run_virtually(story())


def test_a_plan_counts_as_one_read_what_it_takes_lists_and_totals(tmp_path: Path) -> None:
    """The nearest peer's defect 15: a total, a list and an update that are three separate queries."""

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open("ada", "bob")
        await shop.sell("ada", "bob", "ada")
        shown, planned = await asyncio.gather(
            shop.world.operator("GET", "/admin/api/distribution/preview"), shop.plan()
        )
        await shop.sell("bob")
        assert planned is not None
        batch = await shop.batch()
        items = rows_of(shop.world, "SELECT SUM(amount) s, COUNT(*) n FROM batch_items")[0]
        assert (planned["payout_count"], planned["planned_amount"]) == (3, "7.05")
        assert (items["n"], items["s"], batch["batch"]["planned_amount"]) == (3, 3 * DUE, "7.05")
        assert shown.body["total_usdc"] in ("7.05", "0.00")
        await shop.close()

    run_virtually(story())


def planner_at(store: Store, moment: datetime, seed: int, grouping: str = "purchase") -> Planner:
    class Fixed:
        def now(self) -> datetime:
            return moment

        def monotonic(self) -> float:
            return 0.0

        async def sleep(self, seconds: float) -> None:
            raise AssertionError("planning waits for nothing")

    rules = PlanRules(10_000, False, timedelta(hours=24), grouping, "circle")
    return Planner(store, Fixed(), SeededIds(Random(seed)), rules, AddressJudge(DenyList(()), ()), "treasury")


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_eight_planners_of_one_monday_make_one_batch(store: Store, grouping: str) -> None:
    sales, monday = Sales("treasury"), START + timedelta(days=6, hours=21)

    def fill(conn: Any) -> None:
        identity.pin(conn, INSTALLED_AT, START.isoformat(), START)
        artist, buyer = sales.user(conn, "artist"), sales.user(conn, "buyer")
        content = sales.content(conn, artist)
        for _ in range(3):
            sales.sold(conn, content, buyer)

    await store.write(fill)
    planners = [planner_at(store, monday + timedelta(seconds=number), number, grouping) for number in range(8)]
    made = await asyncio.gather(*(planner.plan_weekly() for planner in planners))
    assert sum(one is not None for one in made) == 1

    def counted(conn: Any) -> tuple[int, ...]:
        found = (conn.scalar(select(func.count()).select_from(table)) for table in (batches, transfers))
        taken = conn.scalar(select(func.count(payouts.c.batch_id)))
        return (*found, taken)

    assert await store.read(counted) == (1, 3 if grouping == "purchase" else 1, 3)


async def test_eight_off_cycle_plans_at_once_take_each_payout_once(store: Store) -> None:
    sales = Sales("treasury")

    def fill(conn: Any) -> None:
        artist, buyer = sales.user(conn, "artist"), sales.user(conn, "buyer")
        content = sales.content(conn, artist)
        for _ in range(5):
            sales.sold(conn, content, buyer)

    await store.write(fill)
    planners = [planner_at(store, START + timedelta(hours=1), number) for number in range(8)]
    made = await asyncio.gather(*(planner.plan_off_cycle("somebody") for planner in planners))
    planned = [one.batch_id for one in made if one is not None]
    assert await store.read(lambda conn: sum(outstanding(conn, batch).open_payouts for batch in planned)) == 5
    rows = await store.read(lambda conn: conn.execute(select(batches.c.payout_count)).scalars().all())
    assert sum(rows) == 5
    assert 0 not in rows


@pytest.mark.parametrize("grouping", ["purchase", "creator"])
async def test_eight_replicas_that_plan_at_once_take_each_payout_once(postgres_url: URL, grouping: str) -> None:
    sales, monday = Sales("treasury"), START + timedelta(days=6, hours=21)
    replicas = [PostgresStore(postgres_url, writers=1) for _ in range(8)]
    await asyncio.gather(*(replica.start() for replica in replicas))

    def fill(conn: Any) -> None:
        identity.pin(conn, INSTALLED_AT, START.isoformat(), START)
        artist, buyer = sales.user(conn, "artist"), sales.user(conn, "buyer")
        content = sales.content(conn, artist)
        for _ in range(40):
            sales.sold(conn, content, buyer)

    await replicas[0].write(fill)
    planners = [planner_at(store, monday, number, grouping) for number, store in enumerate(replicas)]
    await asyncio.gather(
        *(each.plan_weekly() for each in planners[:4]), *(each.plan_off_cycle("somebody") for each in planners[4:])
    )
    items = select(func.count(), func.count(batch_items.c.payout_id.distinct()), func.sum(batch_items.c.amount))
    planned = select(func.count(), func.sum(batches.c.payout_count), func.sum(batches.c.planned_amount))
    assert (await replicas[0].read(lambda conn: conn.execute(items).one())) == (40, 40, 40 * DUE)
    assert (await replicas[0].read(lambda conn: conn.execute(planned).one())) == (1, 40, 40 * DUE)
    await asyncio.gather(*(replica.stop() for replica in replicas))


async def test_a_sale_that_becomes_due_while_a_replica_plans_waits_for_the_next_plan(postgres_url: URL) -> None:
    """It comes between the sums of the transfers and the taking of the payouts."""
    sales, store = Sales("treasury"), PostgresStore(postgres_url, writers=1)
    await store.start()

    def fill(conn: Any) -> int:
        buyer = sales.user(conn, "buyer")
        content = sales.content(conn, sales.user(conn, "artist"))
        sales.sold(conn, content, buyer)
        return sales.paid(conn, content, buyer)

    late, cutoff = await store.write(fill), START + timedelta(days=1)

    def sell_elsewhere() -> None:
        async def sell() -> None:
            other = PostgresStore(postgres_url, writers=1)
            await other.start()
            await other.write(lambda conn: sales.minted(conn, late))
            await other.stop()

        asyncio.run(sell())

    def plan(conn: Any) -> int | None:
        terms = PlanTerms(cutoff, cutoff, 10_000, False, timedelta(0), "creator", "solana")
        return take(conn, "offcycle:1", terms, judge, "somebody", sales.uuids)

    with ThreadPoolExecutor(1) as threads:
        selling: list[Future[None]] = []

        def judge(_address: str) -> None:
            selling.append(threads.submit(sell_elsewhere))
            wait(selling, timeout=1)

        assert await store.write(plan) == 1
        await asyncio.wrap_future(selling[0])
    planned = select(batches.c.payout_count, batches.c.planned_amount)
    due = select(payouts.c.batch_id).order_by(payouts.c.purchase_id)
    assert tuple(await store.read(lambda conn: conn.execute(planned).one())) == (1, DUE)
    assert list(await store.read(lambda conn: conn.scalars(due).all())) == [1, None]
    await store.stop()


async def test_a_clock_set_back_plans_no_monday_twice(store: Store) -> None:
    sales, monday = Sales("treasury"), datetime(2026, 11, 23, 9, tzinfo=UTC)

    def sell(conn: Any) -> None:
        artist, buyer = sales.user(conn, "artist"), sales.user(conn, "buyer")
        sales.sold(conn, sales.content(conn, artist), buyer)

    await store.write(lambda conn: identity.pin(conn, INSTALLED_AT, "", START - timedelta(days=30)))
    await store.write(sell)
    assert await planner_at(store, monday + timedelta(minutes=7), 1).plan_weekly() is not None
    await store.write(sell)
    for back in (timedelta(minutes=-8), timedelta(days=-3), timedelta(days=-8), timedelta(seconds=1)):
        assert await planner_at(store, monday + back, 2).plan_weekly() is None
    assert await planner_at(store, monday + timedelta(days=7), 3).plan_weekly() is not None
