"""Stripe, the ledger, Circle and the chain held against each other, in the whole world on virtual time."""

import asyncio
from datetime import timedelta
from pathlib import Path
from typing import Any

from sqlalchemy import text

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market, skip_to, written
from tests.week.test_refunds import Gallery
from tests.week.virtual_world import MONDAY, VirtualWorld


async def reconciled(shop: Market | Gallery) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Ask for a report, as the command does; the report and its red findings."""
    asked = await shop.world.operator("POST", "/admin/api/reconciliations", {})
    assert asked.status == 202, asked
    path = f"/admin/api/reconciliations/{asked.body['id']}"

    async def finished() -> bool:
        return bool((await shop.world.operator("GET", path)).body["finished_at"])

    await shop.world.until("the report is finished", finished, 300)
    found = await shop.world.operator("GET", f"{path}/findings?colour=red")
    return (await shop.world.operator("GET", path)).body, found.body["items"]


@on_virtual_time
async def test_a_shop_with_everything_open_is_green_or_explained_and_each_thing_that_differs_is_red(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="10000"))
    await shop.open("ada", "bob")
    sold = await shop.sell("ada", "bob", "ada")
    controls: Any = shop.world.stripe.controls
    controls.refund(sold[1].payment)
    await shop.deposited(DUE * 2)
    batch = await shop.plan()
    assert batch is not None
    await shop.batch_is("settled", batch["id"])
    controls.refund(sold[0].payment, 100)
    controls.open_dispute(sold[2].payment)
    await shop.sell("bob")
    await shop.world.stop()
    await skip_to(shop.world, shop.world.clock.now() + timedelta(minutes=40))
    await shop.world.start()
    report, red = await reconciled(shop)
    assert (report["red"], red) == (0, [])
    assert report["green"] + report["explained"] == 4
    assert report["reasons"]["explained"] == {"held": 1, "paid_beyond_due": 1, "waits_for_conversion": 1}
    assert report["stripe"]["charge"]["rows"] == 4

    await written(
        shop.world,
        lambda conn: conn.execute(text("UPDATE circle_transactions SET destination = 'elsewhere' WHERE id = 1")),
    )
    await written(shop.world, lambda conn: conn.execute(text("UPDATE refunds SET amount = 200 WHERE amount = 300")))
    report, red = await reconciled(shop)
    told = {(one["book"], one["subject"], one["code"]) for one in red}
    assert ("sale", str(sold[0].purchase_id), "circle_differs") in told
    assert ("sale", str(sold[1].purchase_id), "return_differs") in told
    assert ("rule", "purchases 2", "refunds-add-up") in told
    await shop.world.close()


@on_virtual_time
async def test_usdc_that_circle_moves_for_nobody_of_ours_stops_all_sends_and_the_report_is_red(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="10000"))
    await shop.open("ada")
    await shop.deposited(5_000_000)
    await shop.world.circle_transfer("1.00")
    await shop.world.clock.sleep(60)
    _, red = await reconciled(shop)
    assert {one["book"] for one in red} == {"circle", "chain"}
    switch = await shop.world.operator("GET", "/admin/api/sends")
    assert "no payout of ours asked for it" in switch.body["paused"]
    assert rows_of(shop.world, "SELECT set_by FROM switches")[0]["set_by"] == "reconciliation"
    await shop.world.close()


@on_virtual_time
async def test_an_order_whose_answer_is_lost_is_ours_and_the_report_stops_nothing(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="10000"))
    await shop.open("ada")
    await shop.sell("ada")
    await shop.deposited(DUE)
    orders = shop.world.circle.faults
    orders.add(Rule("POST /v1/w3s/developer/transactions/transfer", Fault.LOSE_ANSWER, times=100))
    await shop.plan()
    await shop.until_work_says("unknown outcome")
    _, red = await reconciled(shop)
    assert red == []
    assert (await shop.world.operator("GET", "/admin/api/sends")).body == {"paused": None}
    orders.clear()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE}
    await shop.world.close()


@on_virtual_time
async def test_a_wallet_that_is_never_at_rest_is_held_against_the_books_of_one_moment(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="17000"))
    await shop.open("ada")

    async def go_on() -> None:
        while True:
            shop.fund(1_000_000)
            await shop.world.clock.sleep(0.2)

    arriving = asyncio.create_task(go_on())
    await shop.world.clock.sleep(30)
    _, red = await reconciled(shop)
    arriving.cancel()
    assert red == []
    await shop.world.close()


@on_virtual_time
async def test_a_report_is_written_every_night_whether_or_not_the_daemon_was_up_at_three(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="30000"))
    await shop.open("ada")
    await shop.sell("ada")
    world = shop.world

    async def after_the_night_of(day: int, hour: int) -> int:
        """The daemon is down until then, and up for five minutes; how many reports there are."""
        await world.stop()
        await skip_to(world, MONDAY.replace(day=day, hour=hour))
        await world.start()
        await world.clock.sleep(300)
        return len(rows_of(world, "SELECT id FROM reconciliations WHERE finished_at IS NOT NULL"))

    assert await after_the_night_of(16, 23) == 0
    assert await after_the_night_of(17, 4) == 1
    assert await after_the_night_of(17, 23) == 1
    assert await after_the_night_of(20, 2) == 2
    assert rows_of(world, "SELECT red FROM reconciliations WHERE red > 0") == []
    await world.close()
