"""A right that our key lacks: told once, asked for by one order or one row of the work that needs it, and noticed soon
once it is there."""

from pathlib import Path
from typing import Any

import payouts.rails.silence
from sandbox.faults import Fault, Rule
from tests.logged import logged
from tests.week.mint_account import USDC, converting
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market, skip_to
from tests.week.test_refused_keys import CREATORS, HALF_A_DAY_AND_MORE, LONGEST_PAUSE, nothing_given_up
from tests.week.test_unanswered_orders import ORDER, orders
from tests.week.virtual_world import VirtualWorld

FORBIDDEN = b'{"code": 3, "message": "Forbidden"}'
SOON, LATER = 100, 3600
TOLD, OVER = "circle takes no orders: one asks for all others", "circle takes orders again: what waited goes on"
MINT_ORDER = "POST /v1/businessAccount/transfers"


def forbid(call: str) -> Rule:
    return Rule(call, Fault.STATUS, times=1_000_000, status=403, body=FORBIDDEN)


def told(lines: list[Any]) -> list[str]:
    return [line["event"] for line in lines if line["event"] in (TOLD, OVER)]


@on_virtual_time
async def test_orders_without_a_right_are_told_once_asked_for_rarely_and_all_leave_soon_after_it_is_there(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="300000"))
    world = shop.world
    with logged(payouts.rails.silence) as lines:
        await shop.open(*CREATORS)
        await shop.sell()
        await shop.deposited(len(CREATORS) * DUE)
        world.circle.faults.add(forbid(f"POST {ORDER}"))
        await shop.plan()
        await shop.until_work_says("an operator must act")
        await world.clock.sleep(LATER)
        begun = orders(shop)
        await world.clock.sleep(LATER)
        assert 11 <= orders(shop) - begun <= 12 + 2
        assert told(lines) == [TOLD]
        assert nothing_given_up(world)
        world.circle.faults.rules.clear()
        await shop.batch_is("settled", seconds=LONGEST_PAUSE + SOON)
        assert shop.paid() == dict.fromkeys(CREATORS, DUE)
        assert told(lines) == [TOLD, OVER]
    await shop.close()


@on_virtual_time
async def test_orders_that_never_left_for_want_of_a_right_are_sent_however_late_it_is_there(tmp_path: Path) -> None:
    """Half a day after a first call they were looked for, and given up as lost."""
    shop = converting(tmp_path)
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    world.circle.faults.add(forbid(f"POST {ORDER}"))
    shop.mint.faults.add(forbid(MINT_ORDER))
    shop.wire(300 * USDC)
    await shop.plan()
    await shop.ordered("100.00")
    await shop.until_work_says("Circle: submit transfer: Forbidden")
    await shop.until_order_says("Circle Mint: order transfer: Forbidden")
    await world.stop()
    await skip_to(world, world.clock.now() + HALF_A_DAY_AND_MORE)
    await world.start()
    await world.clock.sleep(SOON)
    assert nothing_given_up(world)
    world.circle.faults.rules.clear()
    shop.mint.faults.rules.clear()
    await shop.batch_is("settled", seconds=LATER)
    await shop.order_is("done")
    assert shop.paid() == {"ada": DUE} and len(shop.transfers) == 1
    await shop.close()
