"""Mints, and transfers by Circle, while the platform wallet lacks the SOL that they cost."""

from pathlib import Path

from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.circle_service.solana import COMPUTE_UNITS_DEFAULT, Fee
from sandbox.solana_node.accounts import SYSTEM_PROGRAM
from tests.week.checker import outflows, rows_of
from tests.week.people import gallery, on_virtual_time, parked, purchase_becomes
from tests.week.selling import DUE, Market
from tests.week.test_mints import is_minted
from tests.week.test_peer_defects import nfts
from tests.week.test_refunds import Gallery
from tests.week.virtual_world import START_LAMPORTS, VirtualWorld

TOO_LITTLE = 1_000_000
"""Lamports: less than the rent of a token account, or of a mint."""
TREASURY_SEEN_SECONDS = 320
"""Until the follower has booked all that landed."""
BANK = str(Pubkey.from_bytes(b"\7" * 32))


async def poor(folder: Path, attempts_max: int = 8) -> Gallery:
    """A shop whose platform wallet lacks the SOL that a mint costs."""
    shop = gallery(folder, AGENT_ATTEMPTS_MAX=str(attempts_max))
    await shop.open()
    set_lamports(shop, TOO_LITTLE)
    return shop


def set_lamports(shop: Gallery, lamports: int) -> None:
    platform = Pubkey.from_string(shop.world.platform.address)
    shop.world.node.place_account(platform, Account(lamports, b"", SYSTEM_PROGRAM))


def spend_sol(world: VirtualWorld) -> None:
    """Somebody moves nearly all of it away by hand, in Circle's console."""
    custody = world.circle.custody
    wallet, native = custody.wallets.at(world.platform.address), custody.tokens.native
    assert wallet is not None
    fee = Fee(COMPUTE_UNITS_DEFAULT, 0)
    left = custody.tokens.units_of(wallet, native) - fee.lamports - TOO_LITTLE
    custody.transfers.start(wallet, native, left, BANK, fee, "LOW", None)


@on_virtual_time
async def test_without_sol_a_mint_waits_after_its_first_attempt_and_goes_on_by_itself_when_sol_has_come(
    tmp_path: Path,
) -> None:
    shop = await poor(tmp_path, attempts_max=2)
    world = shop.world
    token, _ = await shop.pay()
    shown = await purchase_becomes(shop, 1, status="minting", status_reason="waiting_for_sol")
    await world.clock.sleep(7_200)
    shown = await purchase_becomes(shop, 1, status="minting", status_reason="waiting_for_sol")
    assert [one["state"] for one in shown["mints"]] == ["dead", "intended"]
    assert await parked(world) == []
    assert (await shop.library(token))[0]["status"] == "minting"
    set_lamports(shop, START_LAMPORTS)
    shown = await is_minted(shop, ["dead", "finalized"])
    assert shown["purchase"]["status_reason"] is None
    assert nfts(world) == 1
    await shop.close()


@on_virtual_time
async def test_a_mint_whose_only_attempt_found_no_sol_is_not_failed_by_it(tmp_path: Path) -> None:
    shop = await poor(tmp_path, attempts_max=1)
    await shop.pay()
    await purchase_becomes(shop, 1, status="minting", status_reason="waiting_for_sol")
    set_lamports(shop, START_LAMPORTS)
    await is_minted(shop, ["dead", "finalized"])
    await shop.close()


@on_virtual_time
async def test_a_sale_refunded_while_its_mint_waits_for_sol_is_never_minted(tmp_path: Path) -> None:
    shop = await poor(tmp_path)
    world = shop.world
    await shop.pay()
    await purchase_becomes(shop, 1, status="minting", status_reason="waiting_for_sol")
    (sale,) = rows_of(world, "SELECT stripe_payment_intent_id pi FROM purchases")
    world.stripe.controls.refund(sale["pi"])
    shown = await purchase_becomes(shop, 1, status="refunded")
    assert [one["state"] for one in shown["mints"]] == ["dead", "dead"]
    set_lamports(shop, START_LAMPORTS)
    await world.clock.sleep(1_800)
    assert nfts(world) == 0
    await shop.close()


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
