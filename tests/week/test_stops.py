"""What a person, or an unexplained outflow, stops is not looked at in vain, and goes on at once when that ends."""

from pathlib import Path
from typing import Any

import pytest

from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import VirtualWorld

CREATORS = ("ada", "ben", "cyd")
HALF_AN_HOUR, SOON = 1800, 100
SENDING = "SELECT lease_epoch FROM jobs WHERE kind IN ('transfer', 'pack', 'packed_sign', 'upkeep')"
RAILS = pytest.mark.parametrize("rail", ["circle", "solana"])


class Stopped(Market):
    async def sold(self) -> None:
        await self.open(*CREATORS)
        await self.sell()
        await self.deposited((len(CREATORS) + 1) * DUE)

    async def ask(self, path: str, **body: Any) -> None:
        answer = await self.world.operator("POST", f"/admin/api/{path}", body)
        assert answer.status == 200, answer

    async def waits(self, why: str) -> None:
        """It says what stops it, is looked at no more, and nothing is paid."""
        await self.until_work_says(why)
        await self.world.clock.sleep(SOON)
        before = [row["lease_epoch"] for row in rows_of(self.world, SENDING)]
        await self.world.clock.sleep(HALF_AN_HOUR)
        assert before and [row["lease_epoch"] for row in rows_of(self.world, SENDING)] == before
        assert self.paid() == dict.fromkeys(CREATORS, 0)

    async def goes_on(self, *accepted: str) -> None:
        await self.batch_is("settled", seconds=SOON)
        assert self.paid() == dict.fromkeys(CREATORS, DUE)
        await self.close(accepted)


@RAILS
@on_virtual_time
async def test_sends_and_a_batch_that_are_paused_wait_without_looks_and_go_on_at_once_when_they_are_resumed(
    rail: str, tmp_path: Path
) -> None:
    shop = Stopped(VirtualWorld(tmp_path, AGENT_RAIL=rail))
    await shop.sold()
    await shop.ask("sends/pause", reason="look first")
    await shop.plan()
    await shop.waits("all sends are paused: look first")
    await shop.ask("batches/1/pause", reason="look at this too")
    await shop.ask("sends/resume")
    if rail == "circle":  # the other one makes accounts meanwhile, which no batch stops
        await shop.waits("its batch is paused: look at this too")
    await shop.world.stop()
    await shop.world.start()
    await shop.waits("its batch is paused: look at this too")
    await shop.ask("batches/1/resume")
    await shop.goes_on()


@RAILS
@on_virtual_time
async def test_what_an_unexplained_outflow_stops_waits_without_looks_and_goes_on_at_once_when_it_is_explained(
    rail: str, tmp_path: Path
) -> None:
    shop = Stopped(VirtualWorld(tmp_path, AGENT_RAIL=rail))
    await shop.sold()
    await shop.world.circle_transfer("1")
    await shop.world.clock.sleep(SOON)
    await shop.plan()
    await shop.waits("USDC left the platform wallet unexplained")
    (found,) = (await shop.world.operator("GET", "/admin/api/outflows")).body["items"]
    await shop.ask(f"outflows/{found['id']}/accept", reason="moved by hand")
    await shop.goes_on(found["signature"])
