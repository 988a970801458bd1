"""Orders are held no longer than one that was begun waits: with none left nobody would ever ask."""

from pathlib import Path

import pytest

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE
from tests.week.test_orders_held import held
from tests.week.test_refused_keys import LONGEST_PAUSE
from tests.week.test_refused_orders import FOR_EVER, FROZEN, covered, later, refuse, switched
from tests.week.test_unanswered_orders import HOUR, ORDER, SOON


@pytest.mark.parametrize("names", [("ada", "ben", "cyd"), tuple(f"creator{number}" for number in range(12))], ids=len)
@on_virtual_time
async def test_a_hold_ends_when_all_that_was_begun_is_found_in_circle_s_list(
    tmp_path: Path, names: tuple[str, ...]
) -> None:
    """Circle does what it is asked and leaves each order without an answer: a page told of it until the next batch."""
    shop = await covered(tmp_path, *names)
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.LOSE_ANSWER, times=FOR_EVER))
    await shop.plan()
    await shop.batch_is("settled", seconds=HOUR)
    assert set(shop.paid().values()) == {DUE}
    assert switched(shop)[0] == "on"
    assert (await held(shop), switched(shop)[-1]) == (None, "off")
    await shop.close()


@on_virtual_time
async def test_a_hold_ends_with_the_last_order_that_is_given_up(tmp_path: Path) -> None:
    shop = await covered(tmp_path, "ada", "ben", "cyd")
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", Fault.LOSE_REQUEST, times=FOR_EVER))
    await shop.plan()

    async def is_held() -> bool:
        return await held(shop) is not None

    await shop.world.until("orders are held", is_held, seconds=SOON)
    await later(shop)

    async def given_up() -> bool:
        return set(shop.states()) == {"failed"}

    await shop.world.until("all are given up", given_up, seconds=HOUR)
    assert (await held(shop), switched(shop)) == (None, ["on", "off"])
    await shop.close()


@on_virtual_time
async def test_a_hold_ends_when_the_one_order_that_asked_is_not_due_any_more(tmp_path: Path) -> None:
    shop = await covered(tmp_path, "ada")
    refuse(shop, **FROZEN)
    await shop.plan()
    await shop.until_work_says("an operator must act")
    (sold,) = rows_of(shop.world, "SELECT stripe_payment_intent_id AS payment FROM purchases")
    shop.world.stripe.controls.refund(sold["payment"])

    async def cancelled() -> bool:
        return shop.states() == ["cancelled"] and await held(shop) is None

    await shop.world.until("the refund takes its effect", cancelled, seconds=HOUR)
    assert switched(shop) == ["on", "off"]
    await shop.close()


@on_virtual_time
async def test_while_the_batch_of_the_one_that_asks_is_paused_another_one_asks(tmp_path: Path) -> None:
    """Pausing it was all that an operator could do at night, and then what was planned after it asked once an hour."""
    shop = await covered(tmp_path, "ada")
    refuse(shop, **FROZEN)
    await shop.plan()
    await shop.until_work_says("an operator must act")
    paused = await shop.world.operator("POST", "/admin/api/batches/1/pause", {"reason": "look first"})
    assert paused.status == 200
    await shop.join("ben")
    await shop.sell("ben")
    await shop.deposited(DUE)
    await shop.plan()
    await shop.world.clock.sleep(2 * HOUR + 600)
    assert await held(shop) is not None
    shop.world.circle.faults.rules.clear()
    await shop.batch_is("settled", 2, seconds=LONGEST_PAUSE + SOON)
    assert shop.paid() == {"ada": 0, "ben": DUE}
    assert await held(shop) is None
    await shop.close()
