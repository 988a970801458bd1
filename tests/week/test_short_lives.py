"""Daemons that die before their start gate could open: what each has waited for, the next one has behind it."""

import json
from pathlib import Path

import pytest

from agent.late_landings import LATE_LANDING_BLOCKS
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.test_before_the_gate_opens import gate_opens, group_is_sent
from tests.week.test_restore_drill import drill
from tests.week.virtual_world import VirtualWorld

UNMINTED = 30


async def opens_within(world: VirtualWorld, seconds: float) -> bool:
    """One life of so long; killed unless its gate has opened."""
    await world.start()
    assert world.daemon is not None
    gate, end = world.daemon.engine.gate, world.clock.monotonic() + seconds
    while not gate.is_open and world.clock.monotonic() < end:
        await world.clock.sleep(0.2)
    if not gate.is_open:
        await world.process.kill()
    return gate.is_open


async def unminted(shop: Market) -> None:
    """Sales that come in while the gate is closed."""
    await shop.sell(*["ada"] * UNMINTED, minted=False)
    found = rows_of(shop.world, "SELECT id FROM purchases WHERE paid_at IS NOT NULL AND minted_at IS NULL")
    assert len(found) == UNMINTED


@pytest.mark.parametrize("seconds", [9, 12, 20])
@on_virtual_time
async def test_lives_of_a_few_seconds_wait_out_together_what_may_still_land(seconds: int, tmp_path: Path) -> None:
    """Each began the wait anew, and none of them lived to its end."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await world.process.kill()
    begun = world.node.slots.current()
    await world.start()
    await unminted(shop)
    await world.process.kill()
    lives = 1
    while not await opens_within(world, seconds):
        lives += 1
        assert lives < 30
        await world.clock.sleep(1)
    assert lives > 1
    assert world.node.slots.current() - begun > LATE_LANDING_BLOCKS
    await shop.close()


@on_virtual_time
async def test_what_one_life_has_looked_up_after_the_wait_the_next_one_does_not_look_up_again(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await world.process.kill()
    await world.start()
    await unminted(shop)
    await world.process.kill()
    await world.start()

    async def looked() -> bool:
        found = rows_of(world, "SELECT value FROM cursors WHERE name = 'start_gate_looked'")
        return bool(found) and len(json.loads(found[0]["value"])) == UNMINTED

    await world.until("all are looked for", looked)
    await world.process.kill()
    await world.start()
    await gate_opens(world)
    assert world.daemon is not None
    assert b'step_runs_total{kind="mint_look"' not in world.daemon.metrics.render()
    await shop.close()


@pytest.mark.parametrize("again", [False, True], ids=["once", "restored-twice"])
@on_virtual_time
async def test_a_backup_that_was_taken_in_the_middle_of_a_wait_has_waited_nothing_for_what_was_sent_since(
    again: bool, tmp_path: Path
) -> None:
    """The gate opened after the backup, and what was signed then lands after it was put back."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    await world.clock.sleep(8)
    assert world.daemon is not None and not world.daemon.engine.gate.is_open
    await story.back_up()
    await gate_opens(world)
    world.node.switches.land_after_slots = 145
    assert await shop.plan() is not None
    await group_is_sent(world)
    world.node.switches.land_after_slots = 0
    await story.put_back()
    if again:
        await story.put_back()
    assert await shop.plan() is not None
    await gate_opens(world)
    await world.clock.sleep(60)
    assert len(outflows(world)) == 1
    assert shop.paid()["ada"] == DUE
    await shop.close()
