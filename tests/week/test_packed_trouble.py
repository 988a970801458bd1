"""The `solana` rail while what it needs is missing or in the way: a long trace, SOL, fees, the wallet, USDC.

Nothing is sent in part: it waits and goes on by itself, or is given up before anything was signed.
"""

from pathlib import Path

import pytest
from solders.account import Account
from solders.pubkey import Pubkey

from sandbox.faults import Fault, Rule
from sandbox.solana_node import Commitment
from sandbox.solana_node.accounts import SYSTEM_PROGRAM
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.test_packed_rail import open_accounts, packed_market
from tests.week.test_stopped_platform import set_wallet, stop_mint
from tests.week.test_transfer_ends import TREASURY_SEEN, freeze

A_WHILE = 180
"""Seconds in which whatever waits looks again a few times."""
SLOW_TREASURY = {"AGENT_TREASURY_POLL_MS": "20000"}
"""These stories take long on the chain's clock."""
LAMPORTS_PER_BYTE = 6_960
"""The sandbox's rent, also of the 128 bytes that every account has beside its data."""
CLUSTERS_TRACE = 64
SHORT_TRACE = 12
"""Instructions that two missing accounts need, and three exceed: each takes five or six."""
TOO_LITTLE = 1_000_000
"""Lamports: less than a receipt's rent."""
OF_THE_LAST_GROUP = "FROM group_attempts WHERE group_id = (SELECT MAX(id) FROM payout_groups)"


def set_lamports(shop: Market, lamports: int) -> int:
    """What the platform wallet has for rents and fees, by decree; returns what it had."""
    platform = Pubkey.from_string(shop.world.platform.address)
    had = shop.world.node.account(platform, Commitment.PROCESSED)
    assert had is not None
    shop.world.node.place_account(platform, Account(lamports, b"", SYSTEM_PROGRAM))
    return had.lamports


async def opened(folder: Path, *names: str, **settings: str) -> Market:
    """A sale of each creator, whose token accounts exist, and the money for many."""
    shop = packed_market(folder, **SLOW_TREASURY, **settings)
    await shop.open(*names)
    open_accounts(shop)
    await shop.sell()
    await shop.deposited(20 * DUE)
    return shop


@pytest.mark.parametrize("moment", ["before it is signed", pytest.param("after it was sent", marks=pytest.mark.soak)])
@on_virtual_time
async def test_a_wave_of_accounts_whose_trace_is_too_long_is_halved_until_it_fits(tmp_path: Path, moment: str) -> None:
    shop = packed_market(tmp_path, **SLOW_TREASURY)
    node = shop.world.node
    await shop.open("ada", "bob", "cleo")
    await shop.sell()
    await shop.deposited(3 * DUE)
    if moment == "after it was sent":
        node.switches.land_after_slots = 20

        async def sent() -> bool:
            return bool(rows_of(shop.world, "SELECT id FROM upkeep WHERE state = 'sent'"))

        await shop.plan()
        await shop.world.until("the wave was sent", sent)
        node.set_trace_limit(SHORT_TRACE)
        node.switches.land_after_slots = 0
    else:
        node.set_trace_limit(SHORT_TRACE)
        await shop.plan()
    await shop.batch_is("settled")
    waves = rows_of(shop.world, "SELECT state, proof FROM upkeep WHERE kind = 'accounts' ORDER BY id")
    assert [row["state"] for row in waves] == ["dead", "finalized", "finalized"]
    assert "MaxInstructionTraceLengthExceeded" in waves[0]["proof"]
    assert ("landed with an error" in waves[0]["proof"]) == (moment == "after it was sent")
    assert shop.paid() == dict.fromkeys(("ada", "bob", "cleo"), DUE)
    assert await parked(shop.world) == []
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@pytest.mark.parametrize("who", ["a person", "the next batch"])
@on_virtual_time
async def test_an_account_that_could_not_be_made_is_tried_anew_when_asked_for_again(who: str, tmp_path: Path) -> None:
    """`tests.proof weeks`, seed 1046: after one bad hour nobody without an account was paid ever again. (What no block
    takes is tried for days since; here the making itself fails.)"""
    shop = packed_market(tmp_path, **SLOW_TREASURY, AGENT_ATTEMPTS_MAX="1")
    await shop.open("ada")
    (sale,) = await shop.sell()
    await shop.deposited(2 * DUE)
    shop.world.node.set_trace_limit(1)
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.states() == ["failed"]
    shop.world.node.set_trace_limit(CLUSTERS_TRACE)
    if who == "a person":
        await shop.world.operator("POST", f"/admin/api/retry/distribution/{sale.purchase_id}")
    else:
        await shop.sell()
        await shop.plan()

    async def paid() -> bool:
        return shop.paid() == {"ada": DUE}

    await shop.world.until("she is paid", paid, 600)
    assert shop.states() == (["distributed"] if who == "a person" else ["failed", "distributed"])
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_without_sol_for_rents_and_fees_nothing_is_signed_and_all_goes_on_when_it_comes(tmp_path: Path) -> None:
    shop = await opened(tmp_path, "ada", "bob")
    had = set_lamports(shop, TOO_LITTLE)
    await shop.plan()
    await shop.until_work_says("rents and fees need")
    await shop.world.clock.sleep(A_WHILE)
    assert shop.states() == ["pending_distribution"] * 2
    assert rows_of(shop.world, "SELECT id FROM payout_groups") == []
    set_lamports(shop, had)
    await shop.batch_is("settled")
    # Now it runs out between the packing and the signature.
    await shop.sell()
    await shop.world.operator("POST", "/admin/api/sends/pause", {"reason": "look first"})
    await shop.plan()
    await shop.until_work_says("all sends are paused")
    had = set_lamports(shop, TOO_LITTLE)
    await shop.world.operator("POST", "/admin/api/sends/resume", {})
    await shop.until_work_says("send SOL")
    await shop.world.clock.sleep(A_WHILE)
    assert rows_of(shop.world, f"SELECT id {OF_THE_LAST_GROUP}") == []
    assert (len(outflows(shop.world)), await parked(shop.world)) == (1, [])
    set_lamports(shop, had)
    await shop.batch_is("settled", 2)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": 2 * DUE, "bob": 2 * DUE}, 2)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_priority_fee_follows_demand_up_to_its_setting_and_above_the_ceiling_nothing_is_signed(
    tmp_path: Path,
) -> None:
    shop = await opened(
        tmp_path,
        "ada",
        "bob",
        AGENT_PRIORITY_FEE_LAMPORTS="3000",
        AGENT_RETRIES_MAX="2",
    )
    node = shop.world.node
    fees = []
    for number, demand in enumerate((0, 20_000, 10**9), start=1):
        node.prioritization_fee = demand
        if number > 1:
            await shop.sell()
        await shop.plan()
        await shop.batch_is("settled", number)
        fees += [row["fee_lamports"] for row in rows_of(shop.world, f"SELECT fee_lamports {OF_THE_LAST_GROUP}")]
    nothing_asked, some, too_much = fees
    assert nothing_asked == 5_000 < some < too_much <= 8_000
    await shop.world.stop()
    ceiling = {"agent_packed_fee_ceiling_lamports": TOO_LITTLE}
    shop.world.settings = shop.world.settings.model_copy(update=ceiling)
    await shop.world.start()
    await shop.sell()
    await shop.plan()

    async def given_up() -> bool:
        return shop.states().count("failed") == 2

    await shop.world.until("the group above the ceiling is given up", given_up)
    reasons = {row["reason"] for row in rows_of(shop.world, "SELECT reason FROM payouts WHERE state = 'failed'")}
    assert [reason for reason in reasons if f"the ceiling is {TOO_LITTLE}" not in reason] == []
    assert [row["signature"] for row in rows_of(shop.world, f"SELECT signature {OF_THE_LAST_GROUP}")] == [None]
    assert len(outflows(shop.world)) == 3
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_rent_that_rises_under_a_batch_is_read_again_and_everybody_is_paid(tmp_path: Path) -> None:
    shop = await opened(tmp_path, "ada", "bob")
    await shop.plan()
    await shop.batch_is("settled")
    await shop.sell()
    await shop.deposited(2 * DUE)
    shop.world.node.set_rent(2 * LAMPORTS_PER_BYTE)
    await shop.plan()
    await shop.batch_is("settled", 2)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": 2 * DUE, "bob": 2 * DUE}, 2)
    assert await parked(shop.world) == []
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@pytest.mark.parametrize(
    "what", ["account", *(pytest.param(one, marks=pytest.mark.soak) for one in ("wallet", "mint"))]
)
@on_virtual_time
async def test_while_the_wallet_its_account_or_usdc_stands_still_nothing_is_signed_and_then_it_goes_on(
    tmp_path: Path, what: str
) -> None:
    shop = await opened(tmp_path, "ada", "bob")

    def stop(*, stopped: bool) -> None:
        if what == "wallet":
            set_wallet(shop, frozen=stopped)
        elif what == "account":
            freeze(shop, shop.world.platform.address, frozen=stopped)
        else:
            stop_mint(shop, stopped=stopped)

    stop(stopped=True)
    await shop.plan()
    said = {"wallet": "an operator must act", "account": "is frozen", "mint": "the simulation fails"}
    await shop.until_work_says(said[what])
    await shop.world.clock.sleep(A_WHILE)
    assert shop.states() == ["pending_distribution"] * 2
    assert rows_of(shop.world, f"SELECT id {OF_THE_LAST_GROUP} AND signature IS NOT NULL") == []
    assert (outflows(shop.world), await parked(shop.world)) == ({}, [])
    stop(stopped=False)
    await shop.batch_is("settled")
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE, "bob": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@pytest.mark.parametrize(("what", "paid"), [("held", 0), ("refunded", DUE // 2), ("in debt", 0)])
@on_virtual_time
async def test_what_is_held_comes_back_or_is_owed_while_nothing_can_be_signed_is_not_paid_when_it_can(
    what: str, paid: int, tmp_path: Path
) -> None:
    """The intent was committed before Circle went away: it was taken for money on its way, and paid hours later."""
    shop = packed_market(tmp_path)
    await shop.open("ada", "bob")
    open_accounts(shop)
    await shop.deposited(20 * DUE)
    if what == "in debt":
        (earlier,) = await shop.sell("ada")
        await shop.plan()
        await shop.batch_is("settled")
    sale, _ = await shop.sell("ada", "bob")
    had = shop.paid()["ada"]
    shop.world.circle.faults.add(Rule("sign/transaction", Fault.STATUS, times=1_000, status=500))
    planned = await shop.plan()
    assert planned is not None

    async def is_intended() -> bool:
        return [row["state"] for row in rows_of(shop.world, f"SELECT state {OF_THE_LAST_GROUP}")] == ["intended"]

    await shop.world.until("a group is about to be signed", is_intended)
    if what == "held":
        held = f"/admin/api/purchases/{sale.purchase_id}/hold"
        assert (await shop.world.operator("POST", held, {"reason": "looks like fraud"})).status == 200
    elif what == "refunded":
        shop.world.stripe.controls.refund(sale.payment, 150)
    else:
        shop.world.stripe.controls.refund(earlier.payment, None)
    await shop.world.clock.sleep(A_WHILE)
    shop.world.circle.faults.clear()
    await shop.batch_is("settled", planned["id"], seconds=3_600)
    assert shop.paid() == {"ada": had + paid, "bob": DUE}
    assert (await shop.dashboard("ada"))["debt"] == "0.00"
    assert await parked(shop.world) == []
    await shop.close()
