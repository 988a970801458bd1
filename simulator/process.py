"""One daemon in the virtual world: the same parts as the real process, without sockets, signals and systemd."""

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qsl

from multidict import CIMultiDict, MultiDict

from agent.gateway_assembly import Ports
from agent.schedule import Schedule, nudges
from agent.startup import Daemon, background, prepare
from agent.web.app import WebApp
from agent.web.messages import WebRequest
from agent.web.router import Router
from agent.web_assembly import build_web
from config.settings import Settings
from metrics import Metrics
from ports.executor import InlineExecutor
from ports.sockets import Sockets
from ports.transport import Transport
from ports.virtual import SeededIds, VirtualClock
from simulator.life import Killed, Life, LivedClock, LivedStore, LivedTransport
from simulator.line import Line
from storage.engines.inline import InlineStore


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What a process finds around it at each of its starts."""

    clock: VirtualClock
    transport: Transport
    ids_rng: random.Random
    open_store: Callable[[], InlineStore]
    nudge_slowness: int = 1
    """Recurring work is nudged so many times less often: a week has fewer of what only makes safe."""
    committed: Callable[[str, int], None] = lambda name, changed: None
    sockets: Sockets | None = None
    line: Line = field(default_factory=Line)


class Process:
    """`start` it on the database as it lies there, `stop` it wherever it is, start it again: each time a new life."""

    def __init__(self, name: str, surroundings: Surroundings, settings: Settings) -> None:
        self.name, self.settings = name, settings
        self.around = surroundings
        self.daemon: Daemon | None = None
        self.web: WebApp | None = None
        self.life = Life(name)
        self.clock = LivedClock(surroundings.clock, self.life)
        self.store: LivedStore | None = None
        self.tasks: list[asyncio.Task[None]] = []

    async def start(self, life: Life | None = None) -> None:
        """Raises what refuses the start, and Killed."""
        around = self.around
        self.life = life or Life(self.name)
        skew = self.clock.skew
        self.clock = LivedClock(around.clock, self.life)
        self.clock.skew = skew
        self.store = LivedStore(around.open_store(), self.life, around.committed, around.line)
        metrics = Metrics()
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(around.ids_rng),
            executor=InlineExecutor(),
            transport=LivedTransport(around.transport, self.life),
            store=self.store,
            sockets=around.sockets,
        )
        self.daemon = daemon = await prepare(self.settings, ports, metrics)
        self.web = build_web(self.settings, ports, daemon.gateways, daemon.engine, metrics, daemon.platform_address)
        recurring = nudges(
            direct_alerts=self.settings.alerts_directly,
            in_real_time=self.settings.pays_in_real_time,
            converts=self.settings.converts,
        )
        daemon.engine.chain.check_seconds *= around.nudge_slowness
        slowed = tuple(replace(one, every=one.every * around.nudge_slowness) for one in recurring)
        schedule = Schedule(ports.store, self.clock, daemon.engine.worker.wake, slowed)
        self.tasks = [asyncio.create_task(background(daemon, schedule.run_on_clock))]

    async def stop(self) -> None:
        """End the daemon wherever it is: every await of it is cancelled, as a killed process would stop there."""
        tasks, self.tasks, self.web = self.tasks, [], None
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        if self.store is not None:
            await self.store.stop()
        for result in results:
            if isinstance(result, Exception):
                raise result

    async def kill(self) -> None:
        """The same, and nothing that it would still do at its end happens."""
        self.life.die()
        tasks, self.tasks, self.web = self.tasks, [], None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self.store is not None:
            await self.store.stop()

    @property
    def has_ended(self) -> bool:
        """Whether the daemon stopped by itself; `check_alive` says why."""
        return any(task.done() for task in self.tasks)

    def check_alive(self) -> None:
        """Raise what ended the daemon by itself."""
        for task in self.tasks:
            if task.done():
                task.result()

    async def answer(
        self, admin: bool, method: str, target: str, headers: CIMultiDict[str], body: bytes, request_id: str = ""
    ) -> tuple[int, bytes] | None:
        """One request, as the front would hand it to the router; None when nobody is there to answer."""
        if self.web is None or self.life.is_dead:
            return None
        router: Router = self.web.admin if admin else self.web.public
        path, _, query = target.partition("?")
        pairs: MultiDict[str] = MultiDict(parse_qsl(query))
        try:
            answer = await router.dispatch(WebRequest(method, path, pairs, headers, body, "127.0.0.1", request_id))
        except Killed:
            return None
        return answer.status, answer.body


def json_headers(token: str | None) -> CIMultiDict[str]:
    """Of a client's request with a JSON body."""
    headers: CIMultiDict[str] = CIMultiDict({"host": "127.0.0.1", "content-type": "application/json"})
    if token is not None:
        headers["authorization"] = f"Bearer {token}"
    return headers
