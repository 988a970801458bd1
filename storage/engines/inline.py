"""SQLite without threads: functions run where they are called. For the simulator, whose clock owns every await."""

import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import QueuePool

from storage.engines import compilations, engine_library, sqlite_connections
from storage.engines.grouping import TransactionFailed, attempt, watch_errors
from storage.errors import StoreUnavailable
from storage.store import Dialect

T = TypeVar("T")

PAGES_MOST = 4_294_967_294
"""SQLite's own limit."""


def _nobody(connection: Any) -> None:
    """Wants to know of a new connection."""


class _Place:
    """An engine whose file can be exchanged: what it has compiled stays, since simulated processes start by the
    thousand and all say the same."""

    path: str | Path = ""
    opened: Callable[[Any], None] = staticmethod(_nobody)

    def __init__(self, synchronous: str) -> None:
        self.engine = create_engine(
            "sqlite://",
            creator=self._connect,
            poolclass=QueuePool,
            pool_size=1,
            max_overflow=0,
            hide_parameters=True,
            execution_options={"compiled_cache": compilations.OF_SQLITE},
        )
        watch_errors(self.engine)
        sqlite_connections.prepare(self.engine, begin="BEGIN IMMEDIATE", synchronous=synchronous, readonly=False)
        event.listen(self.engine, "connect", self._watched)

    def _connect(self) -> Any:
        return sqlite3.connect(self.path, check_same_thread=False, cached_statements=sqlite_connections.STATEMENTS_KEPT)

    def _watched(self, connection: Any, _: Any) -> None:
        self.opened(connection)


_SPARE: dict[str, list[_Place]] = {"FULL": [], "NORMAL": [], "OFF": []}


class InlineStore:
    """A `Store` on one connection and one thread, with a commit per write. Takes no lock on the file: the simulator
    kills and reopens it within one process. `synchronous="OFF"` when only the process dies, never the machine."""

    dialect: Dialect = "sqlite"
    appends_at_once = 1
    reads_at_once = 1

    def __init__(
        self,
        path: str | Path,
        synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL",
        *,
        one_process: bool = True,
        opened: Callable[[Any], None] = _nobody,
    ) -> None:
        """`one_process=False`: several simulated processes share the file, as replicas share PostgreSQL. `opened` is
        given each new connection of the driver."""
        self.one_process = one_process
        self.changed = 0
        """Rows that the last write changed."""
        self._opened = opened
        self._path = path
        self._synchronous = synchronous
        self._engine: Engine | None = None
        self._connection: Connection | None = None

    async def start(self) -> None:
        engine_library.check()
        self._place = _SPARE[self._synchronous].pop() if _SPARE[self._synchronous] else _Place(self._synchronous)
        self._place.path, self._place.opened = self._path, self._opened
        self._engine = self._place.engine

    async def stop(self) -> None:
        engine, self._engine = self._engine, None
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()
        if engine is not None:
            engine.dispose()
            _SPARE[self._synchronous].append(self._place)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        connection = self._connected()
        before = _changes(connection)
        try:
            result: T = attempt(connection, [fn])[0]
            self.changed = _changes(connection) - before
            return result
        except TransactionFailed as failure:
            unavailable = sqlite_connections.as_unavailable(failure.root)
            raise (unavailable or failure.error) from failure.error.__cause__

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self.write(fn)

    async def read(self, fn: Callable[[Connection], T]) -> T:
        connection = self._connected()
        try:
            return fn(connection)
        finally:
            connection.rollback()

    async def healthy(self) -> bool:
        try:
            await self.read(lambda conn: conn.exec_driver_sql("SELECT 1").scalar_one())
        except (StoreUnavailable, DBAPIError):
            return False
        return True

    def _connected(self) -> Connection:
        """The one connection, taken from its pool once: a transaction takes less time than the taking does."""
        if self._engine is None:
            raise StoreUnavailable("the database is not open")
        if self._connection is None or self._connection.invalidated:
            self._connection = self._engine.connect()
        return self._connection

    def limit_pages(self, most: int | None) -> None:
        """A full disk, as SQLite itself meets it: the file may not grow beyond `most` pages (its present size, if that
        is more); None takes the limit away. Until the store is stopped."""
        if self._engine is not None:
            connection = self._connected()
            connection.exec_driver_sql(f"PRAGMA max_page_count={most or PAGES_MOST}")
            connection.rollback()


def _changes(connection: Connection) -> int:
    """Rows that were ever changed through it."""
    total: int = connection.connection.dbapi_connection.total_changes  # type: ignore[union-attr]
    return total
