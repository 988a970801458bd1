"""Refunds that our balance at Stripe does not cover stay pending for as long as that lasts: nothing is back before, and
nothing is done that could not be undone.
"""

from pathlib import Path
from typing import Any

import pytest

from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.test_operator_refunds import Desk
from tests.week.test_peer_defects import nfts
from tests.week.test_reconciliation import reconciled
from tests.week.test_refunds import Gallery
from tests.week.virtual_world import VirtualWorld

LONG = 4 * 3_600
ENDS = pytest.mark.parametrize("settled", [True, False], ids=["settled", "failed"])


def pending(shop: Gallery) -> str:
    """The one refund that Stripe calls pending."""
    refunds = shop.world.stripe._world.books.refunds
    (one,) = [row["id"] for row in refunds if row["status"] == "pending"]
    return str(one)


def end(shop: Gallery, settled: bool) -> None:
    controls = shop.world.stripe.controls
    controls.lack_funds(lacks=False)
    (controls.settle_refund if settled else controls.fail_refund)(pending(shop))


@ENDS
@on_virtual_time
async def test_an_operator_s_refund_waits_for_hours_and_then_counts_as_it_ends(settled: bool, tmp_path: Path) -> None:
    desk = Desk(VirtualWorld(tmp_path))
    await desk.open()
    purchase_id, token, _ = await desk.sell()
    desk.world.stripe.controls.lack_funds()
    assert (await desk.act(purchase_id, "refund")).status == 202
    await desk.refunded(purchase_id, "pending")
    await desk.world.clock.sleep(LONG)
    assert (await desk.purchase(purchase_id, token))["status"] == "completed"
    _, red = await reconciled(desk)
    assert red == []
    end(desk, settled)
    await desk.refunded(purchase_id, "succeeded" if settled else "failed")
    await desk.world.clock.sleep(600)
    assert (await desk.purchase(purchase_id, token))["status"] == ("refunded" if settled else "completed")
    _, red = await reconciled(desk)
    assert red == []
    assert len(rows_of(desk.world, "SELECT id FROM refunds")) == 1
    await desk.close()


@on_virtual_time
async def test_a_refund_that_is_canceled_at_stripe_has_failed(tmp_path: Path) -> None:
    desk = Desk(VirtualWorld(tmp_path))
    await desk.open()
    purchase_id, token, _ = await desk.sell()
    desk.world.stripe.controls.lack_funds()
    assert (await desk.act(purchase_id, "refund")).status == 202
    await desk.refunded(purchase_id, "pending")
    desk.world.stripe.controls.cancel_refund(pending(desk))
    await desk.refunded(purchase_id, "failed")
    assert (await desk.purchase(purchase_id, token))["status"] == "completed"
    _, red = await reconciled(desk)
    assert red == []
    await desk.close()


@ENDS
@on_virtual_time
async def test_a_pending_refund_of_everything_by_hand_stops_the_mint_until_it_has_ended(
    settled: bool, tmp_path: Path
) -> None:
    desk = Desk(VirtualWorld(tmp_path))
    await desk.open()
    desk.world.circle.custody.switches.auto_pin = False
    token, session = await desk.pay()

    async def shelf() -> list[Any]:
        return [one["status"] for one in await desk.library(token)]

    async def waits() -> bool:
        return await shelf() == ["waiting_for_wallet"]

    await desk.world.until("the mint waits for the wallet", waits)
    desk.world.stripe.controls.lack_funds()
    desk.world.stripe.controls.refund(desk.payment_of(session))
    await desk.world.clock.sleep(60)
    desk.world.circle.custody.switches.auto_pin = True
    await desk.world.clock.sleep(LONG)
    assert nfts(desk.world) == 0
    end(desk, settled)

    async def ended() -> bool:
        return await shelf() == (["refunded"] if settled else ["owned"])

    await desk.world.until("it has ended", ended, 1_800)
    assert nfts(desk.world) == (0 if settled else 1)
    assert await parked(desk.world) == []
    await desk.close()


@on_virtual_time
async def test_a_loser_s_refund_waits_for_hours_and_is_asked_for_once(tmp_path: Path) -> None:
    shop = Gallery(VirtualWorld(tmp_path))
    _, sessions = await shop.open_race(2)
    controls = shop.world.stripe.controls
    controls.lack_funds()
    for session_id in sessions:
        controls.pay(session_id)
    await shop.world.clock.sleep(LONG)
    assert [row["state"] for row in rows_of(shop.world, "SELECT state FROM refunds")] == ["pending"]
    assert await parked(shop.world) == []
    end(shop, True)

    async def is_back() -> bool:
        return bool(rows_of(shop.world, "SELECT id FROM purchases WHERE status = 'refunded'"))

    await shop.world.until("the loser has his money back", is_back)
    ledger: Any = controls.ledger()
    assert sorted(one["refunded_cents"] for one in ledger["payments"]) == [0, 300]
    assert await parked(shop.world) == []
    await shop.close()
