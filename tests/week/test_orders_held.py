"""While Circle takes no orders few are begun: the others wait untouched, one asks, and its answer lets all go on."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.test_unanswered_orders import HOUR, ORDER, SOON, orders
from tests.week.virtual_world import VirtualWorld

CREATORS = tuple(f"creator{number}" for number in range(40))
FEW = 3
OUT_MOST = 8
"""Orders that may be out when the third has ended without an answer, however long each is left to wait."""
ANOTHER_AN_HOUR = 2
MORE_THAN_LEAVE = 20
IN_WORK = 32
"""As many as are worked on at once, when the first of them meets Circle's silence."""
A_NEW_ONE = 32
"""Tries of an order in its first hour."""
SILENCES = {
    "503": {"fault": Fault.STATUS, "status": 503, "body": b"<html>unavailable</html>"},
    "the request is lost": {"fault": Fault.LOSE_REQUEST},
    "no answer in time": {"fault": Fault.LOSE_REQUEST, "delay_ms": 60_000},
}


async def silent(folder: Path, how: str, creators: Sequence[str] = CREATORS) -> Market:
    """A batch of many payouts, of which Circle takes none; for an hour."""
    shop = Market(VirtualWorld(folder, AGENT_TREASURY_POLL_MS="300000", AGENT_CIRCLE_LIMITS="real"))
    await shop.open(*creators)
    await shop.sell()
    await shop.deposited(len(creators) * DUE)
    silence: Any = SILENCES[how]
    shop.world.circle.faults.add(Rule(f"POST {ORDER}", times=1_000_000, **silence))
    await shop.plan()
    await shop.world.clock.sleep(HOUR)
    return shop


def attempts(shop: Market) -> list[Any]:
    return rows_of(shop.world, "SELECT * FROM transfer_attempts ORDER BY id")


def left(shop: Market) -> int:
    """Orders that may have reached Circle."""
    return sum(one["first_sent_at"] is not None for one in attempts(shop))


def looks(shop: Market) -> int:
    return sum(
        row["lease_epoch"] for row in rows_of(shop.world, "SELECT lease_epoch FROM jobs WHERE kind = 'transfer'")
    )


def unknown(shop: Market) -> dict[str, int]:
    """How often each transfer of unknown outcome was taken up."""
    sql = "SELECT subject, lease_epoch FROM jobs WHERE kind = 'transfer' AND unknown_since IS NOT NULL"
    return {row["subject"]: row["lease_epoch"] for row in rows_of(shop.world, sql)}


async def held(shop: Market) -> str | None:
    status: Any = (await shop.world.operator("GET", "/admin/api/status")).body
    return None if status["orders_held"] is None else str(status["orders_held"])


async def all_go_on(shop: Market) -> None:
    shop.world.circle.faults.rules.clear()
    await shop.batch_is("settled", seconds=2 * SOON + 300)
    assert set(shop.paid().values()) == {DUE}
    assert [one["attempt"] for one in attempts(shop)] == [1] * len(shop.creators)
    assert await parked(shop.world) == []
    assert await held(shop) is None


@on_virtual_time
async def test_orders_wait_untouched_while_circle_answers_none_and_all_leave_with_the_first_that_it_answers(
    tmp_path: Path,
) -> None:
    shop = await silent(tmp_path, "503")
    assert (FEW <= left(shop) <= FEW + 2, len(attempts(shop)) <= IN_WORK + FEW) == (True, True)
    assert set(shop.states()) == {"pending_distribution"}
    assert "HTTP 503" in (await held(shop) or "")
    asked, looked = orders(shop), looks(shop)
    await shop.world.clock.sleep(HOUR)
    assert 11 <= orders(shop) - asked <= A_NEW_ONE + 12 + FEW * 4
    assert looks(shop) - looked <= len(CREATORS) + A_NEW_ONE + 12 + FEW * 4
    await all_go_on(shop)
    history = rows_of(shop.world, "SELECT after FROM state_history WHERE machine = 'switch' ORDER BY id")
    assert [row["after"] for row in history] == ["on", "off"]
    await shop.close()


@pytest.mark.parametrize("how", ["the request is lost", "no answer in time"])
@on_virtual_time
async def test_orders_are_held_after_a_start_too_and_an_order_that_was_sent_is_looked_for_all_the_while(
    tmp_path: Path, how: str
) -> None:
    shop = await silent(tmp_path, how, CREATORS[:MORE_THAN_LEAVE])
    world = shop.world
    begun = left(shop)
    assert FEW <= begun <= OUT_MOST + ANOTHER_AN_HOUR
    await world.stop()
    await world.start()
    before = unknown(shop)
    assert before
    await world.clock.sleep(HOUR + SOON)
    assert await held(shop) is not None
    assert left(shop) <= begun + 3
    assert all(unknown(shop)[subject] > looked for subject, looked in before.items())
    await all_go_on(shop)
    await shop.close()
