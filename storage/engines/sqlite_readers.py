"""Reads beside SQLite's one writer: each runs whole on a thread with a connection, one hop for all that it asks."""

import asyncio
import contextlib
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, create_engine, event

from storage.engines import compilations, sqlite_connections
from storage.errors import StoreBusy, StoreUnavailable

T = TypeVar("T")

READERS = 4
"""Threads, each with a connection. Reads are short, and more than the cores can serve only adds memory."""
READER_WAIT_SECONDS = 5.0
STOP_SECONDS = 1.0
"""For reads that have begun when the store stops. A page that goes through a large table would hold up the end of the
process, which waits for each thread, for as long as that takes; nobody reads its answer any more."""
INTERRUPT_AGAIN_SECONDS = 0.1
"""A read that was interrupted between two statements goes on with the next one."""


class SqliteReaders:
    """Threads that read one file, which exists. `stop` ends them."""

    def __init__(self, path: Path) -> None:
        self._engine = create_engine(
            URL.create("sqlite", database=str(path)),
            pool_size=READERS,
            max_overflow=0,
            hide_parameters=True,
            connect_args={
                "cached_statements": sqlite_connections.STATEMENTS_KEPT,
                "check_same_thread": False,  # the pool gives each to one thread at a time
            },
            execution_options={"compiled_cache": compilations.OF_SQLITE},
        )
        sqlite_connections.prepare(self._engine, begin="BEGIN", synchronous="FULL", readonly=True)
        self._opened: list[Any] = []
        event.listen(self._engine, "connect", lambda connection, _: self._opened.append(connection))
        event.listen(self._engine, "close", lambda connection, _: self._opened.remove(connection))
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="sqlite-reader")
        self._free = asyncio.Semaphore(READERS)
        self._stopped = False

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` in a transaction whose changes the database refuses. To be awaited to its end: a thread is not
        cancelled. Raises what the database said, StoreBusy where no thread came free in time, and StoreUnavailable
        after `stop`."""
        await self._take_one()
        try:
            if self._stopped:
                raise StoreUnavailable("the database is not open")
            return await asyncio.get_running_loop().run_in_executor(self._threads, self._run, fn)
        finally:
            self._free.release()

    async def stop(self) -> None:
        """Let the reads that have begun end, interrupt those that are long, then close the connections."""
        self._stopped = True
        reading = {asyncio.ensure_future(self._free.acquire()) for _ in range(READERS)}
        _, reading = await asyncio.wait(reading, timeout=STOP_SECONDS)
        while reading:
            for connection in list(self._opened):
                with contextlib.suppress(sqlite3.ProgrammingError):  # a failure has just closed it
                    connection.interrupt()
            _, reading = await asyncio.wait(reading, timeout=INTERRUPT_AGAIN_SECONDS)
        self._threads.shutdown()
        self._engine.dispose()

    async def _take_one(self) -> None:
        try:
            async with asyncio.timeout(READER_WAIT_SECONDS):
                await self._free.acquire()
        except TimeoutError:
            raise StoreBusy("no free connection for a read") from None

    def _run(self, fn: Callable[[Connection], T]) -> T:
        with self._engine.connect() as connection:
            return fn(connection)
