"""The checker judges by what the chain holds, not by what one of its endpoints says."""

from pathlib import Path

from sandbox.solana_node.endpoints import MAX_LAG_SLOTS
from tests.week.checker import checker_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import VirtualWorld


@on_virtual_time
async def test_an_endpoint_that_falls_behind_after_a_payout_makes_nobody_doubt_it(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    await shop.plan()
    await shop.batch_is("settled")
    for endpoint in shop.world.node.endpoints.values():
        endpoint.lag_slots = MAX_LAG_SLOTS
    checker = checker_of(shop.world)
    assert (checker.always(shop.world.clock.now_ms() * 1_000), len(checker.records.outflows())) == ([], 1)
    assert checker.records.treasury_usdc() == 0
    for endpoint in shop.world.node.endpoints.values():
        endpoint.lag_slots = 0
    await shop.close()
