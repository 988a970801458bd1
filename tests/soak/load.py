"""Stripe's events held at a rate for minutes, beside clients that are slow or stuck: what a real daemon makes of them.

Arrivals follow the clock, not the answers: a daemon that falls behind is not spared, and an answer's time counts from
the moment at which its delivery was due.
"""

import asyncio
import contextlib
import heapq
import itertools
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import psutil
from sqlalchemy import select

from agent.cli.children import running_daemon
from bench.intake_events import WEBHOOK_PATH, WEBHOOK_SECRET
from domain.states import WorkState
from sandbox.world import WorldOptions, running_world
from storage.engines.opening import open_store
from storage.tables import stripe_events
from tests.soak.sender import Answers, Connection, Delivery, clock, hand_over, new_delivery

KINDS = ("payment_intent.created", "payment_intent.payment_failed", "charge.succeeded")
"""Stored and worked on like all others; none of them needs a sale that is not there."""
DUPLICATES, OUT_OF_ORDER = 0.30, 0.05
DELAYS = (0.5, 5.0)
"""Seconds by which a duplicate follows, and by which an event is overtaken by those after it."""
CONNECTIONS = 32
STUCK = (
    b"",
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nX-Half".encode(),
    f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{{".encode(),
)
SLOW = f"POST {WEBHOOK_PATH} HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n".encode()
DRIP_SECONDS = 0.5
SAMPLE_SECONDS = 1.0
DRAIN_SECONDS = 300.0
MEGABYTE = 1 << 20


@dataclass(frozen=True, slots=True)
class Held:
    """New events a second, for so long; how many clients hang on beside them."""

    per_second: int
    seconds: float
    seed: int
    stuck: int = 60
    slow: int = 20


@dataclass(slots=True)
class Outcome:
    """`lost` were answered 200 and are not stored; `unserved` never got a 200; `left` are stored and not worked on."""

    answers: Answers = field(default_factory=Answers)
    events: int = 0
    sent: int = 0
    memory: list[int] = field(default_factory=list)
    """Resident bytes of the daemon, a sample a second."""
    lost: set[str] = field(default_factory=set)
    unserved: set[str] = field(default_factory=set)
    left: int = 0
    stored_twice: int = 0

    @property
    def seconds(self) -> float:
        """How long it was held."""
        return len(self.memory) * SAMPLE_SECONDS

    def grown_megabytes(self) -> float:
        """How much more the daemon holds in the last fifth of the time than it did in the second."""
        fifth = len(self.memory) // 5
        if fifth == 0:
            return 0.0
        before, after = sorted(self.memory[fifth : 2 * fifth]), sorted(self.memory[-fifth:])
        return (after[len(after) // 2] - before[len(before) // 2]) / MEGABYTE


async def hold(held: Held, folder: Path, goes_on: Callable[[], bool] = lambda: True) -> Outcome:
    """The load against `python main.py run`, started for it beside the sandbox's services; it ends early when it no
    longer `goes_on`."""
    options = WorldOptions(folder / "data", port_base=0, seed=held.seed, rsa_bits=2048)
    outcome = Outcome()
    async with running_world(options) as world:
        secrets = f"{world.identity.stripe_webhook_secret},{WEBHOOK_SECRET}"
        settings = world.environment | {"STRIPE_WEBHOOK_SECRET": secrets}
        async with running_daemon(settings, f"{world.agent_url}/readyz", folder / "daemon.log") as process:
            async with _hangers_on(held, world.ports.agent), _watched(process.pid, outcome):
                await _send(held, world.ports.agent, outcome, goes_on)
            await _drained(world.admin_url, world.identity.admin_token)
        await _judge(settings["DATABASE_URL"], outcome)
    return outcome


def arrivals(held: Held) -> Iterator[tuple[float, int]]:
    """When which event is delivered, in the order of time: most once, some twice, some late."""
    dice, numbers = random.Random(held.seed), itertools.count()
    waiting: list[tuple[float, int]] = []
    for number in range(round(held.per_second * held.seconds)):
        at = number / held.per_second
        while waiting and waiting[0][0] <= at:
            yield heapq.heappop(waiting)
        event = next(numbers)
        if dice.random() < OUT_OF_ORDER:
            heapq.heappush(waiting, (at + dice.uniform(*DELAYS), event))
        else:
            yield at, event
        if dice.random() < DUPLICATES:
            heapq.heappush(waiting, (at + dice.uniform(*DELAYS), event))
    while waiting:
        yield heapq.heappop(waiting)


async def _send(held: Held, port: int, outcome: Outcome, goes_on: Callable[[], bool]) -> None:
    due: asyncio.Queue[tuple[float, Delivery] | None] = asyncio.Queue()
    made: dict[int, Delivery] = {}

    async def pace() -> None:
        began = clock.monotonic()
        for at, number in itertools.takewhile(lambda _: goes_on(), arrivals(held)):
            if (ahead := began + at - clock.monotonic()) > 0:
                await asyncio.sleep(ahead)
            if number not in made:
                made[number] = new_delivery(KINDS[number % len(KINDS)])
            outcome.sent += 1
            due.put_nowait((began + at, made[number]))
        for _ in range(CONNECTIONS):
            due.put_nowait(None)

    async def one() -> None:
        connection = Connection(port)
        while (wanted := await due.get()) is not None:
            try:
                await hand_over(connection, wanted[1], outcome.answers, wanted[0])
            except (OSError, EOFError, TimeoutError):
                outcome.answers.unanswered += 1
                connection.close()
        connection.close()

    async with asyncio.TaskGroup() as group:
        group.create_task(pace())
        for _ in range(CONNECTIONS):
            group.create_task(one())
    outcome.events = len(made)
    outcome.unserved = {delivery.event_id for delivery in made.values()} - outcome.answers.acknowledged


@contextlib.asynccontextmanager
async def _hangers_on(held: Held, port: int) -> AsyncIterator[None]:
    """Clients that say half of something and wait, and clients that never come to an end; each comes back when it is
    sent away."""

    async def hang(number: int) -> None:
        while True:
            with contextlib.suppress(OSError):
                reader, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(STUCK[number % len(STUCK)])
                    await reader.read()
                finally:
                    writer.close()
            await asyncio.sleep(DRIP_SECONDS)

    async def drip() -> None:
        while True:
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                try:
                    writer.write(SLOW)
                    while not writer.is_closing():
                        writer.write(b" ")
                        await writer.drain()
                        await asyncio.sleep(DRIP_SECONDS)
                finally:
                    writer.close()
            await asyncio.sleep(DRIP_SECONDS)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(hang(number)) for number in range(held.stuck)]
        tasks += [group.create_task(drip()) for _ in range(held.slow)]
        yield
        for task in tasks:
            task.cancel()


@contextlib.asynccontextmanager
async def _watched(pid: int, outcome: Outcome) -> AsyncIterator[None]:
    """Memory samples while the block runs."""
    process = psutil.Process(pid)

    async def watch() -> None:
        while True:
            outcome.memory.append(process.memory_info().rss)
            await asyncio.sleep(SAMPLE_SECONDS)

    async with asyncio.TaskGroup() as group:
        task = group.create_task(watch())
        yield
        task.cancel()


async def _drained(admin_url: str, token: str) -> None:
    """Wait until all that is stored has been worked on, by the daemon's own word; a bound ends the patience."""
    give_up = clock.monotonic() + DRAIN_SECONDS
    async with aiohttp.ClientSession(headers={"authorization": f"Bearer {token}"}) as session:
        while clock.monotonic() < give_up:
            async with session.get(f"{admin_url}/admin/api/events/stripe?state=due") as answer:
                if answer.status == 200 and not (await answer.json())["items"]:
                    return
            await asyncio.sleep(SAMPLE_SECONDS)


async def _judge(url: str, outcome: Outcome) -> None:
    """The daemon is gone: what its database holds of what it was sent."""
    store = open_store(url)
    await store.start()
    try:
        rows = await store.read(
            lambda conn: conn.execute(select(stripe_events.c.event_id, stripe_events.c.state)).all()
        )
    finally:
        await store.stop()
    stored = [row.event_id for row in rows]
    outcome.lost = outcome.answers.acknowledged - set(stored)
    outcome.stored_twice = len(stored) - len(set(stored))
    outcome.left = sum(row.state != WorkState.DONE for row in rows)
