"""The life of one process, as seen at its ports: where it may die, wait, or stand still.

A process dies by an exception that nothing of the daemon catches, and whatever it would do next does not happen: every
port of a dead life raises the same. A stopped process (SIGSTOP) stays at its port until it is continued.
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import Connection

from ports.transport import HttpRequest, HttpResponse, Transport
from ports.virtual import VirtualClock
from simulator.line import Break, Line, lost, undone
from storage.engines.inline import InlineStore
from storage.errors import StoreUnavailable
from storage.store import Dialect

T = TypeVar("T")


class Killed(BaseException):
    """The process is dead."""


@dataclass(slots=True, eq=False)
class _Stop:
    """What is done at the next point of that name, of any if it is None, at which that holds."""

    where: str | None
    holds: Callable[[], bool]
    do: Callable[[], None]
    reached: bool = False
    over: asyncio.Event = field(default_factory=asyncio.Event)


def _nobody() -> None:
    """Wants to know."""


class Life:
    """Asked at every port, before and after each commit and each call.

    `hazard` says at each of those points whether the process dies there; `dither` how many seconds it loses there
    (None: it goes on at once, 0: other tasks run first).
    """

    def __init__(
        self,
        name: str = "daemon",
        hazard: Callable[[str], bool] = lambda where: False,
        dither: Callable[[], float | None] = lambda: None,
    ) -> None:
        self.name = name
        self.points = 0
        self.is_dead = False
        self.on_death: Callable[[], None] = lambda: None
        self._hazard, self._dither = hazard, dither
        self._moving = asyncio.Event()
        self._moving.set()
        self._stops: list[_Stop] = []

    async def reach(self, where: str) -> None:
        """A point at which the process may die."""
        for stop in [one for one in self._stops if one.where in (None, where) and one.holds()]:
            self._stops.remove(stop)
            stop.reached = True
            stop.do()
            stop.over.set()
        await self.stay()
        self.points += 1
        if self._hazard(where):
            self.die()
            raise Killed

    async def stay(self) -> None:
        """Lose time; stand still while stopped. Raises Killed in a dead process."""
        if self.is_dead:
            raise Killed
        seconds = self._dither()
        if seconds is not None:
            await asyncio.sleep(seconds)
        if not self._moving.is_set():
            await self._moving.wait()
        if self.is_dead:
            raise Killed

    def die(self) -> None:
        self.is_dead = True
        self._moving.set()
        self.expect_nothing()
        self.on_death()

    def stand_still(self) -> None:
        self._moving.clear()

    async def at_next(self, where: str | None, holds: Callable[[], bool], do: Callable[[], None] = _nobody) -> bool:
        """Do that at the next point of that name, of any if it is None, at which that holds: in the middle of
        something. Returns when it has happened; False when it no longer can."""
        if self.is_dead:
            return False
        stop = _Stop(where, holds, do)
        self._stops.append(stop)
        await stop.over.wait()
        return stop.reached

    async def stand_still_at(self, where: str, stops_if: Callable[[], bool]) -> bool:
        """Be stopped there, as `at_next` says."""
        return await self.at_next(where, stops_if, self.stand_still)

    def expect_nothing(self) -> None:
        """Whatever was to be done at a later point is not done."""
        stops, self._stops = self._stops, []
        for stop in stops:
            stop.over.set()

    def go_on(self) -> None:
        self._moving.set()


class LivedStore:
    """The store of one process."""

    dialect: Dialect = "sqlite"

    def __init__(self, inner: InlineStore, life: Life, committed: Callable[[str, int], None], line: Line) -> None:
        """`committed` is told the process and how many rows the transaction changed."""
        self.inner, self._life, self._committed, self._line = inner, life, committed, line
        self.appends_at_once = inner.appends_at_once
        self.reads_at_once = inner.reads_at_once
        self.one_process = inner.one_process
        self.refused: Callable[[], None] = _nobody
        """Called for each transaction that the disk refuses."""

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    async def write(self, fn: Callable[[Connection], T]) -> T:
        await self._life.reach("before commit")
        broken = self._line.in_commit()
        if broken is not None and broken.how is Break.UNDONE:
            fn = undone(fn, broken.by)
        try:
            result = await self.inner.write(fn)
        except StoreUnavailable:
            if broken is None:
                self.refused()
            raise
        changed = self.inner.changed
        self._committed(self._life.name, changed)
        await self._life.reach("after commit")
        if broken is not None:
            broken.by.lose(changed)
            await asyncio.sleep(broken.by.silence())
            await self._life.stay()
            raise lost()
        return result

    async def read(self, fn: Callable[[Connection], T]) -> T:
        await self._life.stay()
        if self._line.breaks_in_read():
            raise lost()
        return await self.inner.read(fn)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self.write(fn)

    async def healthy(self) -> bool:
        return await self.inner.healthy()


class LivedTransport:
    """The network of one process."""

    def __init__(self, inner: Transport, life: Life) -> None:
        self._inner, self._life = inner, life

    async def send(self, request: HttpRequest) -> HttpResponse:
        await self._life.reach("before call")
        answer = await self._inner.send(request)
        await self._life.reach("after call")
        return answer

    async def close(self) -> None:
        await self._inner.close()


class LivedClock:
    """The clock of one process: the world's time, and how far its machine is off."""

    def __init__(self, world: VirtualClock, life: Life) -> None:
        self._world, self._life = world, life
        self.skew = timedelta(0)

    def now(self) -> datetime:
        return self._world.now() + self.skew

    def monotonic(self) -> float:
        return self._world.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)
        await self._life.stay()
