"""PostgreSQL: writer tasks that commit whole groups on connections of their own; reads on a pool beside them.

Several processes may share the database, so functions guard themselves: conditional updates, row locks, SKIP LOCKED.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncEngine

from storage.engines import postgres_connections
from storage.engines.grouping import GROUP_MAX, WAITING_MAX, Waiting, watch_errors
from storage.engines.postgres_groups import run_group
from storage.engines.postgres_sessions import Sessions
from storage.errors import StoreBusy, StoreUnavailable
from storage.store import Dialect, settle

T = TypeVar("T")

WRITERS = 1
"""Groups under way at once in this process. A group locks rows in no order, so two of them that move the same balances
block each other: with ledger-like writes 2 writers were 3 times and 8 writers 7 times slower than 1 (64 callers), and
with plain inserts none was faster, because everything that arrives meanwhile joins the next group."""
APPENDERS = 2
"""Appends under way at once: while one is flushed the next is gathered and sent. A statement each, without BEGIN and
COMMIT, on connections of their own; more of them only make each one smaller."""
READERS = 8
_WRITE_IN_READ = "25006"
"""read_only_sql_transaction: on a read connection the function is to blame, on a writer the server is a standby."""


class _Engines(NamedTuple):
    """Who connects for what."""

    writers: AsyncEngine
    appenders: AsyncEngine
    readers: AsyncEngine


class PostgresStore:
    """A `Store` on one PostgreSQL database. `start` before use. `patient`: for an upgrade, of which one statement may
    read a large table whole. `any_server`: for who only adds, and goes on with whichever server takes over."""

    dialect: Dialect = "postgresql"
    appends_at_once = APPENDERS
    reads_at_once = READERS
    one_process = False

    def __init__(
        self,
        url: URL,
        *,
        writers: int = WRITERS,
        waiting_max: int = WAITING_MAX,
        patient: bool = False,
        any_server: bool = False,
    ) -> None:
        self._sessions = Sessions(url, patient=patient, any_server=any_server)
        self._writers_count = writers
        self._waiting_max = waiting_max
        self._handed: deque[Waiting] = deque()
        self._idle: list[asyncio.Future[None]] = []
        self._unanswered = 0
        self._accepting = False
        self._engines: _Engines | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._appends: set[asyncio.Task[Any]] = set()

    async def start(self) -> None:
        pool = self._sessions.pool
        writers = pool(self._writers_count, postgres_connections.WRITE_SETTINGS)
        watch_errors(writers.sync_engine)
        appenders = pool(APPENDERS, postgres_connections.APPEND_SETTINGS, autocommit=True)
        readers = pool(READERS, postgres_connections.READ_SETTINGS)
        self._engines = _Engines(writers, appenders, readers)
        try:
            await self.read(_look)
        except BaseException:
            await self.stop()
            raise
        self._accepting = True
        self._tasks = [asyncio.create_task(self._write_all(writers)) for _ in range(self._writers_count)]

    async def stop(self) -> None:
        self._accepting = False
        tasks, self._tasks = self._tasks, []
        while self._idle:
            self._idle.pop().set_result(None)
        if tasks:
            await settle(asyncio.gather(*tasks))
        if self._appends:
            await settle(asyncio.ensure_future(asyncio.wait(self._appends)))
        engines, self._engines = self._engines, None
        for engine in engines or ():
            await engine.dispose()

    async def write(self, fn: Callable[[Connection], T]) -> T:
        self._accept()
        answer: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self._unanswered += 1
        self._handed.append(Waiting(fn, answer))
        if self._idle:
            self._idle.pop().set_result(None)
        return await settle(answer)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        engines = self._accept()
        self._unanswered += 1
        appending = asyncio.create_task(self._append(engines.appenders, fn))
        self._appends.add(appending)
        appending.add_done_callback(self._appended)
        return await settle(appending)

    def _accept(self) -> "_Engines":
        if not self._accepting or self._engines is None:
            raise StoreUnavailable("the database is not open")
        if self._unanswered >= self._waiting_max:
            raise StoreUnavailable("too many writes are waiting")
        return self._engines

    def _appended(self, appending: asyncio.Task[Any]) -> None:
        self._appends.discard(appending)
        self._unanswered -= 1

    async def read(self, fn: Callable[[Connection], T]) -> T:
        if self._engines is None:
            raise StoreUnavailable("the database is not open")
        return await settle(asyncio.ensure_future(self._read(self._engines.readers, fn)))

    async def healthy(self) -> bool:
        """Asked where events are stored: who takes them need not wait for those who look."""
        if self._engines is None:
            return False
        try:
            return not await settle(asyncio.ensure_future(self._append(self._engines.appenders, _is_standby)))
        except StoreUnavailable:
            return False

    async def _append(self, appenders: AsyncEngine, fn: Callable[[Connection], T]) -> T:
        """One statement, which is its own transaction: sent, flushed and answered in one round trip."""
        try:
            async with appenders.connect() as connection:
                try:
                    return await connection.run_sync(fn)
                except (DBAPIError, OSError) as error:
                    if postgres_connections.as_unavailable(error) is not None:
                        await connection.invalidate()
                    raise
        except PoolTimeout as error:
            raise StoreBusy("no free connection for an append") from error
        except (DBAPIError, OSError) as error:
            unavailable = postgres_connections.as_unavailable(error)
            if unavailable is None:
                raise
            raise unavailable from error

    async def _read(self, readers: AsyncEngine, fn: Callable[[Connection], T], *, again: bool = True) -> T:
        """Twice if its session breaks: it leaves nothing behind."""
        try:
            async with readers.connect() as connection:
                return await connection.run_sync(fn)
        except PoolTimeout as error:
            raise StoreBusy("no free connection for a read") from error
        except (DBAPIError, OSError) as error:
            if again and postgres_connections.is_lost(error):
                return await self._read(readers, fn, again=False)
            unavailable = postgres_connections.as_unavailable(error)
            if unavailable is None or postgres_connections.sqlstate(error) == _WRITE_IN_READ:
                raise
            raise unavailable from error

    async def _write_all(self, engine: AsyncEngine) -> None:
        group: list[Waiting] = []
        try:
            while group := await self._take():
                answers = await run_group(engine, group)
                self._unanswered -= len(group)
                for waiting, (result, error) in zip(group, answers, strict=True):
                    waiting.resolve(result, error)
        except asyncio.CancelledError:  # the loop ends without `stop`: leave nobody waiting for ever
            self._accepting = False
            for waiting in [*group, *self._handed]:
                waiting.resolve(None, StoreUnavailable("the program ends; the outcome is not known"))
            self._handed.clear()
            raise

    async def _take(self) -> list[Waiting]:
        """Whatever waits now, at most GROUP_MAX; waits for the first. Empty when the store stops."""
        while not self._handed:
            if not self._accepting:
                return []
            wake: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            self._idle.append(wake)
            await wake
        return [self._handed.popleft() for _ in range(min(GROUP_MAX, len(self._handed)))]


def _look(conn: Connection) -> None:
    conn.exec_driver_sql("SELECT 1")


def _is_standby(conn: Connection) -> bool:
    return bool(conn.exec_driver_sql("SELECT pg_is_in_recovery()").scalar_one())
