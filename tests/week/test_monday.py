"""The weekly batch: planned once for its Monday, by whoever is back, with what was paid before 09:00 UTC."""

from datetime import datetime, timedelta
from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import MONDAY, VirtualWorld

NINE = MONDAY.replace(hour=9)


async def sleep_until(world: VirtualWorld, moment: datetime) -> None:
    await world.clock.sleep((moment - world.clock.now()).total_seconds())


async def keys(shop: Gallery) -> list[str]:
    shown = await shop.world.operator("GET", "/admin/api/batches")
    return [batch["key"] for batch in shown.body["items"]]


@pytest.mark.parametrize("back_at", [NINE + timedelta(seconds=1), NINE + timedelta(minutes=7)])
def test_a_daemon_that_was_down_at_nine_plans_its_monday_when_it_is_back_once(
    back_at: datetime, tmp_path: Path
) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path, 1, NINE - timedelta(minutes=3)))
        world = shop.world
        await shop.open()
        await shop.sell()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 3 * DUE)
        await sleep_until(world, NINE - timedelta(seconds=30))
        await world.stop()
        await sleep_until(world, back_at)
        await world.start()
        await shop.shows("the creator is paid", paid_out="2.35")
        assert await keys(shop) == ["monday:2026-11-16"]
        await shop.sell()
        await world.stop()
        await world.start()
        await world.clock.sleep(900)
        assert await keys(shop) == ["monday:2026-11-16"]
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_a_sale_one_second_before_nine_is_in_and_one_at_nine_is_not(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path, 1, NINE - timedelta(minutes=3)))
        world = shop.world
        await shop.open()
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 5 * DUE)
        before, after = [(await shop.sign_up(name))[1] for name in ("early", "late")]
        await sleep_until(world, NINE - timedelta(milliseconds=900))
        await shop.buy(before, shop.content)
        await sleep_until(world, NINE)
        await shop.buy(after, shop.content)

        async def both_minted() -> bool:
            shelves = [await shop.library(token) for token in (before, after)]
            return all(shelf and shelf[0]["status"] == "owned" for shelf in shelves)

        await world.until("both are minted", both_minted)
        await world.clock.sleep(900)  # at nine it was not minted yet: one of the next nudges plans it
        await shop.shows("the early one is paid", paid_out="2.35", pending_distribution="2.35")
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_what_waits_for_funds_is_paid_by_itself_when_the_deposit_lands_oldest_first(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        world = shop.world
        await shop.open()
        first, token, _ = await shop.sell()
        second, other, _ = await shop.sell()
        await world.operator("POST", "/admin/api/batches", {})

        async def waiting() -> bool:
            shown = await world.operator("GET", "/admin/api/batches/1")
            return bool(shown.body["batch"]["status"] == "waiting_funds")

        await world.until("the batch waits", waiting)
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), DUE + 1)
        await world.clock.sleep(60)
        states = [
            (await shop.purchase(number, whose))["usdc_payment_status"]
            for number, whose in ((first, token), (second, other))
        ]
        assert states == ["pending_distribution", "pending_conversion"]
        assert await shop.paid_on_chain() == 0
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), DUE)
        await shop.shows("both are paid", paid_out="4.70")
        await shop.close()

    run_virtually(story())
