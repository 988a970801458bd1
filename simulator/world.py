"""The whole system in one event loop: the outside world, the daemons on one database file, and the wires between."""

import asyncio
import json
import random
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from config.settings import Settings, load_settings
from ports.virtual import VirtualClock, VirtualLoop
from sandbox.service import Delivery, Service
from simulator.line import Line
from simulator.outside import ADMIN_TOKEN, AGENT_URL, WS_URL, Outside
from simulator.process import Process, Surroundings, json_headers
from simulator.wire import ServiceSockets, ServiceTransport
from storage import schema
from storage.engines.inline import InlineStore
from storage.engines.sqlite import open_writer

MONDAY = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)
DATABASE = "agent.db"


@dataclass(slots=True)
class Answer:
    """What a client of the daemon got."""

    status: int
    body: Any


class World:
    """Build inside a running VirtualLoop. `processes[0]` is the daemon; more of them share the database.

    `settings` are environment variables beside those of `Outside.environment`.
    """

    def __init__(
        self,
        folder: Path,
        seed: int = 1,
        start: datetime = MONDAY,
        settings: Mapping[str, str] | None = None,
        *,
        names: tuple[str, ...] = ("daemon",),
        nudge_slowness: int = 1,
    ) -> None:
        self.folder, self.nudge_slowness = folder, nudge_slowness
        self.clock = VirtualClock(start)
        rng = random.Random(seed)
        self.ids_rng = random.Random(rng.getrandbits(64))
        self.outside = Outside(self.clock, rng)
        self.node, self.circle, self.stripe = self.outside.node, self.outside.circle, self.outside.stripe
        self.platform = self.outside.platform
        self.transport = ServiceTransport(self.outside.by_url, self.clock.sleep)
        self.sockets = ServiceSockets({WS_URL: self.node})
        self.line = Line()
        self.environment = {**self.outside.environment(), **(settings or {})}
        self.settings: Settings = load_settings(self.environment)
        self.processes = [self.make_process(name, len(names) == 1) for name in names]
        self._under_way: set[asyncio.Task[None]] = set()
        self._loop = asyncio.get_running_loop()
        if isinstance(self._loop, VirtualLoop):
            self._loop.before_waiting(lambda: self.outside.act(self._carry))

    def make_process(self, name: str, one_process: bool) -> Process:
        """A daemon of this world, not started."""
        around = Surroundings(
            self.clock,
            self.transport,
            self.ids_rng,
            lambda: self.open_store(name, one_process),
            self.nudge_slowness,
            self.committed,
            self.sockets,
            self.line,
        )
        return Process(name, around, self.settings)

    def open_store(self, name: str, one_process: bool) -> InlineStore:
        """The database that the next start of a process uses. Only processes die here, never the machine: nothing is
        synced."""
        return InlineStore(self.folder / DATABASE, synchronous="OFF", one_process=one_process)

    def committed(self, name: str, changed: int) -> None:
        """Called after each commit of a process, with the number of rows that it changed."""

    def who_answers(self) -> Process | None:
        """The process that the next request reaches; None when nobody listens."""
        return self.processes[0]

    async def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, admin: bool = False
    ) -> Answer | None:
        """One request of a client, a person's browser or the operator's; None when no answer came."""
        raw = b"" if body is None else json.dumps(body).encode()
        answer = await self.dispatch(admin, method, path, json_headers(token), raw)
        return None if answer is None else Answer(answer[0], json.loads(answer[1] or b"null"))

    async def operator(self, method: str, path: str, body: Any = None) -> Answer | None:
        return await self.call(method, path, body, ADMIN_TOKEN, admin=True)

    async def dispatch(
        self, admin: bool, method: str, target: str, headers: CIMultiDict[str], body: bytes, request_id: str = ""
    ) -> tuple[int, bytes] | None:
        """A request with any bytes."""
        process = self.who_answers()
        return None if process is None else await process.answer(admin, method, target, headers, body, request_id)

    async def close(self) -> None:
        """End the daemons and what is on its way to them."""
        for process in self.processes:
            await process.stop()
        await self._still()

    async def _still(self) -> None:
        if isinstance(self._loop, VirtualLoop):
            self._loop.before_waiting(lambda: None)
        for task in self._under_way:
            task.cancel()
        await asyncio.gather(*self._under_way, return_exceptions=True)

    def _carry(self, service: Service, delivery: Delivery) -> None:
        task = self._loop.create_task(self._deliver(service, delivery))
        self._under_way.add(task)
        task.add_done_callback(self._delivered)

    def _delivered(self, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.result()

    async def _deliver(self, service: Service, delivery: Delivery) -> None:
        headers = CIMultiDict({**delivery.headers, "host": "127.0.0.1:8080"})
        path = delivery.url.removeprefix(AGENT_URL)
        answer = await self.dispatch(False, delivery.method, path, headers, delivery.body)
        service.delivered(delivery.id, None if answer is None else answer[0])


@cache
def empty_database() -> bytes:
    """A file with our tables: the migrations run once in a process, not once in a world."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / DATABASE
        engine = open_writer(path, synchronous="OFF")
        with engine.connect() as connection, connection.begin():
            schema.upgrade(connection)
        engine.dispose()
        return path.read_bytes()
