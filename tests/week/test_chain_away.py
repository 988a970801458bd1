"""Solana away, behind or another cluster: said in one line, nothing concluded, and all goes on when it is back."""

import json
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from agent import startup
from agent.identity import StartRefused
from indexer.guard import GENESIS_HASHES
from sandbox.faults import Fault, Rule
from storage.tables import watched_signatures
from tests.logged import logged
from tests.week.people import eventually, gallery, on_virtual_time, purchase_becomes
from tests.week.virtual_world import VirtualWorld


async def readiness(world: VirtualWorld) -> dict[str, Any]:
    answer = await world.call("GET", "/readyz")
    assert answer.status == 200, answer
    body: dict[str, Any] = answer.body
    return body


async def is_well(world: VirtualWorld) -> bool:
    return bool((await readiness(world)) == {"status": "ok", "why": []})


def cut_off(world: VirtualWorld) -> Rule:
    """No request reaches a node any more."""
    return world.node.faults.add(Rule("POST /", Fault.LOSE_REQUEST, times=1_000_000))


async def states(world: VirtualWorld) -> list[str]:
    assert world.daemon is not None
    query = select(watched_signatures.c.state).order_by(watched_signatures.c.created_at)
    return await world.daemon.ports.store.read(lambda conn: list(conn.scalars(query)))


@on_virtual_time
async def test_while_no_node_answers_nothing_is_concluded_and_readiness_says_why(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    await eventually(world, "all is well", lambda: is_well(world))
    world.node.switches.land_after_slots = 20
    await shop.pay()

    async def sent() -> bool:
        return bool(await states(world))

    await eventually(world, "the mint is sent", sent)
    fault = cut_off(world)
    world.node.subscriptions.drop()
    await world.clock.sleep(150)  # several times a blockhash's life
    told = await readiness(world)
    assert told["status"] == "degraded"
    assert told["why"][0].startswith("no RPC endpoint has answered for")
    assert "rpc.test" not in json.dumps(told)
    assert await states(world) == ["watching"]
    fault.times = 0
    await purchase_becomes(shop, 1, status="completed", nft_minted=True)
    await eventually(world, "all is well again", lambda: is_well(world))
    assert await states(world) == ["finalized"]
    await world.close()


@on_virtual_time
async def test_a_daemon_that_starts_without_a_node_says_so_once_and_waits(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    fault = cut_off(world)
    with logged(startup) as told_lines:
        await world.start()
        await world.clock.sleep(60)
    told = await readiness(world)
    assert told["status"] == "degraded"
    assert told["why"][-1] == "nothing is signed or sent yet: the start gate waits"
    lines = [line["why"] for line in told_lines if line["event"] == "the outside world can't be checked yet"]
    assert lines and all("SOLANA_RPC_URLS" in line for line in lines)
    assert len(lines) <= 3  # one for each reason, not one a second
    fault.times = 0
    await eventually(world, "all is well", lambda: is_well(world))
    await world.close()


@on_virtual_time
async def test_a_daemon_that_starts_without_a_node_asks_ever_less_often_and_still_begins_soon(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    fault = world.node.faults.add(Rule("POST /", Fault.STATUS, times=1_000_000, status=503))
    await world.start()

    async def asked_within(seconds: float) -> int:
        before = fault.times
        await world.clock.sleep(seconds)
        return before - fault.times

    soon = await asked_within(60)
    await world.clock.sleep(1_800)
    later = await asked_within(600)
    assert 0 < later < 3 * soon  # in ten times as long
    fault.times = 0
    await eventually(world, "all is well", lambda: is_well(world), seconds=60)
    await world.close()


@on_virtual_time
async def test_a_node_of_another_cluster_refuses_the_start_in_one_line_that_names_the_setting(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    world.node.genesis_hash = GENESIS_HASHES["mainnet"]
    await world.start()
    with pytest.raises(BaseExceptionGroup) as refused:
        for _ in range(100):
            await world.clock.sleep(1)
            world.check_alive()
    (found,) = refused.value.subgroup(StartRefused).exceptions  # type: ignore[union-attr]
    while isinstance(found, BaseExceptionGroup):
        (found,) = found.exceptions
    assert str(found).startswith("SOLANA_RPC_URLS: rpc1")
    assert "\n" not in str(found)
    await world.abandon()
