"""Keys of which Stripe says no more than that their call failed within: refunds under them reach their end, once."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.test_operator_refunds import Desk
from tests.week.test_refunds import Gallery
from tests.week.virtual_world import VirtualWorld

REFUNDS = "POST /v1/refunds"
WITHIN = pytest.mark.parametrize("fault", [Fault.STATUS, Fault.MASKED], ids=["made_nothing", "made_it_all_the_same"])


async def given_back(shop: Gallery) -> list[int]:
    """Cents by payment, those that nothing came back of too."""
    ledger: Any = shop.world.stripe.controls.ledger()
    return sorted(one["refunded_cents"] for one in ledger["payments"])


@WITHIN
@on_virtual_time
async def test_a_loser_has_his_money_back_once_within_the_hour_though_stripe_failed_over_it(
    fault: Fault, tmp_path: Path
) -> None:
    shop = Gallery(VirtualWorld(tmp_path))
    _, sessions = await shop.open_race(2)
    controls = shop.world.stripe.controls
    controls.add_fault(Rule(REFUNDS, fault, status=500), inside=True)
    for session_id in sessions:
        controls.pay(session_id)

    async def is_back() -> bool:
        return bool(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'refunded'"))

    await shop.world.until("the loser has his money back", is_back, 3_600)
    assert await given_back(shop) == [0, 300]
    states = [row["state"] for row in rows_of(shop.world, "SELECT state FROM refunds ORDER BY id")]
    assert states == (["failed", "succeeded"] if fault is Fault.STATUS else ["succeeded"])
    assert await parked(shop.world) == []
    await shop.close()


@on_virtual_time
async def test_a_loser_whose_refund_stripe_finds_after_all_gets_nothing_twice(tmp_path: Path) -> None:
    """What a 500 left behind may come to light later, when another key was used already."""
    shop = Gallery(VirtualWorld(tmp_path))
    _, sessions = await shop.open_race(2)
    controls = shop.world.stripe.controls
    controls.add_fault(Rule(REFUNDS, Fault.STATUS, status=500), inside=True)
    for session_id in sessions:
        controls.pay(session_id)

    async def has_ended() -> bool:
        return [row["state"] for row in rows_of(shop.world, "SELECT state FROM refunds")] == ["failed"]

    await shop.world.until("the first one has ended", has_ended, 3_600)
    (lost,) = rows_of(shop.world, "SELECT stripe_payment_intent_id p FROM purchases WHERE status_reason = 'sold_out'")
    (ended,) = rows_of(shop.world, "SELECT uuid FROM refunds")
    controls.refund(lost["p"], metadata={"refund": ended["uuid"], "reason": "sold_out"})

    async def is_back() -> bool:
        return bool(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'refunded'"))

    await shop.world.until("the sale is refunded", is_back, 3_600)
    await shop.world.clock.sleep(3_600)
    assert await given_back(shop) == [0, 300]
    assert await parked(shop.world) == []
    await shop.close()


@WITHIN
@on_virtual_time
async def test_an_operator_s_refund_is_looked_up_and_waits_until_the_key_is_forgotten(
    fault: Fault, tmp_path: Path
) -> None:
    """Of a part Stripe could find the first one, and make another: it is not asked under another key."""
    desk = Desk(VirtualWorld(tmp_path))
    await desk.open()
    purchase_id, _, payment = await desk.sell()
    desk.world.stripe.controls.add_fault(Rule(REFUNDS, fault, status=500), inside=True)
    assert (await desk.act(purchase_id, "refund", amount="1.00")).status == 202
    if fault is Fault.STATUS:
        await desk.world.clock.sleep(3_600)
        assert desk.given_back(payment) == []
        desk.world.stripe._api._idempotency._kept.clear()  # a day has passed at Stripe
    await desk.refunded(purchase_id, "succeeded")
    assert desk.given_back(payment) == [100]
    assert len(rows_of(desk.world, "SELECT id FROM refunds")) == 1
    await desk.close()


@on_virtual_time
async def test_a_loser_s_refund_that_stripe_refused_is_asked_for_under_another_key_when_a_person_retries(
    tmp_path: Path,
) -> None:
    """What an endpoint has refused is remembered by its key like any other answer."""
    shop = Gallery(VirtualWorld(tmp_path))
    _, sessions = await shop.open_race(2)
    controls = shop.world.stripe.controls
    refusal = b'{"error":{"type":"invalid_request_error","code":"charge_not_refundable","message":"Not now."}}'
    controls.add_fault(Rule(REFUNDS, Fault.STATUS, status=400, body=refusal), inside=True)
    for session_id in sessions:
        controls.pay(session_id)

    async def is_refused() -> bool:
        return await parked(shop.world) == [("refund", "charge_not_refundable")]

    await shop.world.until("a person is asked", is_refused, 3_600)
    assert await given_back(shop) == [0, 0]
    (row,) = (await shop.world.operator("GET", "/admin/api/work?state=parked")).body["items"]
    again = await shop.world.operator("POST", f"/admin/api/work/{row['source']}/{row['id']}/retry")
    assert again.status == 202

    async def is_back() -> bool:
        return bool(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'refunded'"))

    await shop.world.until("the loser has his money back", is_back, 600)
    assert await given_back(shop) == [0, 300]
    assert await parked(shop.world) == []
    await shop.close()
