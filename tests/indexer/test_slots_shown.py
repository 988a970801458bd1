"""How far the chain is finalized is what endpoints say, and one of them may lie about it: no word of one blocks."""

from collections.abc import Callable
from typing import Any

import pytest
import structlog

from domain.errors import Retryable
from indexer.rpc.endpoint import LAG_SLOTS_MOST
from indexer.rpc.slot_memory import CLAIM_GOOD_SECONDS, JUMP_SLOTS, STAND_SECONDS
from sandbox.faults import Fault, Rule
from tests.indexer.world import SLOT_SECONDS, Indexed
from tests.sandbox.solana.world import SOL

Quick = Callable[..., Indexed]


async def look(indexed: Indexed) -> None:
    await indexed.rpc.survey(lambda node: node.get_slot())


def true_slot(indexed: Indexed) -> int:
    return int(indexed.world.rpc("getSlot", {"commitment": "finalized"}))


def shows(indexed: Indexed, path: str, slot: Callable[[], int]) -> None:
    """From now on an endpoint tells of the chain's truth, from slots of its own."""

    def lie(method: str) -> Callable[[list[Any]], Any]:
        def told(params: list[Any]) -> Any:
            if method == "getSlot":
                return slot()
            asked = [*params[:-1], {key: value for key, value in params[-1].items() if key != "minContextSlot"}]
            return indexed.world.rpc(method, *asked) | {"context": {"slot": slot()}}

        return told

    for method in ("getSlot", "getBalance", "getMultipleAccounts"):
        indexed.world.node.endpoints[path].lies[method] = lie(method)


async def test_one_endpoint_that_lies_about_the_slot_does_not_make_the_others_look_old(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    await indexed.rpc.survey(lambda node: node.get_slot())
    seen = indexed.rpc.finalized_slot
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: 2**47
    assert await indexed.rpc.get_slot() == seen
    assert indexed.rpc.finalized_slot == seen > 0
    assert (await indexed.rpc.get_balance(indexed.wallet)).slot == seen
    indexed.world.node.endpoints["/a"].lies.clear()
    indexed.world.node.endpoints["/b"].lies["getSlot"] = lambda _: 2**46
    await indexed.rpc.survey(lambda node: node.get_slot())
    assert indexed.rpc.finalized_slot == seen, "and what it said once is no witness of another's lie"


async def test_a_leap_of_the_chain_counts_once_a_second_endpoint_shows_it(quick: Quick) -> None:
    """As after a machine that slept."""
    indexed = quick("/a", "/b")
    await indexed.rpc.survey(lambda node: node.get_slot())
    leapt = indexed.rpc.finalized_slot + 100_000
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: leapt
    indexed.world.node.endpoints["/b"].lies["getSlot"] = lambda _: leapt + 1
    assert await indexed.rpc.get_slot() == leapt + 1
    assert indexed.rpc.finalized_slot == leapt + 1


async def test_an_endpoint_that_shows_what_cannot_be_is_counted_told_and_asked_last(quick: Quick) -> None:
    indexed = quick("/a", "/b", "/c")
    await look(indexed)
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: 2**47
    with structlog.testing.capture_logs() as logs:
        for _ in range(3):
            await look(indexed)
    assert [line["event"] for line in logs] == ["rpc_slot_impossible"], "once, not at each answer"
    assert indexed.disbelieved == [indexed.rpc.health()[0].label] * 3
    assert [one.is_well for one in indexed.rpc.health()] == [False, True, True]
    calls = indexed.rpc.health()[0].calls
    await indexed.rpc.get_balance(indexed.wallet)
    assert indexed.rpc.health()[0].calls == calls
    indexed.world.node.endpoints["/a"].lies.clear()
    await look(indexed)
    assert indexed.rpc.health()[0].is_well, "and it counts again as soon as it tells the truth"


async def test_one_endpoint_that_always_runs_ahead_keeps_nothing_from_being_read_or_proven(quick: Quick) -> None:
    """It never said what can't be, and everything the others said was too old for what it had said last."""
    indexed = quick("/a", "/b")
    await look(indexed)
    lead = JUMP_SLOTS // 2
    shows(indexed, "/a", lambda: true_slot(indexed) + lead)
    for _ in range(10):
        await indexed.rpc.get_slot()
        await indexed.clock.sleep(1.0)
    assert indexed.disbelieved == []
    assert indexed.rpc.finalized_slot <= true_slot(indexed) + LAG_SLOTS_MOST
    assert await indexed.rpc.agree_absent(str(indexed.world.bob.pubkey()))
    for method in ("getBalance", "getMultipleAccounts"):
        indexed.world.node.endpoints["/a"].lies[method] = lambda _: None
    lead = LAG_SLOTS_MOST // 2
    begun = indexed.clock.monotonic()
    for _ in range(5):
        await indexed.rpc.get_slot()
        assert (await indexed.rpc.get_balance(indexed.wallet)).amount == 100 * SOL
    assert indexed.clock.monotonic() - begun <= 5 * LAG_SLOTS_MOST * SLOT_SECONDS, "the other one is waited for"


async def test_with_one_endpoint_a_single_absurd_slot_is_forgotten(quick: Quick) -> None:
    """It was remembered until a restart, and no true answer counted any more."""
    indexed = quick("/a")
    await indexed.rpc.get_slot()
    indexed.world.node.faults.add(absurd())
    with pytest.raises(Retryable, match="where no other endpoint is"):
        await indexed.rpc.get_slot()
    assert await indexed.rpc.get_slot() == true_slot(indexed)


async def test_with_one_endpoint_an_absurd_first_slot_is_taken_back_by_the_next_look(quick: Quick) -> None:
    indexed = quick("/a")
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: 2**47
    await indexed.rpc.get_slot()
    indexed.world.node.endpoints["/a"].lies.clear()
    with pytest.raises(Retryable, match="Minimum context slot"):
        await indexed.rpc.get_balance(indexed.wallet)
    await indexed.rpc.look_around()
    assert (await indexed.rpc.get_balance(indexed.wallet)).slot == true_slot(indexed)


async def test_with_one_endpoint_a_leap_counts_once_it_has_stood_by_it(quick: Quick) -> None:
    """A machine slept, and its monotonic clock with it."""
    indexed = quick("/a")
    await indexed.rpc.get_slot()
    indexed.world.node.slots.skip(50_000)
    with pytest.raises(Retryable, match="where no other endpoint is"):
        await indexed.rpc.get_slot()
    await indexed.clock.sleep(STAND_SECONDS / 2)
    with pytest.raises(Retryable, match="where no other endpoint is"):
        await indexed.rpc.get_slot()
    await indexed.clock.sleep(STAND_SECONDS / 2)
    assert await indexed.rpc.get_slot() == true_slot(indexed) == indexed.rpc.finalized_slot


async def test_after_a_long_silence_the_chain_may_be_as_far_as_time_allows(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    await look(indexed)
    await indexed.clock.sleep(3600.0)
    assert await indexed.rpc.get_slot() == true_slot(indexed)
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: true_slot(indexed) + 3 * round(3600 / SLOT_SECONDS)
    assert await indexed.rpc.get_slot() == true_slot(indexed), "but no further"
    assert len(indexed.disbelieved) == 1


async def test_what_was_shown_before_a_long_silence_is_measured_from_when_it_was_shown(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    indexed.world.node.endpoints["/a"].lag_slots = 10
    await look(indexed)
    indexed.world.node.endpoints["/a"].lag_slots = 0
    await indexed.clock.sleep(600.0)
    for _ in range(3):
        assert await indexed.rpc.get_slot() == true_slot(indexed)
        await indexed.clock.sleep(10.0)
    assert indexed.disbelieved == []


async def test_what_was_not_believed_long_ago_is_no_witness(quick: Quick) -> None:
    indexed = quick("/a", "/b")
    await look(indexed)
    far = indexed.rpc.finalized_slot + 10**6
    indexed.world.node.endpoints["/a"].lies["getSlot"] = lambda _: far
    await look(indexed)
    indexed.world.node.endpoints["/a"].lies.clear()
    await indexed.clock.sleep(CLAIM_GOOD_SECONDS + 1)
    indexed.world.node.endpoints["/b"].lies["getSlot"] = lambda _: far
    assert await indexed.rpc.get_slot() == true_slot(indexed)


def absurd() -> Rule:
    return Rule("getSlot", Fault.STATUS, times=1, status=200, body=b'{"jsonrpc":"2.0","id":2,"result":140737488355328}')
