"""The daemon dies at a commit or a call of a conversion and is started again: the USDC comes once."""

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import structlog

from domain.keys import KEY_TRUSTED_FOR
from sandbox.faults import Fault
from simulator.world import DATABASE
from storage.recovery.backups import copy_sqlite
from tests.week.checker import rows_of
from tests.week.mint_account import ON, USDC, Converting
from tests.week.people import on_virtual_time
from tests.week.selling import Fuse, MortalWorld, skip_to
from tests.week.virtual_world import MONDAY

STEP = "conversion:"
"""How the worker marks what an order's step does."""
POINTS_LEAST = 15
"""An order's steps pass more; fewer would mean that the points are not seen."""


class ConversionFuse(Fuse):
    """Blows at a point of an order's step only: at its number, or where a condition holds first."""

    def __init__(self) -> None:
        super().__init__()
        self.when: Callable[[str], bool] = lambda where: False

    def blows(self, where: str) -> bool:
        if not str(structlog.contextvars.get_contextvars().get("job", "")).startswith(STEP):
            return False
        if self.is_armed and self.when(where):
            self.is_blown = True
        return self.is_blown or super().blows(where)


def mortal(folder: Path) -> tuple[Converting, MortalWorld, ConversionFuse]:
    world = MortalWorld(folder, 1, MONDAY, **ON)
    world.fuse = fuse = ConversionFuse()
    return Converting(world), world, fuse


MOMENTS: dict[str, Callable[[Converting, str], bool]] = {
    "Circle Mint has the order and its answer is lost": lambda shop, where: (
        where == "after call" and bool(shop.transfers)
    ),
    "Circle Mint calls it complete and that is not stored yet": lambda shop, where: (
        where == "before commit" and any(one.status == "complete" for one in shop.transfers)
    ),
}


@pytest.mark.parametrize("moment", MOMENTS)
@on_virtual_time
async def test_a_death_in_the_middle_of_a_conversion_brings_it_once(moment: str, tmp_path: Path) -> None:
    shop, world, fuse = mortal(tmp_path)
    await shop.open("ada")
    shop.wire(300 * USDC)
    fuse.when = lambda where: MOMENTS[moment](shop, where)
    fuse.arm(None)
    await shop.ordered("100.00")
    assert await world.died(600), "the moment never came"
    await world.start()
    await shop.order_is("done")
    assert len(shop.transfers) == 1 and shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@on_virtual_time
async def test_a_death_at_every_point_of_a_conversion_brings_it_once(tmp_path: Path) -> None:
    shop, world, fuse = mortal(tmp_path)
    world.settings = world.settings.model_copy(update={"agent_cap_conversion_day": 10_000 * USDC})
    await shop.open("ada")
    shop.wire(1_000 * USDC)
    orders = 0
    while True:
        orders += 1
        fuse.arm(orders)
        order_id = await shop.ordered("10.00")
        died = await world.died(seconds=400)
        await world.start()
        await shop.order_is("done", order_id)
        assert len(shop.transfers) == orders and shop.deposits() == [(10 * USDC, 0)] * orders
        if not died:
            break
    assert orders > POINTS_LEAST
    await shop.close()


@on_virtual_time
async def test_an_order_that_was_about_to_be_sent_when_the_backup_was_taken_is_the_one_that_circle_mint_lists(
    tmp_path: Path,
) -> None:
    """By the backup it was never sent, so its key was used as if it were new, half a day after Circle forgot it."""
    shop, world, fuse = mortal(tmp_path)
    await shop.open("ada")
    shop.wire(300 * USDC)
    about_to_be_sent = "SELECT id FROM conversion_orders WHERE state = 'sending' AND sent_at IS NULL"
    fuse.when = lambda where: where == "before commit" and bool(rows_of(world, about_to_be_sent))
    fuse.arm(None)
    await shop.ordered("100.00")
    assert await world.died(600), "the moment never came"
    copy_sqlite(world.folder / DATABASE, tmp_path / "backup.db")
    assert not shop.transfers
    await world.start()
    await shop.order_is("done")
    await world.stop()
    for file in world.folder.glob(f"{DATABASE}*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", world.folder / DATABASE)
    await skip_to(world, world.clock.now() + KEY_TRUSTED_FOR + timedelta(hours=1))
    shop.mint.replays._kept.clear()  # no key is kept for ever
    await world.start()
    await shop.order_is("done")
    assert len(shop.transfers) == 1 and shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@on_virtual_time
async def test_a_restored_order_is_not_sent_again_for_a_deposit_that_an_announced_conversion_would_explain(
    tmp_path: Path,
) -> None:
    """Its deposit was read from the chain before Circle Mint's list was, and went to what somebody had announced."""
    shop, world, _ = mortal(tmp_path)
    await shop.open("ada")
    shop.wire(150 * USDC)
    await shop.ordered("50.00")
    await shop.order_is("done")
    await world.operator("POST", "/admin/api/conversions", {"usd_cents": 500_000, "note": "by bank"})
    order_id = await shop.ordered("120.00")
    await shop.until_order_says("20.00 USD are still to be wired")
    await world.stop()
    copy_sqlite(world.folder / DATABASE, tmp_path / "backup.db")
    await world.start()
    shop.wire(20 * USDC)
    await shop.order_is("done", order_id)
    await world.stop()
    for file in world.folder.glob(f"{DATABASE}*"):
        file.unlink()
    shutil.copy(tmp_path / "backup.db", world.folder / DATABASE)
    shop.wire(300 * USDC)
    shop.mint.replays._kept.clear()
    shop.fault(Fault.LOSE_REQUEST, "GET /v1/businessAccount/transfers", times=4)
    await world.start()
    await shop.order_is("done", order_id)
    assert len(shop.transfers) == 2
    assert shop.deposits() == [(50 * USDC, 0), (120 * USDC, 0)]
    await shop.close()
