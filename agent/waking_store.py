"""A store whose writes wake the worker: for rooms that leave work behind them without knowing the worker."""

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection

from storage.store import Store
from storage.store_around import StoreAround

T = TypeVar("T")


class WakingStore(StoreAround):
    """The same store; `wake` is called after each commit. Life and death of the store stay with its owner."""

    def __init__(self, store: Store, wake: Callable[[], None]) -> None:
        super().__init__(store)
        self._wake = wake

    async def write(self, fn: Callable[[Connection], T]) -> T:
        result = await super().write(fn)
        self._wake()
        return result

    async def append(self, fn: Callable[[Connection], T]) -> T:
        result = await super().append(fn)
        self._wake()
        return result
