"""Nobody pays for a work that is sold out or taken down, as far as Stripe can still be told."""

from pathlib import Path

import pytest

from sandbox.faults import Fault, Rule
from sandbox.stripe_service.errors import ApiError
from tests.week.checker import rows_of
from tests.week.people import eventually, gallery, on_virtual_time, open_session, parked, session_of, shelf_says
from tests.week.test_refunds import Gallery

STATES = "SELECT state FROM checkouts ORDER BY id"


async def ended(shop: Gallery, *states: str) -> None:
    async def holds() -> bool:
        return [row["state"] for row in rows_of(shop.world, STATES)] == list(states)

    await eventually(shop.world, f"the Sessions are {states}", holds)


@pytest.mark.parametrize("fault", [None, Fault.LOSE_REQUEST, Fault.LOSE_ANSWER, Fault.CUT_BODY])
@on_virtual_time
async def test_the_last_edition_closes_the_pages_of_all_others(fault: Fault | None, tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    if fault is not None:
        world.stripe.faults.add(Rule("/expire", fault, times=1))
    tokens, sessions = await shop.open_race(3)
    world.stripe.controls.pay(sessions[1])
    await shelf_says(shop, tokens[1], "owned")
    await ended(shop, "expired", "completed", "expired")
    for session in (sessions[0], sessions[2]):
        with pytest.raises(ApiError, match="expired"):
            world.stripe.controls.pay(session)
    await world.clock.sleep(600)
    assert await parked(world) == []
    assert rows_of(world, "SELECT id FROM refunds") == []
    sold_out = await world.call(
        "POST", "/api/checkout/stripe/", {"content_id": shop.content, "payment_method": "card"}, tokens[0]
    )
    assert sold_out.status == 409
    await shop.close()


@on_virtual_time
async def test_who_pays_before_his_page_is_closed_is_given_his_money_back_as_ever(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    tokens, sessions = await shop.open_race(2)
    for session in sessions:
        world.stripe.controls.pay(session)
    await shelf_says(shop, tokens[0], "owned")
    await shelf_says(shop, tokens[1], "refunded")
    await ended(shop, "completed", "completed")
    await world.clock.sleep(600)
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_an_edition_that_comes_back_can_be_bought_by_whose_page_was_closed(tmp_path: Path) -> None:
    """The one who was first asks for his money before he has a wallet."""
    shop = gallery(tmp_path)
    world = shop.world
    world.circle.custody.switches.auto_pin = False
    tokens, sessions = await shop.open_race(2)
    world.stripe.controls.pay(sessions[0])
    await ended(shop, "completed", "expired")
    world.stripe.controls.refund(shop.payment_of(sessions[0]))
    await shelf_says(shop, tokens[0], "refunded")
    world.circle.custody.switches.auto_pin = True
    again = await session_of(shop, tokens[1])
    assert again != sessions[1]
    world.stripe.controls.pay(again)
    await ended(shop, "completed", "expired", "completed")
    await shop.close()


@on_virtual_time
async def test_a_work_that_is_taken_down_closes_its_pages_and_who_has_paid_keeps_what_he_bought(tmp_path: Path) -> None:
    """Before Stripe is told: while it can't be reached nobody can close a page."""
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    (early, paid), (late, unpaid) = [await open_session(shop, name) for name in ("bea", "cy")]
    work, because = f"/admin/api/contents/{shop.content}", {"reason": "not his own"}
    world.stripe.faults.add(Rule("/expire", Fault.LOSE_REQUEST, times=2))
    assert (await world.operator("POST", f"{work}/take-down", because)).status == 200
    world.stripe.controls.pay(paid)
    await shelf_says(shop, early, "owned")
    await ended(shop, "completed", "expired")
    with pytest.raises(ApiError, match="expired"):
        world.stripe.controls.pay(unpaid)
    assert rows_of(world, "SELECT id FROM refunds") == []
    await world.operator("POST", f"{work}/restore", because)
    again = await session_of(shop, late)
    world.stripe.controls.pay(again)
    await shelf_says(shop, late, "owned")
    assert await parked(world) == []
    await shop.close()
