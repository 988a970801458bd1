"""A store whose writes wake the worker: for rooms that leave work behind them without knowing the worker."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from storage.store import Dialect, Store

T = TypeVar("T")


class WakingStore:
    """The same store; `wake` is called after each commit. Life and death of the store stay with its owner."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        self._store, self._wake = store, wake
        self.dialect: Dialect = store.dialect
        self.appends_at_once = store.appends_at_once
        self.one_process = store.one_process

    async def start(self) -> None:
        await self._store.start()

    async def stop(self) -> None:
        await self._store.stop()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._store.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        result = await self._store.write(fn)
        self._wake()
        return result

    async def append(self, fn: Callable[[Connection], T]) -> T:
        result = await self._store.append(fn)
        self._wake()
        return result

    async def healthy(self) -> bool:
        return await self._store.healthy()
