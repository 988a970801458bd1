"""That what goes wrong is counted where it meets something, and waits for that."""

import asyncio

from ports.virtual import VirtualLoop
from sandbox.solana_node import Endpoint
from simulator.life import Life
from simulator.strikes import Answers, Tally
from tests.sandbox.solana.world import SOL, World

SECOND = "/rpc2"


def test_only_answers_that_an_honest_endpoint_would_not_give_are_strikes() -> None:
    world = World()
    endpoint = world.node.endpoints[SECOND] = Endpoint(lag_slots=10)
    answers = Answers(world.node, endpoint)
    answers.begin()
    bob, level = str(world.bob.pubkey()), {"commitment": "processed"}
    world.rpc("getSlot", level, path=SECOND)
    world.rpc("getBalance", bob, level, path=SECOND)
    assert not answers.tally.met.is_set()
    signature = world.send(world.pay(SOL))
    world.rpc("getBalance", bob, level, path=SECOND)
    world.status(signature, path=SECOND)
    assert (answers.tally.count, answers.tally.met.is_set()) == (2, True)
    world.pass_slots(43)
    world.rpc("getBalance", bob, level, path=SECOND)
    answers.end()
    assert (answers.tally.count, endpoint.on_answer) == (2, [])


def test_transactions_that_are_lost_or_land_late_are_told_of() -> None:
    world, tally = World(), Tally()
    deaf = tally.of(world.node.on_disturbed)
    world.send(world.pay(SOL))
    assert tally.count == 0
    world.node.switches.drop_sends = 1
    world.send(world.pay(SOL))
    world.node.switches.land_after_slots = 3
    world.send(world.pay(SOL))
    deaf()
    world.send(world.pay(SOL))
    assert tally.count == 2


def test_something_is_done_at_the_next_point_that_fits_and_a_death_calls_it_off() -> None:
    done: list[str] = []

    async def live() -> None:
        life = Life()
        first = asyncio.create_task(life.at_next("before call", lambda: True, lambda: done.append("called")))
        never = asyncio.create_task(life.at_next(None, lambda: False, lambda: done.append("never")))
        await asyncio.sleep(0)
        await life.reach("before commit")
        assert done == []
        await life.reach("before call")
        await life.reach("before call")
        life.die()
        assert (await first, await never, await life.at_next(None, lambda: True)) == (True, False, False)

    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        runner.run(live())
    assert done == ["called"]
