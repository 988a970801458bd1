"""Transactions of several replicas on one PostgreSQL, side by side: one can come between two statements of another."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from sqlalchemy import URL, Connection, event, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.util import await_only

from storage.engines import postgres_connections

Act = Callable[[Connection], Any]
"""What one replica does in one transaction."""
SETTINGS = {**postgres_connections.WRITE_SETTINGS, "lock_timeout": "9s"}
"""As the daemon's, but for the patience: who waits for a lock here is seen waiting, however slow the machine is."""


@asynccontextmanager
async def replica(url: URL) -> AsyncIterator[AsyncConnection]:
    """A writer's connection; what is not committed at the end is rolled back."""
    found, arguments = postgres_connections.engine_arguments(url, SETTINGS)
    engine = create_async_engine(found, connect_args=arguments)
    async with engine.connect() as conn:
        yield conn
    await engine.dispose()


async def until_it_waits(task: asyncio.Task[Any], url: URL) -> None:
    """Until the transaction of `task` waits for a lock of another one, or has ended without."""
    async with replica(url) as looking:
        while not task.done() and not await looking.run_sync(_somebody_waits):
            await looking.rollback()


def _somebody_waits(conn: Connection) -> bool:
    waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
    return bool(conn.scalar(text(waits)))


async def at_once(url: URL, earlier: Act, later: Act) -> None:
    """The later one runs while the earlier one is done, but not committed; both commit."""
    async with replica(url) as one, replica(url) as other:
        await one.run_sync(earlier)
        meanwhile = asyncio.create_task(other.run_sync(later))
        await until_it_waits(meanwhile, url)
        await one.commit()
        await meanwhile
        await other.commit()


class Between:
    """`other` comes, once, just before a connection's statement of that number from now on, counted from 0."""

    def __init__(self, conn: Connection, number: int, other: Callable[[], Coroutine[Any, Any, None]]) -> None:
        self.has_come = False
        self._left, self._other = number, other
        event.listen(conn, "before_cursor_execute", self._count)

    def _count(self, *_: Any) -> None:
        self._left -= 1
        if self._left < 0 and not self.has_come:
            self.has_come = True
            await_only(self._other())
