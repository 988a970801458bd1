"""Minting under every fault of Circle, of the nodes and of the chain: exactly one NFT, or a reason to read."""

import asyncio
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog
from sqlalchemy import select

from domain.states import RefundState
from sandbox.faults import Fault, Rule
from simulator.world import DATABASE
from storage.engines.sqlite import open_writer
from storage.sales.returns import RefundSeen, record_refund
from storage.tables import mint_attempts
from tests.week.checker import rows_of
from tests.week.people import (
    eventually,
    gallery,
    on_virtual_time,
    open_session,
    parked,
    platform_spent,
    purchase_becomes,
    shelf_says,
)
from tests.week.test_peer_defects import nfts
from tests.week.test_refunds import DUE, Gallery
from tests.week.virtual_world import START_LAMPORTS, VirtualWorld

EXPIRY_SLOTS = 250
"""More than a blockhash's life of 150 blocks and the 32 slots to finality."""


async def is_minted(shop: Gallery, attempts: list[str], purchase_id: int = 1) -> dict[str, Any]:
    """Wait until the purchase is completed; its attempts ended so, and the chain has one NFT."""
    shown = await purchase_becomes(shop, purchase_id, status="completed", nft_minted=True)
    await shop.world.clock.sleep(60)
    assert [one["state"] for one in shown["mints"]] == attempts
    assert len({one["mint_address"] for one in shown["mints"]}) == 1
    assert nfts(shop.world) == 1
    assert await parked(shop.world) == []
    return shown


def stop_sends(world: VirtualWorld, stopped: bool) -> None:
    """Both providers take transactions and forget them."""
    for endpoint in world.node.endpoints.values():
        endpoint.drops_sends = stopped


async def signature_of_attempt(world: VirtualWorld) -> str:
    """Wait for the signature of the live attempt."""
    found: list[str] = []
    assert world.daemon is not None
    store = world.daemon.ports.store

    async def signed() -> bool:
        query = select(mint_attempts.c.signature).where(mint_attempts.c.state == "sent")
        found[:] = [one for one in await store.read(lambda conn: list(conn.scalars(query))) if one]
        return bool(found)

    await world.until("a transaction was sent", signed)
    return found[0]


CIRCLE_FAULTS = [
    Rule("sign/transaction", Fault.LOSE_ANSWER, times=2),
    Rule("sign/transaction", Fault.LOSE_REQUEST, times=2),
    Rule("sign/transaction", Fault.HTML, times=2),
    Rule("sign/transaction", Fault.CUT_BODY, times=2),
    Rule("sign/transaction", Fault.STATUS, times=2, status=500),
    Rule("sign/transaction", Fault.STATUS, times=3, status=429),
    Rule("sign/transaction", Fault.LATE, times=1, delay_ms=45_000),
]


@pytest.mark.parametrize("fault", CIRCLE_FAULTS, ids=lambda rule: f"{rule.fault}{rule.status}")
@on_virtual_time
async def test_whatever_becomes_of_circles_signature_there_is_one_attempt_and_one_nft(
    fault: Rule, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    shop.world.circle.faults.add(replace(fault))
    await shop.pay()
    await is_minted(shop, ["finalized"])
    assert shop.world.circle.faults.injected == fault.times
    await shop.close()


METHODS = ("sendTransaction", "getSignatureStatuses", "getTransaction", "getLatestBlockhash", "getBlockHeight")


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", [Fault.LOSE_ANSWER, Fault.STATUS, Fault.CUT_BODY])
@on_virtual_time
async def test_answers_of_the_nodes_that_are_lost_or_broken_change_nothing(
    method: str, kind: Fault, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    shop.world.node.faults.add(Rule(method, kind, times=4, status=503))
    await shop.pay()
    await is_minted(shop, ["finalized"])
    await shop.close()


@on_virtual_time
async def test_transactions_lost_on_the_way_to_the_leader_are_sent_again_with_the_same_signature(
    tmp_path: Path,
) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    shop.world.node.switches.drop_sends = 5
    await shop.pay()
    await is_minted(shop, ["finalized"])
    await shop.close()


@on_virtual_time
async def test_a_transaction_that_lands_twenty_seconds_late_is_not_signed_anew(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    shop.world.node.switches.land_after_slots = 100
    await shop.pay()
    await is_minted(shop, ["finalized"])
    await shop.close()


@pytest.mark.parametrize("depth", [3, 20, 31])
@pytest.mark.parametrize("reland", [None, 5], ids=["gone", "carried_over"])
@on_virtual_time
async def test_a_fork_before_finality_takes_the_nft_back_and_the_same_bytes_bring_it_again(
    depth: int, reland: int | None, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    await world.clock.sleep(30)
    token, _ = await shop.pay()
    await signature_of_attempt(world)
    await eventually(world, "it is in a block", lambda: _landed(world))
    await world.clock.sleep(0.4)
    world.node.fork(depth, reland_after_slots=reland)
    assert (await shop.library(token))[0]["status"] == "minting"
    shown = await purchase_becomes(shop, 1, status="completed")
    await shelf_says(shop, token, "owned")
    assert nfts(world) == 1
    assert [one["state"] for one in shown["mints"]][-1] == "finalized"
    await shop.close()


async def _landed(world: VirtualWorld) -> bool:
    return nfts(world) == 1


@on_virtual_time
async def test_a_signature_that_is_proven_expired_gets_a_successor_and_the_proof_is_kept(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    stop_sends(world, True)
    await shop.pay()
    await signature_of_attempt(world)
    world.node.skip_slots(EXPIRY_SLOTS)
    await eventually(world, "the first is dead", lambda: _states(shop, "dead"))
    stop_sends(world, False)
    shown = await is_minted(shop, ["dead", "finalized"])
    proof = shown["mints"][0]["proof"]
    assert "finalized_block_height" in proof
    assert shown["mints"][0]["signature"] in proof
    await shop.close()


async def _states(shop: Gallery, first: str) -> bool:
    shown = await shop.world.operator("GET", "/admin/api/purchases/1")
    mints = shown.body["mints"]
    return bool(mints) and mints[0]["state"] == first


@on_virtual_time
async def test_a_mint_that_both_nodes_deny_is_found_by_its_address_and_not_made_again(tmp_path: Path) -> None:
    """Both lie about the signature, so that it counts as expired: the mint's own address tells the truth."""
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    stop_sends(world, True)
    await shop.pay()
    signature = await signature_of_attempt(world)
    for endpoint in world.node.endpoints.values():
        endpoint.hides.add(signature)
    stop_sends(world, False)
    await eventually(world, "it landed unseen", lambda: _landed(world))
    world.node.skip_slots(EXPIRY_SLOTS)
    await world.clock.sleep(30)
    shown = await purchase_becomes(shop, 1, status="minting")
    assert [one["state"] for one in shown["mints"]] == ["sent"]
    for endpoint in world.node.endpoints.values():
        endpoint.hides.clear()
    await is_minted(shop, ["finalized"])
    await shop.close()


@on_virtual_time
async def test_a_node_that_calls_a_mint_final_which_no_other_knows_completes_nothing(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    stop_sends(world, True)
    final = {"slot": 7, "confirmations": None, "err": None, "confirmationStatus": "finalized"}
    world.node.endpoints["/"].lies["getSignatureStatuses"] = lambda params: {
        "context": {"slot": 2**31},
        "value": [final] * len(params[0]),
    }
    await shop.pay()
    await signature_of_attempt(world)
    await world.clock.sleep(600)
    shown = await purchase_becomes(shop, 1, status="minting")
    assert [one["state"] for one in shown["mints"]] == ["sent"]
    ready = await world.call("GET", "/readyz", admin=True)
    assert ready.body["why"] == ["1 transactions are final by the word of one RPC endpoint alone"]
    world.node.endpoints["/"].lies.clear()
    stop_sends(world, False)
    await is_minted(shop, ["dead", "finalized"])
    await shop.close()


@on_virtual_time
async def test_one_node_that_lags_far_behind_proves_nothing(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    shop.world.node.endpoints["/rpc2"].lag_slots = 120
    shop.world.node.endpoints["/rpc2"].keeps_history = False
    await shop.pay()
    await is_minted(shop, ["finalized"])
    await shop.close()


@pytest.mark.parametrize("moment", ["paid", "minting"])
@on_virtual_time
async def test_a_restored_database_adopts_the_nft_that_was_minted_after_the_backup(moment: str, tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    stop_sends(world, True)
    token, session_id = await open_session(shop, "bob")
    if moment == "paid":
        await world.stop()
        shutil.copy(tmp_path / "agent.db", tmp_path / "backup.db")
        await world.start()
    world.stripe.controls.pay(session_id)
    if moment == "minting":
        await signature_of_attempt(world)
        await world.stop()
        shutil.copy(tmp_path / "agent.db", tmp_path / "backup.db")
        await world.start()
    stop_sends(world, False)
    mine = await shelf_says(shop, token, "owned")
    await world.stop()
    for name in ("agent.db-wal", "agent.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    shutil.copy(tmp_path / "backup.db", tmp_path / "agent.db")
    await world.start()
    shown = await purchase_becomes(shop, 1, status="completed", nft_mint_address=mine["nft_mint_address"])
    assert nfts(world) == 1
    assert shown["purchase"]["network_cost_lamports"] == platform_spent(world)
    await shop.close()


@on_virtual_time
async def test_a_mint_whose_outcome_nobody_can_tell_is_never_called_failed(tmp_path: Path) -> None:
    shop = gallery(tmp_path, AGENT_ATTEMPTS_MAX="1", AGENT_RETRIES_MAX="2")
    world = shop.world
    await shop.open()
    await world.clock.sleep(30)
    for method in ("getSignatureStatuses", "getTransaction", "getBlockHeight"):
        world.node.faults.add(Rule(method, Fault.STATUS, times=1_000_000, status=503))
    await shop.pay()
    await signature_of_attempt(world)
    world.node.skip_slots(EXPIRY_SLOTS)
    await world.clock.sleep(120)
    shown = await purchase_becomes(shop, 1, status="minting")
    assert [one["state"] for one in shown["mints"]] == ["sent"]
    world.node.faults.clear()
    await is_minted(shop, ["finalized"])
    await shop.close()


@on_virtual_time
async def test_a_circle_that_refuses_to_sign_fails_the_mint_with_circles_words_and_a_retry_heals_it(
    tmp_path: Path,
) -> None:
    shop = gallery(tmp_path, AGENT_RETRIES_MAX="3")
    world = shop.world
    await shop.open()
    world.circle.faults.add(Rule("sign/transaction", Fault.STATUS, times=1_000, status=500))
    await shop.pay()
    shown = await purchase_becomes(shop, 1, status="failed")
    assert shown["purchase"]["status_reason"]
    assert await parked(world) == [("mint", "attempts_used_up")]
    world.circle.faults.clear()
    await world.operator("POST", "/admin/api/retry/mint/1")
    await is_minted(shop, ["finalized"])
    await shop.close()


@on_virtual_time
async def test_what_a_sale_cost_the_platform_on_chain_is_told_to_the_lamport(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    for _ in range(3):
        await shop.sell()
    shown = [(await world.operator("GET", f"/admin/api/purchases/{n}")).body["purchase"] for n in (1, 2, 3)]
    assert sum(one["network_cost_lamports"] for one in shown) == platform_spent(world)
    assert {one["mint_cost"] for one in shown} == {"0.00"}
    await shop.pay_out(3 * DUE)
    await eventually(world, "the books hold what the chain holds", lambda: _booked(world))
    await shop.close()


async def _booked(world: VirtualWorld) -> bool:
    """The ledger's treasury against the node's finalized account."""
    page = (await world.operator("GET", "/admin/api/ledger")).body
    held = {row["asset"]: row["amount"] for row in page["balances"] if row["account"] == "treasury"}
    on_chain = {"lamports": START_LAMPORTS - platform_spent(world), "usdc_base_units": 0}
    return bool(page["imbalance"] == 0 and held == on_chain)


@on_virtual_time
async def test_a_sale_that_is_refunded_between_the_look_at_its_mint_and_the_intent_is_not_minted(
    tmp_path: Path,
) -> None:
    """It has given its only edition back."""
    shop = gallery(tmp_path)
    await shop.open(editions=1)
    life = shop.world.process.life
    stopped = asyncio.create_task(life.stand_still_at("before commit", _is_of_a_mint))
    paying = asyncio.create_task(shop.pay())
    await stopped
    engine = open_writer(shop.world.folder / DATABASE, synchronous="OFF")
    with engine.begin() as conn:
        refunded = RefundSeen("re_meanwhile", 300, RefundState.SUCCEEDED, None)
        record_refund(conn, 1, refunded, shop.world.clock.now())
    engine.dispose()
    life.go_on()
    token, _ = await paying
    await shop.world.clock.sleep(60)
    assert [one["status"] for one in await shop.library(token)] == ["refunded"]
    assert rows_of(shop.world, "SELECT id FROM mint_attempts") == []
    assert [row["editions_taken"] for row in rows_of(shop.world, "SELECT editions_taken FROM contents")] == [0]
    await shop.close()


def _is_of_a_mint() -> bool:
    return str(structlog.contextvars.get_contextvars().get("job", "")).startswith("mint:")


@on_virtual_time
async def test_a_sale_that_is_refunded_in_full_while_nothing_can_be_signed_is_not_minted_when_it_can(
    tmp_path: Path,
) -> None:
    """Its intent was taken for a mint in flight: the buyer had his money back, and got the NFT hours later."""
    shop = gallery(tmp_path)
    await shop.open()
    world = shop.world
    world.circle.faults.add(Rule("sign/transaction", Fault.STATUS, times=1_000, status=500))
    await shop.pay()

    async def is_intended() -> bool:
        return [row["state"] for row in rows_of(world, "SELECT state FROM mint_attempts")] == ["intended"]

    await world.until("a mint is about to be signed", is_intended)
    (sale,) = rows_of(world, "SELECT id, stripe_payment_intent_id pi FROM purchases")
    world.stripe.controls.refund(sale["pi"])
    await world.clock.sleep(120)
    world.circle.faults.clear()

    async def is_refunded() -> bool:
        return bool(rows_of(world, "SELECT status FROM purchases")[0]["status"] == "refunded")

    await world.until("it is refunded", is_refunded, 3_600)
    (found,) = rows_of(world, "SELECT minted_at, edition_held FROM purchases")
    assert (found["minted_at"], found["edition_held"]) == (None, 0)
    assert [row["state"] for row in rows_of(world, "SELECT state FROM mint_attempts")] == ["dead"]
    assert await parked(world) == []
    await shop.close()
