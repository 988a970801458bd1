"""A store that tells how long each read and write took, the waiting for its turn included."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from ports.clock import Clock
from storage.errors import StoreUnavailable
from storage.store import Dialect, Store

T = TypeVar("T")

Observe = Callable[[str, float, bool], None]
"""Told the operation (`read`, `write`), the seconds, and False when the database could not be used."""


class MeteredStore:
    """A `Store` around another one."""

    def __init__(self, store: Store, clock: Clock, observe: Observe) -> None:
        self._store, self._clock, self._observe = store, clock, observe
        self.dialect: Dialect = store.dialect
        self.appends_at_once = store.appends_at_once
        self.one_process = store.one_process

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("read", self._store.read, fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("write", self._store.write, fn)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("write", self._store.append, fn)

    async def healthy(self) -> bool:
        return await self._store.healthy()

    async def _timed(self, operation: str, run: Callable[[Any], Awaitable[T]], fn: Callable[[Connection], T]) -> T:
        begun, usable = self._clock.monotonic(), True
        try:
            return await run(fn)
        except StoreUnavailable:
            usable = False
            raise
        finally:
            self._observe(operation, self._clock.monotonic() - begun, usable)
