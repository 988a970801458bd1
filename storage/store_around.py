"""A store around another one: what a room of the house adds to it."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from storage.store import Dialect, Store

T = TypeVar("T")


class StoreAround:
    """A `Store` that does as the inner one does; who derives from it says what is different."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.dialect: Dialect = store.dialect
        self.appends_at_once = store.appends_at_once
        self.reads_at_once = store.reads_at_once
        self.one_process = store.one_process

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.write(fn)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.append(fn)

    async def healthy(self) -> bool:
        return await self._store.healthy()
