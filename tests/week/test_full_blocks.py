"""Blocks are full: every node takes what bids too little, and it never lands. The nodes report all the while that
nothing is asked, as real ones do: only an attempt that expired shows it, and the next one bids more, up to the setting.
What asks for more than that is outlived.
"""

from pathlib import Path
from sqlite3 import Row

import pytest

from tests.week.checker import outflows, rows_of
from tests.week.people import gallery, on_virtual_time, parked
from tests.week.selling import DUE
from tests.week.test_mints import is_minted
from tests.week.test_packed_rail import open_accounts, packed_market
from tests.week.test_peer_defects import nfts
from tests.week.test_transfer_ends import TREASURY_SEEN
from tests.week.virtual_world import VirtualWorld

PATIENCE = 1_200
"""Seconds for some attempts of a wave and of a group, each of which must be proven dead."""
BEYOND_ALL_BIDS = 10**12
HOUR = 3_600
SOON = 2_000
"""Half an hour between two attempts at last, and what the second one takes."""


@on_virtual_time
async def test_a_mint_bids_more_with_each_attempt_that_expired_until_it_lands(tmp_path: Path) -> None:
    shop = gallery(tmp_path, AGENT_PRIORITY_FEE_LAMPORTS="20000")
    await shop.open()
    shop.world.node.least_price = 40_000  # of 100,000 at most
    await shop.pay()
    await is_minted(shop, ["dead", "dead", "finalized"])
    await shop.close()


@pytest.mark.parametrize("accounts_exist", [True, False])
@on_virtual_time
async def test_a_packed_payout_and_the_accounts_that_it_needs_bid_more_until_they_land(
    accounts_exist: bool, tmp_path: Path
) -> None:
    shop = packed_market(tmp_path, AGENT_PRIORITY_FEE_LAMPORTS="5000", AGENT_TREASURY_POLL_MS="20000")
    await shop.open("ada", "bob")
    if accounts_exist:
        open_accounts(shop)
    await shop.sell()
    await shop.deposited(20 * DUE)
    shop.world.node.least_price = 30_000  # of 50,000 at most for two accounts, of 108,695 for a group of two
    await shop.plan()
    await shop.batch_is("settled", seconds=PATIENCE)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE, "bob": DUE}, 1)
    groups = [row["state"] for row in rows_of(shop.world, "SELECT state FROM group_attempts ORDER BY id")]
    assert groups == ["dead", "dead", "finalized"]
    waves = [row["state"] for row in rows_of(shop.world, "SELECT state FROM upkeep ORDER BY id")]
    assert waves == ([] if accounts_exist else ["dead", "dead", "dead", "finalized"])
    assert await parked(shop.world) == []
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_sale_outlives_hours_of_full_blocks_with_few_attempts_that_come_quickly_at_first(
    tmp_path: Path,
) -> None:
    shop = gallery(
        tmp_path, AGENT_PRIORITY_FEE_LAMPORTS="20000", AGENT_ATTEMPTS_MAX="1", AGENT_TREASURY_POLL_MS="300000"
    )
    await shop.open()
    shop.world.node.least_price = BEYOND_ALL_BIDS
    token, _ = await shop.pay()
    await shop.world.clock.sleep(PATIENCE)
    assert len(attempts(shop.world)) >= 7
    await shop.world.clock.sleep(4 * HOUR - PATIENCE)
    made = attempts(shop.world)
    assert 8 < len(made) < 24
    assert all("expiry" in row["proof"] for row in made[:-1])
    told = rows_of(shop.world, "SELECT id FROM state_history WHERE machine IN ('mint', 'purchase')")
    assert len(told) < 5 * len(made)
    assert await parked(shop.world) == []
    assert [one["status"] for one in await shop.library(token)] == ["minting"]
    shop.world.node.least_price = 0

    async def is_owned() -> bool:
        return [one["status"] for one in await shop.library(token)] == ["owned"]

    await shop.world.until("it is minted", is_owned, SOON)
    assert nfts(shop.world) == 1
    await shop.close()


@pytest.mark.parametrize("accounts_exist", [True, False])
@on_virtual_time
async def test_a_packed_payout_outlives_hours_of_full_blocks_with_few_attempts(
    accounts_exist: bool, tmp_path: Path
) -> None:
    shop = packed_market(
        tmp_path, AGENT_PRIORITY_FEE_LAMPORTS="5000", AGENT_ATTEMPTS_MAX="1", AGENT_TREASURY_POLL_MS="300000"
    )
    await shop.open("ada", "bob")
    if accounts_exist:
        open_accounts(shop)
    await shop.sell()
    await shop.deposited(20 * DUE)
    shop.world.node.least_price = BEYOND_ALL_BIDS
    await shop.plan()
    await shop.world.clock.sleep(4 * HOUR)
    made = rows_of(shop.world, f"SELECT proof FROM {'group_attempts' if accounts_exist else 'upkeep'} ORDER BY id")
    assert 8 < len(made) < 24
    assert all("expiry" in row["proof"] for row in made[:-1])
    assert (shop.states(), await parked(shop.world)) == (["pending_distribution"] * 2, [])
    shop.world.node.least_price = 0
    await shop.batch_is("settled", seconds=SOON)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE, "bob": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


def attempts(world: VirtualWorld) -> list[Row]:
    return rows_of(world, "SELECT state, proof FROM mint_attempts ORDER BY id")
