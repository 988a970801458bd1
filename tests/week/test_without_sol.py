"""Transfers by Circle while the platform wallet lacks the SOL that they cost."""

from pathlib import Path

from solders.pubkey import Pubkey

from sandbox.circle_service.solana import COMPUTE_UNITS_DEFAULT, Fee
from simulator.outside import START_LAMPORTS
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.virtual_world import VirtualWorld

TOO_LITTLE = 1_000_000
"""Lamports: less than the rent of a token account."""
TREASURY_SEEN_SECONDS = 320
"""Until the follower has booked all that landed."""
BANK = str(Pubkey.from_bytes(b"\7" * 32))


def spend_sol(world: VirtualWorld) -> None:
    """Somebody moves nearly all of it away by hand, in Circle's console."""
    custody = world.circle.custody
    wallet, native = custody.wallets.at(world.platform.address), custody.tokens.native
    assert wallet is not None
    fee = Fee(COMPUTE_UNITS_DEFAULT, 0)
    left = custody.tokens.units_of(wallet, native) - fee.lamports - TOO_LITTLE
    custody.transfers.start(wallet, native, left, BANK, fee, "LOW", None)


@on_virtual_time
async def test_without_sol_for_a_receivers_account_a_transfer_waits_after_its_first_attempt_and_goes_on_when_it_comes(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS="300000"))
    world = shop.world
    await shop.open("ada")
    await shop.deposited(DUE)
    await shop.sell()
    spend_sol(world)
    await world.clock.sleep(TREASURY_SEEN_SECONDS)
    await shop.plan()
    await world.clock.sleep(6 * 3_600)
    attempts = rows_of(world, "SELECT state FROM transfer_attempts")
    assert [one["state"] for one in attempts] == ["dead"]
    assert (shop.states(), await parked(world)) == (["pending_distribution"], [])
    world.node.airdrop(Pubkey.from_string(world.platform.address), START_LAMPORTS)
    await shop.batch_is("settled", seconds=3_600)
    assert (shop.paid(), len(outflows(world))) == ({"ada": DUE}, 1)
    await world.clock.sleep(TREASURY_SEEN_SECONDS)
    await shop.close()
