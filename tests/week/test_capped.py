"""What the cap of a day stops is not looked at in vain: midnight UTC, or a start with another cap, lets it go on."""

from datetime import datetime
from pathlib import Path

import pytest

from tests.week.checker import rows_of
from tests.week.mint_account import ON, ORDERS, USDC, Converting
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import MONDAY, VirtualWorld

EVENING, LATE = MONDAY.replace(hour=20), MONDAY.replace(hour=23, minute=15)
QUARTER_HOUR = 900
SOON = 60


async def converting(folder: Path, start: datetime) -> Converting:
    """A shop with one order done and another one, approved and wired, that today's cap holds back."""
    shop = Converting(VirtualWorld(folder, 1, start, **ON))
    await shop.open("ada")
    shop.wire(1_000 * USDC)
    await shop.ordered("400.00")
    await shop.order_is("done")
    await shop.ordered("300.00")
    await shop.until_order_says("today's orders would pass the cap of 600000000 base units (AGENT_CAP_CONVERSION_DAY)")
    return shop


def looks(world: VirtualWorld, kind: str) -> list[int]:
    """How often each open row of work of this kind was taken up."""
    return [row["lease_epoch"] for row in rows_of(world, f"SELECT lease_epoch FROM jobs WHERE kind = '{kind}'")]


@on_virtual_time
async def test_an_order_that_the_day_s_cap_stops_waits_for_midnight_with_few_looks(tmp_path: Path) -> None:
    shop = await converting(tmp_path, EVENING)
    world = shop.world
    (before,) = looks(world, "conversion")
    while world.clock.now() < MONDAY.replace(hour=23, minute=59):
        await world.clock.sleep(SOON)
    (after,) = looks(world, "conversion")
    assert after - before <= 4
    await world.clock.sleep(3 * SOON)
    assert (await shop.order(2))["state"] == "done"
    await shop.close()


@on_virtual_time
async def test_an_order_that_the_day_s_cap_stops_goes_on_at_once_after_a_start_with_a_higher_one(
    tmp_path: Path,
) -> None:
    shop = await converting(tmp_path, LATE)
    world = shop.world
    await world.stop()
    world.settings = world.settings.model_copy(update={"agent_cap_conversion_day": 700 * USDC})
    await world.start()
    await world.clock.sleep(5 * SOON)
    assert (await shop.order(2))["state"] == "done"
    assert world.clock.now() < MONDAY.replace(hour=23, minute=55)
    await shop.close()


@on_virtual_time
async def test_an_order_above_a_lowered_cap_says_that_no_day_is_enough_and_ends_when_it_is_cancelled(
    tmp_path: Path,
) -> None:
    shop = await converting(tmp_path, LATE)
    world = shop.world
    await world.stop()
    world.settings = world.settings.model_copy(update={"agent_cap_conversion_day": 299 * USDC})
    await world.start()
    await shop.until_order_says("the order passes the cap of 299000000 base units (AGENT_CAP_CONVERSION_DAY)")
    await world.operator("POST", f"{ORDERS}/2/cancel", {"reason": "not needed"})
    await world.clock.sleep(1)
    assert looks(world, "conversion") == []
    await shop.close()


@pytest.mark.parametrize(("rail", "kind"), [("circle", "transfer"), ("solana", "packed_sign")])
@on_virtual_time
async def test_payouts_that_the_day_s_cap_stops_wait_with_few_looks_and_go_on_after_a_start_with_a_higher_one(
    rail: str, kind: str, tmp_path: Path
) -> None:
    shop = Market(VirtualWorld(tmp_path, 1, LATE, AGENT_RAIL=rail, AGENT_CAP_DAY=str(DUE)))
    world = shop.world
    await shop.open("ada")
    await shop.sell("ada")
    await shop.deposited(3 * DUE)
    await shop.plan()
    await shop.batch_is("settled")
    await shop.sell("ada", "ada")
    await shop.plan()
    await shop.until_work_says("today's transfers would pass the cap of")
    before = sum(looks(world, kind))
    await world.clock.sleep(QUARTER_HOUR)
    assert (sum(looks(world, kind)), shop.paid()) == (before, {"ada": DUE})
    await world.stop()
    world.settings = world.settings.model_copy(update={"agent_cap_day": 3 * DUE})
    await world.start()
    await shop.batch_is("settled", 2)
    assert shop.paid() == {"ada": 3 * DUE}
    assert world.clock.now() < MONDAY.replace(hour=23, minute=55)
    await shop.close()
