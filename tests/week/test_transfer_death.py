"""The daemon dies at a commit or a call of a transfer and is started again: the creator is paid, once.

The points are those of the transfer's own step: before and after each of its commits and each of its calls.
"""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import structlog

from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Fuse, Market, MortalWorld

STEP = "transfer:"
"""How the worker marks what a transfer's step does."""
POINTS_LEAST = 20
"""A transfer's step passes more; fewer would mean that the points are not seen."""


class StepFuse(Fuse):
    """Blows at a point of one step only: at its number, or where a condition holds first. `job` begins the step's mark
    in the log."""

    def __init__(self, job: str) -> None:
        super().__init__()
        self._job = job
        self.when: Callable[[str], bool] = lambda where: False

    def blows(self, where: str) -> bool:
        if not str(structlog.contextvars.get_contextvars().get("job", "")).startswith(self._job):
            return False
        if self.is_armed and self.when(where):
            self.is_blown = True
        return self.is_blown or super().blows(where)


def market(folder: Path) -> tuple[Market, MortalWorld, StepFuse]:
    world = MortalWorld(folder)
    world.fuse = fuse = StepFuse(STEP)
    return Market(world), world, fuse


def at_circle(shop: Market) -> list[Any]:
    """The outbound transfers that Circle knows."""
    return [one for one in shop.world.circle.custody.transactions.all() if one.ref_id]


async def paid_once(shop: Market, sales: int, batch_id: int) -> None:
    await shop.batch_is("settled", batch_id)
    assert shop.paid() == {"ada": sales * DUE}
    assert len(outflows(shop.world)) == sales
    assert len(at_circle(shop)) == sales
    attempts = rows_of(shop.world, "SELECT state FROM transfer_attempts")
    assert [one["state"] for one in attempts] == ["finalized"] * sales


Moment = Callable[[Market, str], bool]
MOMENTS: dict[str, Moment] = {
    "Circle has the order and its answer is lost": lambda shop, where: where == "after call" and bool(at_circle(shop)),
    "the chain has paid and it is not stored yet": lambda shop, where: (
        where == "before commit" and shop.paid()["ada"] == DUE
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
@on_virtual_time
async def test_a_death_in_the_middle_of_a_transfer_pays_once(moment: str, tmp_path: Path) -> None:
    shop, world, fuse = market(tmp_path)
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    fuse.when = partial(MOMENTS[moment], shop)
    fuse.arm(None)
    batch = await shop.plan()
    assert batch is not None
    assert await world.died(), "the moment never came"
    await world.start()
    await paid_once(shop, 1, batch["id"])
    await shop.close()


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@on_virtual_time
async def test_a_death_at_every_point_of_a_transfer_pays_once(tmp_path: Path) -> None:
    shop, world, fuse = market(tmp_path)
    await shop.open("ada")
    sales = 0
    while True:
        sales += 1
        await shop.sell()
        await shop.deposited(DUE)
        fuse.arm(sales)
        batch = await shop.plan()
        assert batch is not None
        died = await world.died(seconds=60)
        await world.start()
        await paid_once(shop, sales, batch["id"])
        if not died:
            break
    assert sales > POINTS_LEAST
    await shop.close()
