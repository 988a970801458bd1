"""What was sent and can't be looked at is looked at for as long as that takes: it needs no person (product.md, 5)."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.test_restore_drill import drill
from tests.week.virtual_world import MONDAY, VirtualWorld

TRIES = 6
"""So few that they are used up within a minute."""
ORDERED_AFTER = 2.0
"""Seconds until Circle has told of the order, and nothing is final yet."""
LONG = 1_200.0
SENDS = {"transfer", "packed_sign", "packed_settle", "mint"}
A_LOOK = 900.0
"""Seconds that may pass between two looks at what has been unknown for long."""


def market(folder: Path, rail: str) -> Market:
    return Market(VirtualWorld(folder, 1, MONDAY, AGENT_RAIL=rail, AGENT_RETRIES_MAX=str(TRIES)))


@pytest.mark.parametrize(
    ("rail", "call"),
    [("circle", "GET /v1/w3s/transactions"), ("circle", "getTransaction"), ("solana", "getTransaction")],
)
@on_virtual_time
async def test_a_payout_that_is_on_its_way_is_looked_up_however_long_nobody_answers(
    rail: str, call: str, tmp_path: Path
) -> None:
    shop = market(tmp_path, rail)
    await shop.open("ada")
    await shop.sell()
    shop.world.node.mint_usdc(Pubkey.from_string(shop.creators["ada"].address or ""), 0)
    await shop.deposited(DUE)
    await shop.plan()
    await shop.world.clock.sleep(ORDERED_AFTER)
    services = (shop.world.circle, shop.world.node)
    for service in services:
        service.faults.add(Rule(call, Fault.LOSE_REQUEST, times=1_000_000))
    await shop.world.clock.sleep(LONG)
    assert {kind for kind, _ in await parked(shop.world)} & SENDS == set()
    for service in services:
        service.faults.rules.clear()
    await shop.batch_is("settled", seconds=A_LOOK)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_a_mint_that_landed_is_looked_up_however_long_nobody_shows_it(tmp_path: Path) -> None:
    shop = market(tmp_path, "circle")
    await shop.open("ada")
    shop.world.node.faults.add(Rule("getTransaction", Fault.LOSE_REQUEST, times=1_000_000))
    await shop.sell(minted=False)
    await shop.world.clock.sleep(LONG)
    assert {kind for kind, _ in await parked(shop.world)} & SENDS == set()
    shop.world.node.faults.rules.clear()

    async def is_minted() -> bool:
        return [row["status"] for row in rows_of(shop.world, "SELECT status FROM purchases")] == ["completed"]

    await shop.world.until("the NFT is read back", is_minted, A_LOOK)
    await shop.close()


@on_virtual_time
async def test_whether_a_restored_sale_has_its_nft_is_looked_up_however_long_no_second_node_says_so(
    tmp_path: Path,
) -> None:
    """A siege, seed 1000: the looks of each start used up the tries, and stayed parked when all was minted."""
    story = drill(tmp_path, agent_retries_max=str(TRIES))
    await story.begin("ada")
    await story.back_up()
    await story.late_buyers_pay()
    await story.all_are_minted(3)
    story.world.node.faults.add(Rule("/rpc2", Fault.STATUS, times=1_000_000, status=503))
    await story.put_back()
    await story.world.clock.sleep(LONG)
    assert await parked(story.world) == []
    story.world.node.faults.rules.clear()
    await story.all_are_minted(3)
    await story.gate_opens()
    assert rows_of(story.world, "SELECT kind FROM jobs WHERE kind = 'mint_look' AND state = 'parked'") == []
    await story.shop.close()
