"""The store for those who look: operators' pages and `verify` leave readers for buyers and for the steps."""

import asyncio
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from storage.errors import StoreBusy
from storage.store import Store
from storage.store_around import StoreAround

T = TypeVar("T")

WAIT_SECONDS = 5.0


class LookingStore(StoreAround):
    """The same store, of whose readers it takes half at most. A page that goes through a large table may hold one for
    as long as the database lets it."""

    def __init__(self, store: Store) -> None:
        super().__init__(store)
        self._free = asyncio.Semaphore(max(1, store.reads_at_once // 2))

    async def read(self, fn: Callable[[Connection], T]) -> T:
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy("others look already, and slowly") from None
        try:
            return await super().read(fn)
        finally:
            self._free.release()
