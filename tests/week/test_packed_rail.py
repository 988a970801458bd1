"""The `solana` rail: many payouts in one transaction, missing and bad accounts, and receipts from birth to closing."""

import asyncio
import shutil
from datetime import timedelta
from pathlib import Path

import pytest
import structlog
from solders.account import Account
from solders.pubkey import Pubkey
from structlog.testing import capture_logs

from agent.identity import StartRefused
from chain.addresses import ata
from payouts.rails.pack import NOT_WORTH_IT
from sandbox.solana_node import Commitment
from simulator.world import DATABASE
from storage.engines.sqlite import open_writer
from storage.operation import switches
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked, platform_spent
from tests.week.selling import DUE, Market
from tests.week.test_start_gate import leaves
from tests.week.virtual_world import MONDAY, VirtualWorld

AMOUNT_AT, FROZEN_AT = 64, 108
"""Where a token account keeps what it holds and its state; 2 is frozen."""


def packed_market(folder: Path, **settings: str) -> Market:
    return Market(VirtualWorld(folder, 1, MONDAY, AGENT_RAIL="solana", **settings))


def usdc_account(shop: Market, name: str) -> Pubkey:
    return Pubkey.from_string(ata(shop.creators[name].address or "", shop.world.settings.usdc_mint))


def freeze(shop: Market, name: str, frozen: bool = True) -> None:
    """Circle freezes, or releases, a creator's USDC account."""
    address = usdc_account(shop, name)
    account = shop.world.node.account(address, Commitment.PROCESSED)
    assert account is not None
    data = bytearray(account.data)
    data[FROZEN_AT] = 2 if frozen else 1
    shop.world.node.place_account(address, Account(account.lamports, bytes(data), account.owner))


def give(shop: Market, address: str, base_units: int) -> None:
    """A stranger sends USDC to a token account."""
    account = shop.world.node.account(Pubkey.from_string(address), Commitment.PROCESSED)
    assert account is not None
    data = bytearray(account.data)
    data[AMOUNT_AT : AMOUNT_AT + 8] = base_units.to_bytes(8, "little")
    shop.world.node.place_account(Pubkey.from_string(address), Account(account.lamports, bytes(data), account.owner))


def open_accounts(shop: Market) -> None:
    for creator in shop.creators.values():
        shop.world.node.mint_usdc(Pubkey.from_string(creator.address or ""), 0)


@on_virtual_time
async def test_a_batch_is_paid_by_one_transaction_with_a_memo_where_asked_for(tmp_path: Path) -> None:
    shop = packed_market(tmp_path, AGENT_PACKED_FORMAT="v1", AGENT_PACKED_MEMO="true")
    await shop.open("ada", "bob", "cleo")
    await shop.sell("ada", "bob", "cleo", "ada")
    shop.fund(4 * DUE)
    planned = await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": 2 * DUE, "bob": DUE, "cleo": DUE}
    (signature,) = outflows(shop.world)
    (group,) = rows_of(shop.world, "SELECT * FROM payout_groups")
    assert (group["state"], group["format"], group["amount"]) == ("paid", "v1", 4 * DUE)
    landed = shop.world.node.history.get(signature)
    assert planned is not None
    assert landed is not None
    assert landed.memo == f"[21] b-{planned['uuid'][:8]}/g-{group['uuid'][:8]}"
    assert await parked(shop.world) == []
    await shop.close()


@on_virtual_time
async def test_where_the_signer_does_not_take_v1_payouts_are_packed_in_v0(tmp_path: Path) -> None:
    shop = packed_market(tmp_path, AGENT_PACKED_FORMAT="v1")
    shop.world.circle.custody.switches.sign_v1 = False
    await shop.open("ada")
    await shop.sell()
    shop.fund(DUE)
    await shop.plan()
    await shop.batch_is("settled")
    assert [row["format"] for row in rows_of(shop.world, "SELECT format FROM payout_groups")] == ["v0"]
    await shop.close()


@on_virtual_time
async def test_missing_accounts_are_made_once_bad_ones_parked_and_what_rent_would_eat_waits(tmp_path: Path) -> None:
    shop = packed_market(tmp_path)
    await shop.open("ada", "bob", "cleo", "dora")
    await shop.join("eve", price_cents=50)
    open_accounts(shop)
    for name in ("cleo", "eve"):
        shop.world.node.place_account(usdc_account(shop, name), None)
    freeze(shop, "bob")
    await shop.sell()
    shop.fund(10 * DUE)
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE, "bob": 0, "cleo": DUE, "dora": DUE, "eve": 0}
    states = {row["username"]: (row["state"], row["reason"]) for row in rows_of(shop.world, _STATES)}
    assert states["bob"] == ("failed", "the recipient's USDC account is frozen")
    assert states["eve"] == ("pending_distribution", NOT_WORTH_IT)
    assert len(rows_of(shop.world, "SELECT id FROM upkeep WHERE kind = 'accounts' AND state = 'finalized'")) == 1
    # Bob's account is released and his payout retried; cleo closed the account that we had paid for.
    freeze(shop, "bob", frozen=False)
    shop.world.node.place_account(usdc_account(shop, "cleo"), None)
    await shop.sell("cleo")
    (failed,) = rows_of(shop.world, "SELECT purchase_id FROM payouts WHERE state = 'failed'")
    again = await shop.world.operator("POST", f"/admin/api/retry/distribution/{failed['purchase_id']}", {})
    assert again.status == 202, again
    await shop.plan()
    await shop.batch_is("settled", 1)
    await shop.batch_is("settled", 2)
    assert (shop.paid()["bob"], shop.paid()["eve"]) == (DUE, 0)
    reasons = [row["reason"] or "" for row in rows_of(shop.world, "SELECT reason FROM payouts WHERE state = 'failed'")]
    assert ["closed the USDC account" in reason for reason in reasons] == [True]
    await shop.close()


@on_virtual_time
async def test_two_batches_that_lack_the_same_account_at_once_make_it_one_after_the_other(tmp_path: Path) -> None:
    shop = packed_market(tmp_path, AGENT_APPROVERS="2")
    await shop.open("ada")
    shop.fund(2 * DUE)
    first, second = [await approver(shop, name) for name in ("first", "second")]
    for _ in range(2):
        await shop.sell()
        await shop.world.call("POST", "/admin/api/batches", {}, first, admin=True)
    with capture_logs() as told:
        for batch in rows_of(shop.world, "SELECT id, digest FROM batches"):
            path, digest = f"/admin/api/batches/{batch['id']}/approve", {"digest": batch["digest"]}
            await shop.world.call("POST", path, digest, second, admin=True)
        await shop.batch_is("settled", 1)
        await shop.batch_is("settled", 2)
    assert [line for line in told if line["event"] == "step failed"] == []
    assert shop.paid() == {"ada": 2 * DUE}
    await shop.close()


async def approver(shop: Market, name: str) -> str:
    made = await shop.world.operator("POST", "/admin/api/tokens", {"name": name, "role": "approver"})
    return str(made.body["secret"])


_STATES = "SELECT u.username, p.state, p.reason FROM payouts p JOIN users u ON u.id = p.recipient_id"


@on_virtual_time
async def test_a_group_that_lands_with_an_error_is_halved_until_the_one_to_blame_is_found(tmp_path: Path) -> None:
    shop = packed_market(tmp_path)
    await shop.open("ada", "bob", "cleo", "dora")
    open_accounts(shop)
    await shop.sell()
    shop.fund(4 * DUE)
    shop.world.node.switches.land_after_slots = 20
    await shop.plan()

    async def sent() -> bool:
        return bool(rows_of(shop.world, "SELECT id FROM group_attempts WHERE state = 'sent'"))

    await shop.world.until("the group was sent", sent)
    freeze(shop, "cleo")
    shop.world.node.switches.land_after_slots = 0
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE, "bob": DUE, "cleo": 0, "dora": DUE}
    first = rows_of(shop.world, "SELECT * FROM group_attempts ORDER BY id")[0]
    assert first["state"] == "dead"
    assert "landed with an error" in first["proof"]
    states = [row["state"] for row in rows_of(shop.world, "SELECT state FROM payout_groups ORDER BY id")]
    assert states[0] == "dissolved"
    assert states.count("paid") == 2
    assert "frozen" in rows_of(shop.world, "SELECT reason FROM payouts WHERE state = 'failed'")[0]["reason"]
    await shop.close()


@on_virtual_time
async def test_a_hold_before_the_signature_takes_one_payout_out_and_the_others_are_paid(tmp_path: Path) -> None:
    shop = packed_market(tmp_path)
    await shop.open("ada", "bob")
    open_accounts(shop)
    ada, _ = await shop.sell()
    await shop.deposited(2 * DUE)
    await shop.world.operator("POST", "/admin/api/sends/pause", {"reason": "look first"})
    await shop.plan()
    await shop.until_work_says("all sends are paused")
    shop.world.stripe.controls.open_dispute(ada.payment)

    async def held() -> bool:
        return "on_hold" in shop.states()

    await shop.world.until("it is held", held)
    await shop.world.operator("POST", "/admin/api/sends/resume", {})
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": 0, "bob": DUE}
    assert sorted(row["state"] for row in rows_of(shop.world, "SELECT state FROM payout_groups")) == [
        "dissolved",
        "paid",
    ]
    await shop.close()


@on_virtual_time
async def test_receipts_are_closed_only_after_a_backup_and_their_age_and_an_older_database_is_refused_then(
    tmp_path: Path,
) -> None:
    shop = packed_market(tmp_path, AGENT_RECEIPT_DAYS="2")
    world = shop.world
    await shop.open("ada")
    open_accounts(shop)
    await shop.sell()
    await shop.deposited(DUE)
    await world.stop()
    shutil.copy(tmp_path / "agent.db", tmp_path / "older.db")
    await world.start()
    await shop.plan()
    await shop.batch_is("settled")

    async def receipt() -> str:
        return str(rows_of(world, "SELECT state FROM receipts")[0]["state"])

    world.clock.shift(timedelta(days=3))
    await world.clock.sleep(330)
    assert await receipt() == "present", "no backup knows the payment"
    taken = {"external": "elsewhere", "started_at": world.clock.now().isoformat()}
    assert (await world.operator("POST", "/admin/api/backups", taken)).status == 200
    spent = platform_spent(world)
    world.clock.shift(timedelta(hours=7))
    await world.clock.sleep(330)
    assert await receipt() == "closed"
    assert spent - platform_spent(world) > 1_000_000, "the rent came back"
    await world.verify()
    await world.stop()
    for name in ("agent.db-wal", "agent.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "older.db", tmp_path / "agent.db")
    with pytest.raises((StartRefused, BaseExceptionGroup)) as refused:
        await world.start()
        await world.clock.sleep(60)
        world.check_alive()
    assert "older than the receipt" in str(leaves(refused.value))
    await world.abandon()


@on_virtual_time
async def test_a_receipt_that_a_stranger_sent_usdc_to_keeps_no_other_one_from_being_closed(tmp_path: Path) -> None:
    """A token account that holds anything can't be closed: one base unit kept the rents of all receipts for ever."""
    shop = packed_market(tmp_path, AGENT_RECEIPT_DAYS="2")
    world = shop.world
    await shop.open("ada")
    open_accounts(shop)
    for batch_id in (1, 2):
        await shop.sell()
        await shop.deposited(DUE)
        await shop.plan()
        await shop.batch_is("settled", batch_id)
    first, second = (row["address"] for row in rows_of(world, "SELECT address FROM receipts ORDER BY id"))
    give(shop, first, 1)
    world.clock.shift(timedelta(days=3))
    taken = {"external": "elsewhere", "started_at": world.clock.now().isoformat()}
    assert (await world.operator("POST", "/admin/api/backups", taken)).status == 200
    for _ in range(3):
        world.clock.shift(timedelta(hours=7))
        await world.clock.sleep(330)
    states = {row["address"]: row["state"] for row in rows_of(world, "SELECT address, state FROM receipts")}
    assert states == {first: "present", second: "closed"}
    assert [row["state"] for row in rows_of(world, "SELECT state FROM upkeep")] == ["finalized"]
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_sends_that_are_paused_between_the_look_at_a_group_and_its_intent_wait(tmp_path: Path) -> None:
    shop = packed_market(tmp_path)
    await shop.open("ada")
    await shop.sell()
    open_accounts(shop)
    await shop.deposited(DUE)
    life = shop.world.process.life
    stopped = asyncio.create_task(life.stand_still_at("before commit", _signs))
    planned = asyncio.create_task(shop.plan())
    await stopped
    engine = open_writer(shop.world.folder / DATABASE, synchronous="OFF")
    with engine.begin() as conn:
        switches.turn(conn, switches.SENDS_PAUSED, True, "something is wrong", "ada", shop.world.clock.now())
    engine.dispose()
    life.go_on()
    await planned
    await shop.world.clock.sleep(300)
    assert rows_of(shop.world, "SELECT id FROM group_attempts") == []
    await shop.world.operator("POST", "/admin/api/sends/resume")
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": DUE}
    await shop.close()


def _signs() -> bool:
    return str(structlog.contextvars.get_contextvars().get("job", "")).startswith("packed_sign:")
