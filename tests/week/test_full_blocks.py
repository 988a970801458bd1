"""Blocks are full: every node takes what bids too little, and it never lands. The nodes report all the while that
nothing is asked, as real ones do: only an attempt that expired shows it, and the next one bids more, up to the setting.
"""

from pathlib import Path

import pytest

from tests.week.checker import outflows, rows_of
from tests.week.people import gallery, on_virtual_time, parked
from tests.week.selling import DUE
from tests.week.test_mints import is_minted
from tests.week.test_packed_rail import open_accounts, packed_market
from tests.week.test_transfer_ends import TREASURY_SEEN

PATIENCE = 1_200
"""Seconds for some attempts of a wave and of a group, each of which must be proven dead."""


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
