"""A sale's events in every order, twice, late, wrong or strange: one end state."""

import asyncio
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from ports.virtual import VirtualLoop
from sandbox.faults import Fault, Rule
from sandbox.stripe_service.timing import DAY_MS
from simulator.outside import UNHANDLED
from tests.week.people import (
    entries,
    eventually,
    gallery,
    on_virtual_time,
    open_session,
    parked,
    purchase_becomes,
    session_of,
    shelf_says,
)
from tests.week.test_peer_defects import nfts, seen_events
from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import People
from tests.week.virtual_world import VirtualWorld

SALE_EVENTS = ("checkout.session.completed", "payment_intent.succeeded", "charge.updated")
END = {
    "status": "completed",
    "gross_amount": "3.00",
    "stripe_fee": "0.39",
    "net_after_stripe": "2.61",
    "mint_cost": "0.00",
    "nft_minted": True,
    "usdc_amount": "2.35",
    "usdc_payment_status": "pending_conversion",
}
BOOKED = ["fee_final", "network_mint", "sale_due", "sale_paid"]


async def past_the_first_sweep(shop: People) -> None:
    """What Stripe lists is read at the start; from here on only webhooks bring events, for an hour."""
    await shop.world.clock.sleep(60)


async def is_at_its_end(shop: Gallery, purchase_id: int = 1) -> dict[str, Any]:
    """Wait for the one end state of a $3.00 sale, then look again a while later, and at the chain and the books."""
    await purchase_becomes(shop, purchase_id, **END)
    await shop.world.clock.sleep(30)
    shown = await purchase_becomes(shop, purchase_id, **END)
    assert len(shown["mints"]) == 1
    assert len(shown["purchase"]["payouts"]) == 1
    assert entries(shown) == BOOKED
    return shown


@pytest.mark.parametrize("order", list(permutations(SALE_EVENTS)), ids="-".join)
@on_virtual_time
async def test_the_events_of_a_sale_give_one_end_state_in_any_order(order: tuple[str, ...], tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    await past_the_first_sweep(shop)
    delays = {event: place * 20_000 for place, event in enumerate(order)}
    shop.world.stripe.controls.disturb_delivery(delay_ms=delays, duplicates=1.0)
    await shop.pay()
    await is_at_its_end(shop)
    assert nfts(shop.world) == 1
    assert await parked(shop.world) == []
    await shop.close()


@pytest.mark.parametrize("seed", range(4))
@on_virtual_time
async def test_shuffled_dropped_and_doubled_events_of_many_sales_leave_one_nft_each(seed: int, tmp_path: Path) -> None:
    shop = gallery(tmp_path, seed)
    await shop.open()
    await past_the_first_sweep(shop)
    controls = shop.world.stripe.controls
    controls.disturb_delivery(duplicates=0.5, drop=0.3, shuffle_ms=20_000, created_step_seconds=60)
    tokens = [(await shop.pay())[0] for _ in range(3)]
    for token in tokens:
        await shelf_says(shop, token, "owned")
    for purchase_id in (1, 2, 3):
        await is_at_its_end(shop, purchase_id)
    assert nfts(shop.world) == 3
    await shop.close()


@on_virtual_time
async def test_every_event_told_again_days_later_changes_nothing(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    purchase_id, _, _ = await shop.sell()
    await shop.pay_out(DUE)
    await world.clock.sleep(60)  # until the wallet's history tells what the payout cost
    before = await purchase_becomes(shop, purchase_id, usdc_payment_status="distributed")
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    loop.leap(5 * DAY_MS / 1000)
    for event_id in await seen_events(shop):
        world.stripe.controls.resend_event(event_id)
    await world.clock.sleep(120)
    after = await purchase_becomes(shop, purchase_id, usdc_payment_status="distributed")
    assert after == before
    assert nfts(world) == 1
    assert await shop.paid_on_chain() == DUE
    await shop.close()


@on_virtual_time
async def test_a_payment_told_before_stripe_answered_the_checkout_is_kept(tmp_path: Path) -> None:
    """The answer to creating the Session is lost; the buyer finds and pays it all the same."""
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    _, token = await shop.sign_up("bob")
    world.stripe.controls.add_fault(Rule("/v1/checkout/sessions", Fault.LOSE_ANSWER, times=10))
    wish = {"content_id": shop.content, "payment_method": "card"}
    refused = await world.call("POST", "/api/checkout/stripe/", wish, token)
    assert (refused.status, refused.body["error"]["code"]) == (503, "stripe_unavailable")
    (session_id,) = {row["id"] for row in world.stripe._world.books.sessions}
    world.stripe.controls.clear_faults()
    world.stripe.controls.pay(session_id)
    await is_at_its_end(shop)
    await shelf_says(shop, token, "owned")
    await shop.close()


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"amount_received": 100}, "amount_mismatch"),
        ({"currency": "eur"}, "amount_mismatch"),
        ({"amount_received": "300"}, "malformed_event"),
        ({"metadata": {}}, "unknown_checkout"),
        ({"id": "py_1"}, "malformed_event"),
    ],
)
@on_virtual_time
async def test_a_payment_of_another_amount_currency_or_shape_waits_for_a_person(
    changed: dict[str, Any], code: str, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    token, session_id = await open_session(shop, "bob")
    session = world.stripe._world.books.sessions.get(session_id)
    assert session is not None
    intent = {
        "id": "pi_3ForgedForTheTest",
        "object": "payment_intent",
        "amount_received": 300,
        "currency": "usd",
        "latest_charge": None,
        "metadata": session["metadata"],
        **changed,
    }
    world.stripe.controls.forge_event("payment_intent.succeeded", intent)
    await eventually(world, "a person is asked", lambda: parked(world))
    assert await parked(world) == [("stripe_event", code)]
    assert await shop.library(token) == []
    assert nfts(world) == 0
    await shop.close()


@on_virtual_time
async def test_unknown_types_are_stored_and_wrong_modes_are_not_booked(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    token, session_id = await open_session(shop, "bob")
    controls = world.stripe.controls
    strange = controls.forge_event(UNHANDLED, {"object": "payment_intent"})["id"]
    session = world.stripe._world.books.sessions.get(session_id)
    assert session is not None
    live = {
        "id": "pi_3LiveModeOnATestDaemon",
        "object": "payment_intent",
        "amount_received": 300,
        "currency": "usd",
        "metadata": session["metadata"],
    }
    controls.forge_event("payment_intent.succeeded", live, livemode=True)
    await world.clock.sleep(20)
    assert strange in await seen_events(shop)
    assert await shop.library(token) == []
    controls.pay(session_id)
    await is_at_its_end(shop)
    await shop.close()


@on_virtual_time
async def test_a_fee_that_stripe_names_much_later_is_waited_for(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    world.stripe._world.books.timing = _without_fees(world)
    await shop.open()
    token, _session_id = await shop.pay()
    await shelf_says(shop, token, "owned")
    await world.clock.sleep(600)
    shown = await purchase_becomes(shop, 1, status="completed", usdc_payment_status="")
    assert (shown["purchase"]["stripe_fee"], shown["purchase"]["payouts"]) == (None, [])
    ledger: Any = world.stripe.controls.ledger()
    world.stripe.controls.release(ledger["payments"][0]["charge"])
    await is_at_its_end(shop)
    await shop.close()


@on_virtual_time
async def test_a_fee_in_another_currency_waits_for_a_person_and_nothing_is_due(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    world.stripe._world.books.timing = _without_fees(world)
    await shop.open()
    token, _ = await shop.pay()
    await shelf_says(shop, token, "owned")
    ledger: Any = world.stripe.controls.ledger()
    charge = world.stripe.controls.release(ledger["payments"][0]["charge"])
    booked = world.stripe._world.books.balance_transactions.get(charge["balance_transaction"])
    assert booked is not None
    booked["currency"] = "eur"
    await eventually(world, "a person is asked", lambda: parked(world))
    assert await parked(world) == [("fee", "fee_mismatch")]
    booked["currency"] = "usd"
    work = await world.operator("GET", "/admin/api/work?state=parked")
    row = work.body["items"][0]
    again = await world.operator("POST", f"/admin/api/work/{row['source']}/{row['id']}/retry")
    assert again.status == 202
    await is_at_its_end(shop)
    await shop.close()


def _without_fees(world: VirtualWorld) -> Any:
    return replace(world.stripe._world.books.timing, fee_delay_ms=30 * DAY_MS)


@pytest.mark.parametrize("reversal", ["refund", "dispute"])
@pytest.mark.parametrize("first", [True, False], ids=["before_its_sale", "between_payment_and_mint"])
@on_virtual_time
async def test_a_reversal_that_overtakes_its_sale_is_kept_and_applied(
    reversal: str, first: bool, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    world.circle.custody.switches.auto_pin = False  # no wallet, no mint yet
    await shop.open()
    await past_the_first_sweep(shop)
    held = {event: 60_000 for event in ("checkout.session.completed", "payment_intent.succeeded")}
    world.stripe.controls.disturb_delivery(delay_ms=held if first else {})
    token, session_id = await open_session(shop, "bob")
    world.stripe.controls.pay(session_id)
    payment = shop.payment_of(session_id)
    await world.clock.sleep(10)
    if reversal == "refund":
        world.stripe.controls.refund(payment)
    else:
        world.stripe.controls.open_dispute(payment)
    await world.clock.sleep(20)
    if first:
        assert {code for _, code in await parked(world)} == {"before_its_sale"}
    if reversal == "refund":
        shown = await purchase_becomes(shop, 1, status="refunded")
        await shelf_says(shop, token, "refunded")
    else:
        shown = await purchase_becomes(shop, 1, status="payment_completed")
        await eventually(world, "held", lambda: _held(shop))
    await world.clock.sleep(90)
    assert await parked(world) == []
    assert (nfts(world), shown["mints"]) == (0, [])
    await shop.close()


async def _held(shop: Gallery) -> bool:
    shown = await shop.world.operator("GET", "/admin/api/purchases/1")
    return bool(shown.body["purchase"]["hold_reason"])


FAULTS = [
    pytest.param(None, id="undisturbed"),
    pytest.param(Rule("POST /v1/refunds", Fault.LOSE_ANSWER, times=4), id="lost_answer"),
    pytest.param(Rule("POST /v1/refunds", Fault.LOSE_REQUEST, times=4), id="lost_request"),
    pytest.param(Rule("POST /v1/refunds", Fault.STATUS, times=4, status=500), id="500"),
    pytest.param(Rule("POST /v1/refunds", Fault.STATUS, times=4, status=429), id="429"),
    pytest.param(Rule("POST /v1/refunds", Fault.HTML, times=4), id="html"),
]


@pytest.mark.parametrize("fault", FAULTS)
@on_virtual_time
async def test_of_five_buyers_of_two_editions_three_have_their_money_back_once(
    fault: Rule | None, tmp_path: Path
) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open(editions=2)
    buyers = [await open_session(shop, f"racer{n}") for n in range(5)]
    if fault is not None:
        world.stripe.controls.add_fault(replace(fault))
    for _, session_id in buyers:
        world.stripe.controls.pay(session_id)

    async def statuses() -> list[str]:
        shelves = [await shop.library(token) for token, _ in buyers]
        return sorted(shelf[0]["status"] for shelf in shelves if shelf)

    async def decided() -> bool:
        return await statuses() == ["owned", "owned", "refunded", "refunded", "refunded"]

    await world.until("two own it, three are refunded", decided)
    await eventually(world, "every refund is final", lambda: _refunded(shop, 3))
    views = [(await world.operator("GET", f"/admin/api/purchases/{n}")).body for n in range(1, 6)]
    assert sorted(v["purchase"]["status"] for v in views) == ["completed"] * 2 + ["refunded"] * 3
    assert sorted(v["purchase"]["edition_number"] for v in views if v["purchase"]["nft_minted"]) == [1, 2]
    ledger: Any = world.stripe.controls.ledger()
    assert sorted(len(one["refunds"]) for one in ledger["payments"]) == [0, 0, 1, 1, 1]
    assert ledger["totals"]["refunded_cents"] == 900
    assert nfts(world) == 2
    assert await parked(world) == []
    await shop.close()


async def _refunded(shop: Gallery, wanted: int) -> bool:
    status = await shop.world.operator("GET", "/admin/api/status")
    return bool(status.body["counts"]["purchases"].get("refunded") == wanted)


@on_virtual_time
async def test_a_buyer_who_comes_after_the_last_edition_is_told_before_he_pays(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open(editions=1)
    _, late = await shop.sign_up("late")
    await shop.sell()
    wish = {"content_id": shop.content, "payment_method": "card"}
    refused = await shop.world.call("POST", "/api/checkout/stripe/", wish, late)
    assert (refused.status, refused.body["error"]["code"]) == (409, "sold_out")
    await shop.close()


@on_virtual_time
async def test_the_same_open_session_is_given_again_and_a_second_sale_gets_its_own_number(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    token, session_id = await open_session(shop, "bob")
    assert await session_of(shop, token) == session_id
    shop.world.stripe.controls.pay(session_id)
    assert (await shelf_says(shop, token, "owned"))["name"] == "Sunrise #1"
    second = await session_of(shop, token)
    assert second != session_id
    shop.world.stripe.controls.pay(second)
    await eventually(shop.world, "two are his", lambda: _owns(shop, token, 2))
    assert sorted(item["name"] for item in await shop.library(token)) == ["Sunrise #1", "Sunrise #2"]
    await shop.close()


async def _owns(shop: Gallery, token: str, count: int) -> bool:
    return [item["status"] for item in await shop.library(token)] == ["owned"] * count
