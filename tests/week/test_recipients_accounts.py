"""The recipient's USDC account is looked at before Circle is given an order for it."""

from pathlib import Path

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from sandbox.faults import Fault, Rule
from tests.week.checker import outflows
from tests.week.people import on_virtual_time
from tests.week.selling import DUE
from tests.week.test_transfer_ends import FROZEN, STATE_OFFSET, TREASURY_SEEN, attempts, market, orders, rewrite

OWNER_OFFSET = 32
"""Where a token account says whose it is."""


@pytest.mark.parametrize("bad", ["is frozen", "belongs to somebody else"])
@on_virtual_time
async def test_whose_account_is_not_good_is_not_ordered_for_until_it_is_and_a_person_asks(
    bad: str, tmp_path: Path
) -> None:
    """Circle pays into whatever stands at the address: an account that was given away took the creator's money, and one
    that was frozen used up every attempt."""
    shop = await market(tmp_path)
    await shop.plan()
    await shop.batch_is("settled")
    await shop.sell()
    await shop.deposited(DUE)
    ada = shop.creators["ada"].address
    assert ada is not None
    frozen = bad == "is frozen"
    offset, good = (STATE_OFFSET, bytes([1])) if frozen else (OWNER_OFFSET, bytes(Pubkey.from_string(ada)))
    rewrite(shop, ada, offset, bytes([FROZEN]) if frozen else bytes(Keypair().pubkey()))
    await shop.plan()
    await shop.batch_is("settled", 2)
    assert (shop.states(), len(orders(shop))) == (["distributed", "failed"], 1)
    (parked,) = await shop.parked(f"the recipient's USDC account {bad}")
    assert (parked["kind"], parked["error_code"]) == ("transfer", "destination_account")
    rewrite(shop, ada, offset, good)
    assert (await shop.world.operator("POST", "/admin/api/retry/distribution/2")).status == 202

    async def paid() -> bool:
        return shop.states() == ["distributed", "distributed"]

    await shop.world.until("the retry pays", paid)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": 2 * DUE}, 2)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_while_no_node_tells_of_the_recipient_s_account_nothing_is_ordered(tmp_path: Path) -> None:
    shop = await market(tmp_path)
    silence = shop.world.node.faults.add(Rule("getMultipleAccounts", Fault.STATUS, times=1_000_000, status=503))
    await shop.plan()
    await shop.until_work_says("the USDC accounts can't be read")
    await shop.world.clock.sleep(3_600)
    assert (orders(shop), attempts(shop), shop.states()) == ([], [], ["pending_distribution"])
    assert {row["state"] for row in await shop.parked()} == {"due"}
    silence.times = 0
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE}
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()
