"""An order that Circle does not answer is looked for in its list, and asked for ever more rarely, until Circle answers
orders again."""

from pathlib import Path

from sandbox.faults import Fault, Rule
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.virtual_world import VirtualWorld

ORDER = "/v1/w3s/developer/transactions/transfer"
SOON = 180
HOUR = 3600


def refuse_orders(shop: Market, first: Fault) -> None:
    """The first order meets `first`, all others a page of some proxy."""
    faults = shop.world.circle.faults
    faults.add(Rule(f"POST {ORDER}", first, times=1))
    faults.add(Rule(f"POST {ORDER}", Fault.STATUS, times=1_000_000, status=503, body=b"<html>unavailable</html>"))


def orders(shop: Market) -> int:
    return sum(sent.method == "POST" and sent.url.endswith(ORDER) for sent in shop.world.transport.sent)


@on_virtual_time
async def test_an_order_that_circle_has_taken_is_found_in_its_list_while_orders_are_not_answered(
    tmp_path: Path,
) -> None:
    """World 90003: half a day passed until the list was looked at, and the payout was there all the time."""
    shop = Market(VirtualWorld(tmp_path))
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    refuse_orders(shop, Fault.LOSE_ANSWER)
    shop.world.circle.custody.switches.drop_notifications = 1_000
    await shop.plan()
    await shop.batch_is("settled", seconds=SOON)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_orders_that_nobody_answers_are_asked_for_ever_more_rarely_and_all_at_once_when_one_is_answered(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="300000"))
    world = shop.world
    await shop.open("ada", "ben")
    await shop.sell("ada", "ada")
    await shop.deposited(3 * DUE)
    refuse_orders(shop, Fault.LOSE_REQUEST)
    await shop.plan()
    await world.clock.sleep(3 * HOUR)
    begun = orders(shop)
    await world.clock.sleep(HOUR)
    assert 2 <= orders(shop) - begun <= 6
    world.circle.faults.rules.clear()
    await shop.sell("ben")
    await shop.plan()
    for batch_id in (1, 2):
        await shop.batch_is("settled", batch_id, seconds=SOON)
    assert shop.paid() == {"ada": 2 * DUE, "ben": DUE}
    assert await parked(world) == []
    await shop.close()
