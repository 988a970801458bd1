"""A daemon that dies while it mints and pays in one transaction, or whose database is put back: once, or neither."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from sandbox.faults import Fault, Rule
from tests.week.atomic_market import PARTS, AtomicMarket, atomic_market, mortal_market
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import Fuse
from tests.week.test_mints import stop_sends
from tests.week.test_restore_drill import Drill
from tests.week.test_transfer_death import StepFuse

POINTS_LEAST = 20
"""A mint's step passes more; fewer would mean that the points are not seen."""

Moment = Callable[[AtomicMarket, str], bool]


def signed_unstored(shop: AtomicMarket, where: str) -> bool:
    return where == "after call" and any(
        request.url.endswith("sign/transaction") for request in shop.world.transport.sent[-1:]
    )


def paid_unstored(shop: AtomicMarket, where: str) -> bool:
    return where == "before commit" and shop.paid() == PARTS


MOMENTS: dict[str, Moment] = {
    "Circle has signed and it is not stored": signed_unstored,
    "the chain has minted and paid and it is not stored": paid_unstored,
}


@pytest.mark.soak
@pytest.mark.parametrize("moment", MOMENTS)
@on_virtual_time
async def test_a_death_in_the_middle_mints_and_pays_once(moment: str, tmp_path: Path) -> None:
    fuse = StepFuse("mint:")
    shop, world = mortal_market(tmp_path, fuse)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    fuse.when = partial(MOMENTS[moment], shop)
    fuse.arm(None)
    shop.give_wallet()
    assert await world.died(), "the moment never came"
    await world.start()
    await shop.is_minted(purchase_id)
    shop.is_paid_once()
    assert shop.attempts() == ["finalized"]
    await shop.close()


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@on_virtual_time
async def test_a_death_at_every_point_of_the_step_mints_and_pays_once(tmp_path: Path) -> None:
    fuse: Fuse = StepFuse("mint:")
    shop, world = mortal_market(tmp_path, fuse)
    await shop.open_shared(money=200_000_000)
    sales = 0
    while True:
        sales += 1
        purchase_id = await shop.pay_without_wallet(f"late{sales}")
        fuse.arm(sales)
        shop.give_wallet()
        died = await world.died(seconds=60)
        await world.start()
        await shop.is_minted(purchase_id)
        shop.is_paid_once(sales)
        if not died:
            break
    assert sales > POINTS_LEAST
    # What was signed and not sent before the death may expire while the start gate is closed, and is signed again.
    assert shop.attempts().count("finalized") == sales
    await shop.close()


@on_virtual_time
async def test_a_database_from_before_the_payment_adopts_the_sale_by_its_mint_and_pays_nobody_again(
    tmp_path: Path,
) -> None:
    story = Drill(shop := atomic_market(tmp_path))
    await shop.open_shared()
    shop.world.circle.custody.switches.auto_pin = False
    _, token = await shop.sign_up("late")
    wish = {"content_id": shop.content, "payment_method": "card"}
    session = (await shop.world.call("POST", "/api/checkout/stripe/", wish, token)).body["session_id"]
    await story.back_up()
    shop.world.stripe.controls.pay(session)
    await shop.world.clock.sleep(20)
    shop.give_wallet()
    await shop.is_minted(1)
    shop.is_paid_once()
    await story.put_back()
    await story.gate_opens()
    await shop.is_minted(1)
    shop.is_paid_once()
    assert shop.states() == ["distributed", "distributed"]
    assert await parked(shop.world) == []
    await shop.close()


@on_virtual_time
async def test_a_mint_that_is_adopted_waits_to_be_proven_final_and_is_not_sent(tmp_path: Path) -> None:
    """Nobody has its bytes: sending them was tried, and counted as a failure of the step. The buyer's wallet, by which
    its NFT would be found, is not known yet."""
    story = Drill(shop := atomic_market(tmp_path))
    await shop.open_shared()
    shop.world.circle.custody.switches.auto_pin = False
    purchase_id = await shop.pay_without_wallet("late")
    await story.back_up()
    shop.give_wallet()
    await shop.is_minted(purchase_id)
    await shop.world.stop()
    shop.world.node.faults.add(Rule("getSignatureStatuses", Fault.LOSE_REQUEST, times=1_000_000))
    shop.world.circle.faults.add(Rule("POST /v1/w3s/users/token", Fault.LOSE_REQUEST, times=1_000_000))
    await story.put_back()
    await story.gate_opens()
    await shop.world.clock.sleep(60)
    (told,) = rows_of(shop.world, "SELECT attempts, last_error FROM jobs WHERE kind = 'mint'")
    assert tuple(told) == (0, "adopted, waits to be proven final")
    shop.world.node.faults.clear()
    shop.world.circle.faults.clear()
    await shop.is_minted(purchase_id)
    shop.is_paid_once()
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_a_database_that_follows_a_dead_try_adopts_the_one_that_landed(tmp_path: Path) -> None:
    story = Drill(shop := atomic_market(tmp_path))
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    stop_sends(shop.world, True)
    shop.give_wallet()

    async def sent() -> bool:
        return shop.attempts() == ["sent"]

    await shop.world.until("the first try is sent", sent)
    await story.back_up()

    async def dead() -> bool:
        return "dead" in shop.attempts()

    await shop.world.until("the first try is proven dead", dead)
    stop_sends(shop.world, False)
    await shop.is_minted(purchase_id)
    await story.put_back()
    assert shop.attempts() == ["sent"]
    await story.gate_opens()
    await shop.is_minted(purchase_id)
    assert shop.attempts() == ["dead", "finalized"]
    shop.is_paid_once()
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_a_sale_refunded_before_its_restored_mint_is_a_debt_and_not_paid_again(tmp_path: Path) -> None:
    """The database put back takes the sale for unminted, so that its refund alone would end it."""
    story = Drill(shop := atomic_market(tmp_path))
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    payment = rows_of(shop.world, "SELECT stripe_payment_intent_id pi FROM purchases")[0]["pi"]
    await story.back_up()
    shop.give_wallet()
    await shop.is_minted(purchase_id)
    shop.world.stripe.controls.refund(payment, None)
    await shop.world.clock.sleep(20)
    await story.put_back()
    await story.gate_opens()
    await shop.is_minted(purchase_id)
    await shop.world.clock.sleep(20)
    shop.is_paid_once()
    assert (await shop.dashboard("ada"))["debt"] == "1.645"
    assert rows_of(shop.world, "SELECT status FROM purchases")[0]["status"] == "refunded"
    assert await parked(shop.world) == []
    await shop.close()
