"""A store that tells how long each read and write took, the waiting for its turn included."""

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy import Connection

from ports.clock import Clock
from storage.errors import StoreUnavailable
from storage.store import Store
from storage.store_around import StoreAround

T = TypeVar("T")

Observe = Callable[[str, float, bool], None]
"""Told the operation (`read`, `write`), the seconds, and False when the database could not be used."""


class MeteredStore(StoreAround):
    """A `Store` around another one."""

    def __init__(self, store: Store, clock: Clock, observe: Observe) -> None:
        super().__init__(store)
        self._clock, self._observe = clock, observe

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("read", self._store.read, fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("write", self._store.write, fn)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self._timed("write", self._store.append, fn)

    async def _timed(self, operation: str, run: Callable[[Any], Awaitable[T]], fn: Callable[[Connection], T]) -> T:
        begun, usable = self._clock.monotonic(), True
        try:
            return await run(fn)
        except StoreUnavailable:
            usable = False
            raise
        finally:
            self._observe(operation, self._clock.monotonic() - begun, usable)
