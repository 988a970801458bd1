"""SQLite: one writer thread that commits whole groups in one hop, and a few readers beside it.

The thread owns the only writing connection; the event loop only hands functions over and gets answers back.
"""

import asyncio
import contextlib
import threading
from collections.abc import Callable
from pathlib import Path
from queue import SimpleQueue
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError

from storage.engines import compilations, engine_library, sqlite_connections
from storage.engines.database_file import FileLock, prepare_place
from storage.engines.grouping import GROUP_MAX, WAITING_MAX, Group, TransactionFailed, Waiting, attempt, watch_errors
from storage.engines.sqlite_readers import READERS, SqliteReaders
from storage.errors import StoreBroken, StoreUnavailable
from storage.store import Dialect, settle

T = TypeVar("T")

Answers = list[tuple[Any, BaseException | None]]


class SqliteStore:
    """A `Store` on one SQLite file, which no other process may open meanwhile. `start` before use."""

    dialect: Dialect = "sqlite"
    appends_at_once = 1
    reads_at_once = READERS
    one_process = True

    def __init__(self, path: str | Path, *, waiting_max: int = WAITING_MAX) -> None:
        self._path = Path(path).absolute()
        self._lock = FileLock(self._path)
        self._waiting_max = waiting_max
        self._handed: SimpleQueue[Waiting | None] = SimpleQueue()
        self._unanswered = 0
        self._accepting = False
        self._last_failure: StoreUnavailable | None = None
        self._readers: SqliteReaders | None = None
        self._thread: threading.Thread | None = None

    async def start(self) -> None:
        engine_library.check()
        prepare_place(self._path)
        self._lock.acquire()
        self._loop = asyncio.get_running_loop()
        ready: asyncio.Future[None] = self._loop.create_future()
        self._ended = self._loop.create_future()
        self._thread = threading.Thread(target=self._write_all, args=(ready,), name="sqlite-writer", daemon=True)
        self._thread.start()
        try:
            await settle(ready)
        except BaseException:
            await self.stop()
            raise
        self._readers = SqliteReaders(self._path)
        self._accepting = True

    async def stop(self) -> None:
        self._accepting = False
        readers, self._readers = self._readers, None
        if readers is not None:
            await readers.stop()
        thread, self._thread = self._thread, None
        if thread is not None:
            self._handed.put(None)
            await settle(self._ended)
            thread.join()
        self._lock.release()

    async def write(self, fn: Callable[[Connection], T]) -> T:
        if not self._accepting:
            raise StoreUnavailable("the database is not open")
        if isinstance(self._last_failure, StoreBroken):
            raise StoreBroken(str(self._last_failure))
        if self._unanswered >= self._waiting_max:
            raise StoreUnavailable("too many writes are waiting")
        answer: asyncio.Future[T] = self._loop.create_future()
        self._unanswered += 1
        self._handed.put(Waiting(fn, answer))
        return await settle(answer)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self.write(fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        if self._readers is None:
            raise StoreUnavailable("the database is not open")
        return await settle(asyncio.ensure_future(self._read(self._readers, fn)))

    async def healthy(self) -> bool:
        try:
            if self._last_failure is None:
                await self.read(_look)
            else:
                await self.write(_touch)
        except StoreUnavailable:
            return False
        return True

    async def _read(self, readers: SqliteReaders, fn: Callable[[Connection], T]) -> T:
        try:
            return await readers.read(fn)
        except DBAPIError as error:
            unavailable = sqlite_connections.as_unavailable(error)
            if unavailable is None or _is_write_in_read(error):
                raise
            raise unavailable from error

    def _answered(self, group: list[Waiting], answers: Answers) -> None:
        self._unanswered -= len(group)
        failures = [error for _, error in answers if isinstance(error, StoreUnavailable)]
        if not isinstance(self._last_failure, StoreBroken):
            self._last_failure = failures[0] if failures else None
        for waiting, (result, error) in zip(group, answers, strict=True):
            waiting.resolve(result, error)

    # From here on: the writer thread.

    def _write_all(self, ready: asyncio.Future[None]) -> None:
        engine = open_writer(self._path, synchronous="FULL")
        sqlite_connections.leave_log_alone(engine)
        try:
            engine.connect().close()
        except DBAPIError as error:
            self._tell(ready.set_exception, sqlite_connections.as_unavailable(error) or error)
        else:
            self._tell(ready.set_result, None)
        while (group := self._take()) is not None:
            answers = run_group(engine, group)
            self._tell(self._answered, group, answers)
            sqlite_connections.write_log_back(engine)
        engine.dispose()
        self._tell(self._ended.set_result, None)

    def _take(self) -> list[Waiting] | None:
        """Whatever waits now, at most GROUP_MAX; blocks for the first. None when the store stops."""
        first = self._handed.get()
        if first is None:
            return None
        group = [first]
        while len(group) < GROUP_MAX and not self._handed.empty():
            following = self._handed.get()
            if following is None:
                self._handed.put(None)
                break
            group.append(following)
        return group

    def _tell(self, call: Callable[..., None], *args: Any) -> None:
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            self._loop.call_soon_threadsafe(call, *args)


def open_writer(path: Path | str, *, synchronous: str) -> Engine:
    """The engine of the one writing connection, which must stay on the thread that uses it first."""
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        pool_size=1,
        max_overflow=0,
        hide_parameters=True,
        connect_args={"cached_statements": sqlite_connections.STATEMENTS_KEPT},
        execution_options={"compiled_cache": compilations.OF_SQLITE},
    )
    watch_errors(engine)
    sqlite_connections.prepare(engine, begin="BEGIN IMMEDIATE", synchronous=synchronous, readonly=False)
    return engine


def run_group(engine: Engine, waiting: list[Waiting]) -> Answers:
    """Commit a group as one transaction. A database that cannot write answers everyone unanswered so far the same."""
    group = Group(len(waiting))
    while members := group.next():
        try:
            with engine.connect() as connection:
                group.committed(attempt(connection, [waiting[member].fn for member in members]))
        except TransactionFailed as failure:
            unavailable = sqlite_connections.as_unavailable(failure.root)
            if unavailable is None:
                group.failed(failure.culprit, failure.error)
            else:
                unavailable.__cause__ = failure.error
                group.refuse(unavailable)
                engine.dispose()
        except DBAPIError as error:  # the connection itself could not be opened
            group.refuse(sqlite_connections.as_unavailable(error) or StoreUnavailable("the database cannot be opened"))
    return group.answers


def _look(conn: Connection) -> None:
    conn.exec_driver_sql("SELECT 1")


def _touch(conn: Connection) -> None:
    """Rewrites the header as it is: the smallest write that needs the disk."""
    version = conn.exec_driver_sql("PRAGMA user_version").scalar_one()
    conn.exec_driver_sql(f"PRAGMA user_version={int(version)}")


def _is_write_in_read(error: DBAPIError) -> bool:
    return getattr(error.orig, "sqlite_errorname", "") == "SQLITE_READONLY"
