"""The WebSocket in front of polling: quicker and cheaper while it works, never believed, never needed."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import pytest
from solders.signature import Signature

from domain.states import WatchState
from indexer.fast_path import FastPath, Listener
from sandbox.faults import Fault, Rule
from storage import schema
from storage.engines.inline import InlineStore
from storage.treasury.chain_rows import unwatch, watch
from tests.indexer.test_tracker import send
from tests.indexer.world import SLOT_SECONDS, WS_HOST, Indexed
from tests.sandbox.solana.world import SOL
from tests.week.test_virtual_week import run_virtually

Story = Callable[[Indexed], Coroutine[Any, Any, None]]


@pytest.fixture
def play(tmp_path: Path) -> Callable[[Story], None]:
    """Runs a story on virtual time: a chain that goes on by itself, and an indexer with a WebSocket to it."""

    async def play_it(story: Story) -> None:
        store = InlineStore(tmp_path / "agent.db", synchronous="OFF")
        await store.start()
        await store.write(schema.upgrade)
        indexed = Indexed(store, living=True)
        ticking = asyncio.create_task(tick(indexed))
        try:
            await story(indexed)
        finally:
            ticking.cancel()
            await asyncio.gather(ticking, return_exceptions=True)
            await store.stop()

    return lambda story: run_virtually(play_it(story))


async def tick(indexed: Indexed) -> None:
    while True:
        indexed.world.node.tick(indexed.world.now_ms)
        await asyncio.sleep(SLOT_SECONDS)


@asynccontextmanager
async def tracking(indexed: Indexed) -> AsyncIterator[None]:
    """The tracker with its fast path, until the block ends."""
    running = asyncio.create_task(indexed.tracker.run())
    try:
        yield
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def slots(count: int) -> None:
    await asyncio.sleep(count * SLOT_SECONDS)


async def until_live(indexed: Indexed, signature: str) -> None:
    assert indexed.fast_path is not None
    for _ in range(200):
        await slots(1)
        if indexed.fast_path.covers(signature, indexed.clock.monotonic()):
            return
    raise AssertionError("the signature was never followed")


async def until(indexed: Indexed, signature: str, state: WatchState, most: int = 400) -> None:
    for _ in range(most):
        if (await indexed.fate(signature)).state is state:
            return
        await slots(1)
    raise AssertionError(f"{signature} is {(await indexed.fate(signature)).state}, not {state}")


def test_a_signature_that_is_told_of_costs_two_questions_and_is_final_at_once(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        signature, raw = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            await slots(10)
            asked = indexed.wire.count("getSignatureStatuses")
            await indexed.rpc.send(raw)
            await until(indexed, signature, WatchState.FINALIZED)
        assert indexed.wire.count("getSignatureStatuses") - asked <= 3

    play(story)


def test_what_the_socket_tells_is_asked_for_and_never_believed(play: Callable[[Story], None]) -> None:
    """A provider that tells of a landing which no node knows: nothing follows."""

    async def story(indexed: Indexed) -> None:
        signature, _ = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            for _ in range(5):
                indexed.tracker.heard(signature)
                indexed.tracker.rooted(2**40)
                await slots(3)
            assert (await indexed.fate(signature)).state is WatchState.WATCHING

    play(story)


def test_after_a_break_what_happened_meanwhile_is_asked_for(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        signature, raw = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            indexed.world.node.endpoint("/").refuses_sockets = True
            assert indexed.world.node.subscriptions.drop() == 1
            await slots(3)
            assert indexed.fast_path is not None and not indexed.fast_path.is_live
            await indexed.rpc.send(raw)
            await until(indexed, signature, WatchState.CONFIRMED)  # by the net alone
            indexed.world.node.endpoint("/").refuses_sockets = False
            await until(indexed, signature, WatchState.FINALIZED)

    play(story)


def test_a_socket_that_falls_silent_is_left_for_a_new_one(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        signature, raw = await send(indexed, land=False)
        await send(indexed, 2 * SOL, 2, land=False)  # never lands: there is always something to follow
        async with tracking(indexed):
            await until_live(indexed, signature)
            indexed.world.node.endpoints["/"].silent = True
            await indexed.rpc.send(raw)
            await slots(400)
            assert indexed.sockets.opened > 1
            assert (await indexed.fate(signature)).state is WatchState.FINALIZED  # the net found it

    play(story)


def test_a_confirmed_signature_that_a_fork_takes_back_is_followed_again(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        signature, raw = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            await indexed.rpc.send(raw)
            await until(indexed, signature, WatchState.CONFIRMED)
            indexed.world.node.fork(15)
            await until(indexed, signature, WatchState.WATCHING)
            await until_live(indexed, signature)
            await indexed.rpc.send(raw, skip_preflight=True)
            await until(indexed, signature, WatchState.FINALIZED)

    play(story)


def test_a_provider_that_takes_few_subscriptions_gets_no_more_and_the_rest_is_polled(
    play: Callable[[Story], None],
) -> None:
    async def story(indexed: Indexed) -> None:
        indexed.world.node.endpoints["/"].subscriptions_most = 3  # one of them tells the slots
        sent = [await send(indexed, SOL + number, number, land=False) for number in range(6)]
        async with tracking(indexed):
            await slots(30)
            for _, raw in sent:
                await indexed.rpc.send(raw)
            for signature, _ in sent:
                await until(indexed, signature, WatchState.FINALIZED)

    play(story)


def test_with_nothing_to_follow_no_connection_stands(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        async with tracking(indexed):
            await slots(10)
            assert indexed.sockets.opened == 0
            signature, _ = await send(indexed, land=False)
            indexed.tracker.poke()
            await until_live(indexed, signature)
            await indexed.store.write(lambda conn: unwatch(conn, signature))
            indexed.tracker.poke()
            assert indexed.fast_path is not None
            for _ in range(100):
                await slots(100)
                if not indexed.fast_path.is_live:
                    break
            assert not indexed.fast_path.is_live
            assert not indexed.world.node.subscriptions.active()

    play(story)


def test_a_signature_that_nobody_waits_for_any_more_is_unsubscribed(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        first, _ = await send(indexed, SOL, 1, land=False)
        second, _ = await send(indexed, 2 * SOL, 2, land=False)
        async with tracking(indexed):
            await until_live(indexed, first)
            await until_live(indexed, second)
            await indexed.store.write(lambda conn: unwatch(conn, first))
            indexed.tracker.poke()
            await slots(60)
        methods = [orjson.loads(text)["method"] for text in indexed.sockets.sent]
        assert methods.count("signatureUnsubscribe") == 1

    play(story)


def test_the_net_is_wide_while_the_socket_works(play: Callable[[Story], None]) -> None:
    """A signature that never lands is asked about every forty slots, not every five, and expires all the same."""

    async def story(indexed: Indexed) -> None:
        signature, _ = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            before = indexed.wire.count("getSignatureStatuses")
            await slots(100)
            assert indexed.wire.count("getSignatureStatuses") - before <= 5
            await until(indexed, signature, WatchState.EXPIRED)

    play(story)


class Quiet(Listener):
    """Hears nothing of interest."""

    def heard(self, signature: str) -> None: ...

    def rooted(self, slot: int) -> None: ...

    def follows(self) -> None: ...


class LyingSocket:
    """Tells one given text and then waits for ever."""

    def __init__(self, text: str) -> None:
        self._texts = [text]
        self.closed = False

    async def send(self, text: str) -> None: ...

    async def receive(self) -> str:
        if self._texts:
            return self._texts.pop()
        await asyncio.Event().wait()
        raise AssertionError

    async def close(self) -> None:
        self.closed = True


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"id": 1}',
        '{"id": -1, "result": 1}',
        '{"id": 1, "error": {"code": -32601}}',
        '{"method": "slotNotification"}',
        '{"method": "slotNotification", "params": {"result": {"root": -1}}}',
        '{"method": "signatureNotification", "params": {"result": {"context": {"slot": 1}}, "subscription": 1}}',
    ],
)
async def test_garbage_on_the_socket_ends_the_connection_and_nothing_else(
    quick: Callable[..., Indexed], text: str
) -> None:
    indexed = quick()
    given: list[LyingSocket] = []

    class Sockets:
        async def open(self, url: str) -> LyingSocket:
            given.append(LyingSocket(text))
            return given[-1]

        async def close(self) -> None: ...

    path = FastPath(Sockets(), WS_HOST, indexed.clock, indexed.rpc.pace)
    path.want([str(Signature.new_unique())])
    running = asyncio.create_task(path.run(Quiet()))
    for _ in range(300):
        await asyncio.sleep(0)
        if len(given) > 2:
            break
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    assert len(given) > 2
    assert given[0].closed


def test_a_lost_status_call_is_asked_again_after_the_news(play: Callable[[Story], None]) -> None:
    async def story(indexed: Indexed) -> None:
        signature, raw = await send(indexed, land=False)
        async with tracking(indexed):
            await until_live(indexed, signature)
            indexed.world.node.faults.add(Rule("getSignatureStatuses", Fault.LOSE_ANSWER, times=2))
            await indexed.rpc.send(raw)
            await until(indexed, signature, WatchState.FINALIZED)

    play(story)


def test_many_signatures_in_flight_cost_few_calls_each(play: Callable[[Story], None]) -> None:
    """The bench's figure in small: 0.05 calls for each confirmed signature at most, once polls are shared by many."""

    async def story(indexed: Indexed) -> None:
        now = indexed.clock.now()
        for number in range(300):
            raw = indexed.world.pay(1000 + number)
            signature = str(Signature.from_bytes(raw[1:65]))
            await indexed.store.write(
                lambda conn, signature=signature, number=number: watch(conn, signature, "mint", number, 2**40, now)  # type: ignore[misc]
            )
            indexed.world.send(raw, skipPreflight=True)
        async with tracking(indexed):
            for _ in range(60):
                await slots(5)
                if not indexed.tracker.open_now:
                    break
        assert indexed.tracker.open_now == 0
        assert len(indexed.wire.calls) <= 0.05 * 300

    play(story)
