"""Transfers of the `circle` rail that do not end well: a new attempt only with a proof, else a person."""

import asyncio
import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import structlog
from solders.account import Account
from solders.pubkey import Pubkey
from sqlalchemy import Connection

from chain.addresses import ata
from domain.keys import transfer_key
from domain.money import format_usdc_exact
from domain.states import RefundState
from payouts.rails.circle_transfer import FEE_LEVEL
from sandbox.circle_service.idempotency import Replays
from sandbox.circle_service.transactions import State, Transaction
from sandbox.faults import Fault, Rule
from simulator.world import DATABASE
from storage.engines.sqlite import open_writer
from storage.payouts.transfers import intend, load
from storage.sales.returns import RefundSeen, record_refund
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import MONDAY, VirtualWorld

TRANSFER = "developer/transactions/transfer"
FROZEN = 2
STATE_OFFSET = 108
"""Where a token account's state stands: 1 initialized, 2 frozen."""
TREASURY_SEEN = 30.0
"""Seconds until the treasury's follower has booked all that landed."""
LOOKED_AT_AGAIN = 600.0
"""Seconds until an unknown outcome is looked at again."""
LONG_AFTER = timedelta(hours=13)
"""Past the half day for which a key is trusted."""


async def market(folder: Path) -> Market:
    """One creator with one sale that is minted, priced and covered. The treasury is looked at every 20 s: some of these
    stories take long."""
    shop = Market(VirtualWorld(folder, AGENT_TREASURY_POLL_MS="20000"))
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    return shop


def orders(shop: Market) -> list[Transaction]:
    """The outbound transfers that Circle knows, oldest first."""
    return [one for one in shop.world.circle.custody.transactions.all() if one.ref_id]


def attempts(shop: Market) -> list[dict[str, Any]]:
    rows = rows_of(shop.world, "SELECT * FROM transfer_attempts ORDER BY attempt")
    return [{**dict(row), "proof": json.loads(row["proof"] or "{}")} for row in rows]


async def ordered(shop: Market, state: State) -> Transaction:
    """Plan, and wait until Circle has the newest order in this state, however short."""
    before, clock = len(orders(shop)), shop.world.clock
    await shop.plan()
    end = clock.monotonic() + 60
    while not (found := orders(shop)[before:]) or found[-1].state is not state:
        assert clock.monotonic() < end, f"Circle has no order that is {state}"
        await clock.sleep(0.01)
    return found[-1]


def freeze(shop: Market, owner: str, *, frozen: bool) -> None:
    """Circle, USDC's issuer, freezes a token account or thaws it."""
    rewrite(shop, owner, STATE_OFFSET, bytes([FROZEN if frozen else 1]))


def rewrite(shop: Market, owner: str, offset: int, written: bytes) -> None:
    """Change bytes of the owner's USDC account."""
    node = shop.world.node
    address = Pubkey.from_string(ata(owner, str(node.usdc_mint)))
    found = node.account(address)
    assert found is not None
    data = bytearray(found.data)
    data[offset : offset + len(written)] = written
    node.place_account(address, Account(found.lamports, bytes(data), found.owner))


@on_virtual_time
async def test_a_transfer_that_stays_sent_is_looked_at_once_a_minute_at_last(tmp_path: Path) -> None:
    """`simulate --operators --faults late_landing --purchases 6`: six of them were looked at 6,000 times."""
    shop = await market(tmp_path)
    shop.world.node.switches.land_after_slots = 400
    order = await ordered(shop, State.SENT)
    before = len(shop.world.transport.sent)
    await shop.world.clock.sleep(600)
    looks = [one for one in shop.world.transport.sent[before:] if one.url.endswith(f"/transactions/{order.id}")]
    assert 10 <= len(looks) < 30
    shop.world.node.switches.land_after_slots = 0
    shop.world.circle.custody.transactions.fail(order, "FAILED_ON_CHAIN", "never landed")
    await shop.batch_is("settled", seconds=3_600)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_failed_without_a_signature_is_paid_anew_only_when_two_nodes_deny_an_outflow(tmp_path: Path) -> None:
    shop = await market(tmp_path)
    order = await ordered(shop, State.CLEARED)
    shop.world.circle.custody.transactions.fail(order, "INTERNAL_ERROR", "lost it")
    shop.world.node.faults.add(Rule("/rpc2", Fault.STATUS, times=1_000_000, status=503))
    await shop.until_work_says("fewer than 2 RPC endpoints answered")
    await shop.world.clock.sleep(120)
    assert [one["state"] for one in attempts(shop)] == ["submitted"]
    assert shop.states() == ["pending_distribution"]
    shop.world.node.faults.clear()
    await shop.batch_is("settled")
    first, second = attempts(shop)
    assert (first["state"], second["state"]) == ("dead", "finalized")
    assert first["idempotency_key"] != second["idempotency_key"]
    assert "INTERNAL_ERROR" in first["proof"]["why"] and "endpoints=2" in first["proof"]["chain"]
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_transfer_that_circle_calls_failed_and_that_lands_all_the_same_is_paid_once(tmp_path: Path) -> None:
    shop = await market(tmp_path)
    shop.world.node.switches.land_after_slots = 60
    order = await ordered(shop, State.SENT)
    order.tx_hash = None
    shop.world.circle.custody.transactions.fail(order, "INTERNAL_ERROR", "lost sight of it")

    async def left() -> bool:
        return len(outflows(shop.world)) == 1

    await shop.world.until("it has landed", left)
    shop.world.node.switches.land_after_slots = 0
    await shop.world.clock.sleep(LOOKED_AT_AGAIN)
    await shop.batch_is("settled", seconds=1_200)
    assert [one["state"] for one in attempts(shop)] == ["finalized"]
    assert (shop.paid(), len(outflows(shop.world)), len(orders(shop))) == ({"ada": DUE}, 1, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_failed_on_chain_is_dead_by_its_own_transaction_and_paid_by_a_successor(tmp_path: Path) -> None:
    shop = await market(tmp_path)
    await shop.plan()
    await shop.batch_is("settled")
    await shop.sell()
    await shop.deposited(DUE)
    shop.world.node.switches.land_after_slots = 30
    order = await ordered(shop, State.SENT)
    ada = shop.creators["ada"].address
    assert ada is not None
    freeze(shop, ada, frozen=True)

    async def failed() -> bool:
        return order.state is State.FAILED

    await shop.world.until("the transfer fails on chain", failed)
    freeze(shop, ada, frozen=False)
    shop.world.node.switches.land_after_slots = 0
    await shop.batch_is("settled", 2)
    first, second = attempts(shop)[-2:]
    assert (first["attempt"], first["state"], second["state"]) == (1, "dead", "finalized")
    assert "landed with an error" in first["proof"]["why"]
    assert first["proof"]["signature"] == order.tx_hash
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": 2 * DUE}, 2)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_transaction_that_reads_back_otherwise_pays_nobody_until_circle_names_the_right_one(
    tmp_path: Path,
) -> None:
    shop = await market(tmp_path)
    foreign = shop.fund(1)
    order = await ordered(shop, State.SENT)
    right, order.tx_hash = order.tx_hash, foreign
    await shop.until_work_says("read back differs from the plan")
    await shop.world.clock.sleep(60)
    assert shop.states() == ["pending_distribution"]
    (attempt,) = attempts(shop)
    assert (attempt["state"], attempt["signature"]) == ("submitted", foreign)
    order.tx_hash = right
    await shop.world.clock.sleep(LOOKED_AT_AGAIN)
    await shop.batch_is("settled")
    (attempt,) = attempts(shop)
    assert (attempt["state"], attempt["signature"]) == ("finalized", right)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_an_order_of_whose_key_circle_says_only_that_it_is_used_is_looked_up_at_once(tmp_path: Path) -> None:
    """What a repetition is answered with is not documented (reference/circle.md, section 9)."""
    shop = await market(tmp_path)
    faults = shop.world.circle.faults
    used = b'{"code":156020,"message":"Please use a new idempotency key."}'
    faults.add(Rule(TRANSFER, Fault.LOSE_ANSWER))
    faults.add(Rule(TRANSFER, Fault.STATUS, times=1_000_000, status=403, body=used))
    await shop.plan()
    await shop.batch_is("settled")
    (order,), (attempt,) = orders(shop), attempts(shop)
    assert (attempt["state"], attempt["circle_transaction_id"]) == ("finalized", order.id)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_a_key_of_half_a_day_is_looked_up_before_it_is_used_again(tmp_path: Path) -> None:
    shop = await market(tmp_path)
    faults = shop.world.circle.faults
    faults.add(Rule(TRANSFER, Fault.LOSE_ANSWER))
    for unanswered in (TRANSFER, "GET /v1/w3s/transactions"):  # its list has the order all the time
        faults.add(Rule(unanswered, Fault.STATUS, times=1_000_000, status=503))
    order = await ordered(shop, State.COMPLETE)
    assert attempts(shop)[0]["circle_transaction_id"] is None
    shop.world.circle.custody.replays = Replays()  # Circle has forgotten the key: the same order would pay again
    shop.world.clock.shift(LONG_AFTER)
    faults.clear()
    await shop.batch_is("settled")
    assert orders(shop) == [order]
    (attempt,) = attempts(shop)
    assert (attempt["state"], attempt["circle_transaction_id"]) == ("finalized", order.id)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_an_order_that_left_no_trace_in_half_a_day_is_failed_with_its_proof_and_paid_when_a_person_asks(
    tmp_path: Path,
) -> None:
    shop = await market(tmp_path)
    faults = shop.world.circle.faults
    faults.add(Rule(TRANSFER, Fault.LOSE_REQUEST, times=1_000_000))
    await shop.plan()

    async def sent() -> bool:
        return any(one["first_sent_at"] for one in attempts(shop))

    await shop.world.until("the order left", sent)
    shop.world.clock.shift(LONG_AFTER)
    faults.clear()
    await shop.until_work_says("Circle lists no such transfer; not yet proven that nothing left")
    assert shop.states() == ["pending_distribution"]
    await shop.world.clock.sleep(LOOKED_AT_AGAIN)
    await shop.batch_is("settled")
    assert (shop.states(), orders(shop)) == (["failed"], [])
    (parked,) = await shop.parked("Circle lists no such transfer")
    assert parked["kind"] == "transfer"
    retried = await shop.world.operator("POST", "/admin/api/retry/distribution/1")
    assert retried.status == 202

    async def paid() -> bool:
        return shop.states() == ["distributed"]

    await shop.world.until("the retry pays", paid)
    assert [one["state"] for one in attempts(shop)] == ["dead", "finalized"]
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@on_virtual_time
async def test_an_order_whose_answer_was_lost_is_found_by_a_clock_that_is_ahead_of_circle_s(tmp_path: Path) -> None:
    """By that clock it was made before its own attempt, and the list was asked for what came after."""
    shop = await market(tmp_path)
    faults, process = shop.world.circle.faults, shop.world.process
    process.clock.skew = timedelta(seconds=100)
    shop.world.node.switches.land_after_slots = 120
    faults.add(Rule(TRANSFER, Fault.LOSE_ANSWER))
    faults.add(Rule(TRANSFER, Fault.STATUS, times=1_000, status=400, body=b'{"code":2,"message":"invalid"}'))
    await shop.plan()

    async def found() -> bool:
        return bool(orders(shop)) and attempts(shop)[0]["circle_transaction_id"] == orders(shop)[0].id

    await shop.world.until("the order is found", found)
    faults.clear()
    shop.world.node.switches.land_after_slots = 0
    await shop.batch_is("settled", seconds=3_600)
    assert (shop.paid(), len(outflows(shop.world))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(TREASURY_SEEN)
    await shop.close()


@pytest.mark.parametrize("stopped_by", ["all sends", "its batch", "a hold"])
@on_virtual_time
async def test_an_order_that_circle_never_got_is_not_repeated_while_it_is_stopped(
    stopped_by: str, tmp_path: Path
) -> None:
    """Its outcome was unknown, and it was looked up by sending it once more."""
    shop = await market(tmp_path)
    world = shop.world
    world.circle.faults.add(Rule(TRANSFER, Fault.LOSE_REQUEST, times=1_000))
    await shop.plan()

    async def is_unknown() -> bool:
        return [one["state"] for one in attempts(shop)] == ["submitted"]

    await world.until("an order is lost", is_unknown)
    stop, go_on = {
        "all sends": ("sends/pause", "sends/resume"),
        "its batch": ("batches/1/pause", "batches/1/resume"),
        "a hold": ("purchases/1/hold", "purchases/1/unhold"),
    }[stopped_by]
    assert (await world.operator("POST", f"/admin/api/{stop}", {"reason": "look first"})).status == 200
    await world.clock.sleep(60)
    world.circle.faults.clear()
    await world.clock.sleep(2 * LOOKED_AT_AGAIN)
    assert orders(shop) == []
    assert shop.paid() == {"ada": 0}
    assert (await world.operator("POST", f"/admin/api/{go_on}", {"reason": "looked"})).status == 200
    await shop.batch_is("settled", seconds=3_600)
    assert shop.paid() == {"ada": DUE}
    assert len(attempts(shop)) == 1
    await shop.close()


@on_virtual_time
async def test_a_refund_between_the_look_at_a_transfer_and_its_intent_makes_what_is_ordered_less(
    tmp_path: Path,
) -> None:
    shop = await market(tmp_path)
    life = shop.world.process.life
    stopped = asyncio.create_task(life.stand_still_at("before commit", _is_of_a_transfer))
    planned = asyncio.create_task(shop.plan())
    await stopped
    (sale,) = rows_of(shop.world, "SELECT stripe_payment_intent_id FROM purchases")
    told = shop.world.stripe.controls.refund(sale["stripe_payment_intent_id"], 100)
    engine = open_writer(shop.world.folder / DATABASE, synchronous="OFF")
    with engine.begin() as conn:
        refunded = RefundSeen(told["id"], 100, RefundState.SUCCEEDED, None)
        record_refund(conn, 1, refunded, shop.world.clock.now())
    engine.dispose()
    life.go_on()
    await planned
    await shop.batch_is("settled")
    assert [json.loads(one["body"])["amounts"] for one in attempts(shop)] == [["1.566667"]]
    assert shop.paid() == {"ada": 1_566_667}
    await shop.close()


def _job() -> str:
    return str(structlog.contextvars.get_contextvars().get("job", ""))


def _is_of_a_transfer() -> bool:
    return _job().startswith("transfer:")


@on_virtual_time
async def test_the_cap_of_a_day_holds_where_another_replica_begins_a_transfer_meanwhile(tmp_path: Path) -> None:
    """Both looked before either began: together they would pass the cap."""
    evening = MONDAY.replace(hour=22)
    shop = Market(VirtualWorld(tmp_path, 1, evening, AGENT_TREASURY_POLL_MS="20000", AGENT_CAP_DAY=str(DUE)))
    await shop.open("ada")
    await shop.sell("ada", "ada")
    await shop.deposited(2 * DUE)
    life, begins = shop.world.process.life, list[str]()

    def first_begins() -> bool:
        begins.append(_job())
        return _is_of_a_transfer()

    stopped = asyncio.create_task(life.stand_still_at("before commit", first_begins))
    planned = asyncio.create_task(shop.plan())
    await stopped
    other = 3 - int(begins[-1].removeprefix("transfer:"))
    engine = open_writer(shop.world.folder / DATABASE, synchronous="OFF")
    with engine.begin() as conn:
        begin_elsewhere(shop, conn, other)
    engine.dispose()
    life.go_on()
    await planned
    await shop.world.clock.sleep(300)
    assert (shop.paid(), len(attempts(shop))) == ({"ada": DUE}, 1)
    await shop.world.clock.sleep(2 * 3600)
    assert shop.paid() == {"ada": 2 * DUE}
    await shop.close()


def begin_elsewhere(shop: Market, conn: Connection, transfer_id: int) -> None:
    """The intent of a transfer's first attempt, as another replica commits it."""
    case, platform = load(conn, transfer_id), shop.world.platform
    body = {
        "walletId": platform.wallet_id,
        "tokenId": shop.world.settings.usdc_token_id,
        "destinationAddress": case.transfer.destination_address,
        "amounts": [format_usdc_exact(case.transfer.amount)],
        "feeLevel": FEE_LEVEL,
        "refId": case.transfer.reference,
    }
    key = transfer_key(case.transfer.key_scope, UUID(case.transfer.uuid), 1)
    intend(conn, case, 1, key, str(platform.wallet_id), platform.address, body, shop.world.clock.now())
