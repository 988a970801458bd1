"""Work that would block the event loop, as a port (password hashing)."""

import asyncio
from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Executor(Protocol):
    async def run(self, work: Callable[[], T]) -> T: ...


class ThreadExecutor:
    """Runs the work on the default thread pool."""

    async def run(self, work: Callable[[], T]) -> T:
        return await asyncio.to_thread(work)  # noqa: TID251 (this is the port)


class InlineExecutor:
    """Runs the work at once, on the loop's own thread: for the virtual clock, where threads would race it."""

    async def run(self, work: Callable[[], T]) -> T:
        return work()
