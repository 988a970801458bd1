"""SQLite without threads: functions run where they are called. For the simulator, whose clock owns every await."""

from collections.abc import Callable
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError

from storage import engine_library, sqlite_connections
from storage.errors import StoreUnavailable
from storage.grouping import TransactionFailed, attempt
from storage.sqlite import open_writer
from storage.store import Dialect

T = TypeVar("T")


class InlineStore:
    """A `Store` on one connection and one thread, with a commit per write. Takes no lock on the file: the simulator
    kills and reopens it within one process. `synchronous="OFF"` when only the process dies, never the machine."""

    dialect: Dialect = "sqlite"

    def __init__(
        self,
        path: str | Path,
        synchronous: Literal["FULL", "NORMAL", "OFF"] = "FULL",
        *,
        one_process: bool = True,
    ) -> None:
        """`one_process=False`: several simulated processes share the file, as replicas share PostgreSQL."""
        self.one_process = one_process
        self._path = path
        self._synchronous = synchronous
        self._engine: Engine | None = None

    async def start(self) -> None:
        engine_library.check()
        self._engine = open_writer(self._path, synchronous=self._synchronous)

    async def stop(self) -> None:
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.dispose()

    async def write(self, fn: Callable[[Connection], T]) -> T:
        try:
            with self._opened().connect() as connection:
                result: T = attempt(connection, [fn])[0]
                return result
        except TransactionFailed as failure:
            unavailable = sqlite_connections.as_unavailable(failure.root)
            raise (unavailable or failure.error) from failure.error.__cause__

    async def read(self, fn: Callable[[Connection], T]) -> T:
        with self._opened().connect() as connection:
            return fn(connection)

    async def healthy(self) -> bool:
        try:
            await self.read(lambda conn: conn.exec_driver_sql("SELECT 1").scalar_one())
        except (StoreUnavailable, DBAPIError):
            return False
        return True

    def _opened(self) -> Engine:
        if self._engine is None:
            raise StoreUnavailable("the database is not open")
        return self._engine
