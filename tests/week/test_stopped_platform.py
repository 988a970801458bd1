"""The platform's own wallet, account or key is stopped; odd recipients: nobody is paid twice, nothing is given up."""

from pathlib import Path

from solders.account import Account
from solders.pubkey import Pubkey

from payouts.rails import destination
from sandbox.faults import Fault, Rule
from sandbox.solana_node.token_layouts import TOKEN
from tests.logged import logged
from tests.week.checker import outflows, rows_of, usdc_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.test_transfer_ends import freeze
from tests.week.virtual_world import MONDAY, VirtualWorld

MINT_INITIALIZED_OFFSET = 45
"""Where a classic mint says that it is one: nothing can be transferred of a mint that does not."""


def market(folder: Path, **settings: str) -> Market:
    return Market(VirtualWorld(folder, 1, MONDAY, **{"AGENT_TREASURY_POLL_MS": "20000", **settings}))


def set_wallet(shop: Market, *, frozen: bool) -> None:
    """Circle's compliance freezes the platform wallet, or thaws it."""
    shop.world.circle.custody.wallets.get(shop.world.platform.wallet_id).frozen = frozen


def stop_mint(shop: Market, *, stopped: bool) -> None:
    """USDC as a whole stands still. Its classic mint has no pause of its own, so the mint is unmade."""
    node = shop.world.node
    found = node.account(node.usdc_mint)
    assert found is not None
    data = bytearray(found.data)
    data[MINT_INITIALIZED_OFFSET] = 0 if stopped else 1
    node.place_account(node.usdc_mint, Account(found.lamports, bytes(data), found.owner))


@on_virtual_time
async def test_a_platform_wallet_frozen_at_circle_lets_payouts_and_mints_wait_and_go_on_by_themselves(
    tmp_path: Path,
) -> None:
    shop = market(tmp_path)
    await shop.open("ada", "bob")
    await shop.sell()
    await shop.deposited(2 * DUE)
    set_wallet(shop, frozen=True)
    await shop.plan()
    await shop.until_work_says("an operator must act")
    await shop.buy(shop.buyer_token, shop.creators["ada"].content)
    await shop.world.clock.sleep(600)
    assert shop.states() == ["pending_distribution"] * 2
    assert rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'failed'") == []
    assert rows_of(shop.world, "SELECT id FROM jobs WHERE state = 'parked'") == []
    set_wallet(shop, frozen=False)
    await shop.batch_is("settled")

    async def minted() -> bool:
        return len(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'completed'")) == 3

    await shop.world.until("the third sale is minted", minted)
    assert shop.paid() == {"ada": DUE, "bob": DUE}
    assert rows_of(shop.world, "SELECT id FROM transfer_attempts WHERE attempt > 1") == []
    await shop.world.clock.sleep(30)
    await shop.close()


@on_virtual_time
async def test_while_the_platform_wallet_s_usdc_account_is_frozen_nothing_is_ordered(tmp_path: Path) -> None:
    """Circle failed each order, until all attempts of all payouts were used up."""
    shop = market(tmp_path, AGENT_ATTEMPTS_MAX="2")
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    freeze(shop, shop.world.platform.address, frozen=True)
    with logged(destination) as lines:
        await shop.plan()
        await shop.until_work_says("the platform wallet's USDC account is frozen")
        await shop.world.clock.sleep(3_600)
    told = [line for line in lines if line["event"] == "payouts wait for the platform wallet"]
    assert [(line["log_level"], line["account"]) for line in told] == [("error", "frozen")]
    assert rows_of(shop.world, "SELECT id FROM transfer_attempts") == []
    assert shop.states() == ["pending_distribution"]
    freeze(shop, shop.world.platform.address, frozen=False)
    await shop.batch_is("settled")
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(30)
    await shop.close()


@on_virtual_time
async def test_usdc_that_can_not_move_ends_in_proofs_of_death_and_a_retry_pays_each_once(tmp_path: Path) -> None:
    shop = market(tmp_path, AGENT_ATTEMPTS_MAX="2")
    await shop.open("ada")
    (sale,) = await shop.sell()
    await shop.deposited(DUE)
    stop_mint(shop, stopped=True)
    await shop.plan()

    async def failed() -> bool:
        return shop.states() == ["failed"]

    await shop.world.until("the payout is given up", failed, 2_000)
    attempts = rows_of(shop.world, "SELECT state, proof FROM transfer_attempts")
    assert [row["state"] for row in attempts] == ["dead", "dead"]
    assert all(row["proof"] for row in attempts)
    assert outflows(shop.world) == {}
    stop_mint(shop, stopped=False)
    retried = await shop.world.operator("POST", f"/admin/api/retry/distribution/{sale.purchase_id}", {})
    assert retried.status == 202, retried
    await shop.batch_is("settled")
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(30)
    await shop.close()


@on_virtual_time
async def test_a_creator_who_buys_his_own_work_gets_the_nft_and_his_part_at_one_address(tmp_path: Path) -> None:
    shop = market(tmp_path)
    await shop.open("ada")
    ada = shop.creators["ada"]
    await shop.buy(ada.token, ada.content)

    async def owned() -> bool:
        shelf = await shop.library(ada.token)
        return bool(shelf) and shelf[0]["status"] == "owned"

    await shop.world.until("ada owns her own work", owned)
    await shop.deposited(DUE)
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE}
    await shop.world.clock.sleep(30)
    await shop.close()


@on_virtual_time
async def test_two_creators_with_one_address_are_paid_each_for_himself(tmp_path: Path) -> None:
    shop = market(tmp_path)
    await shop.open("ada")
    first = await shop.join_from_before("bob")
    second = await shop.join_from_before("cyd", first.address)
    assert first.address == second.address
    await shop.sell("bob", "cyd")
    await shop.deposited(2 * DUE)
    await shop.plan()
    await shop.batch_is("settled")
    assert usdc_of(shop.world, str(Pubkey.from_string(first.address or ""))) == 2 * DUE
    assert [dict(one) for one in outflows(shop.world).values()] == [{first.address: DUE}] * 2
    assert len(rows_of(shop.world, "SELECT DISTINCT signature FROM payouts")) == 2
    await shop.world.clock.sleep(30)
    await shop.close()


@on_virtual_time
async def test_a_token_account_with_a_plain_key_is_found_out_on_chain_before_it_is_paid(tmp_path: Path) -> None:
    shop = market(tmp_path)
    await shop.open("ada")
    mallory = await shop.join_from_before("mallory")
    assert mallory.address is not None
    account = Account(2_039_280, bytes(165), TOKEN)
    shop.world.node.place_account(Pubkey.from_string(mallory.address), account)
    await shop.sell()
    await shop.deposited(2 * DUE)
    preview = await shop.world.operator("GET", "/admin/api/distribution/preview")
    assert [(one["name"], "not a wallet" in one["reason"]) for one in preview.body["left_out"]] == [("mallory", True)]
    shop.world.node.faults.add(Rule("", Fault.STATUS, times=1_000_000, status=503))
    assert (await shop.world.operator("POST", "/admin/api/batches", {})).status == 503
    shop.world.node.faults.clear()
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid()["ada"] == DUE and len(outflows(shop.world)) == 1
    await shop.world.clock.sleep(30)
    await shop.close()
