"""The one door to the database: `read` and `write`, the same on SQLite, on PostgreSQL and inside the simulator."""

import asyncio
import contextlib
from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from sqlalchemy import Connection

T = TypeVar("T")
Dialect = Literal["sqlite", "postgresql"]


class Store(Protocol):
    """Runs plain functions of a SQLAlchemy connection, each in a transaction of its own meaning.

    `fn` is synchronous, uses the database only and may be run twice. Writes are committed in groups: a function's own
    error (`sqlalchemy.exc.IntegrityError`, or anything else it raises) rolls back that function alone and comes out of
    its own `write`. A function that wants to go on after a database error wraps the statement in
    `with conn.begin_nested()`. On PostgreSQL a read-modify-write needs `with_for_update()` or a conditional UPDATE;
    SQLite has one writer and ignores it.
    """

    dialect: Dialect
    appends_at_once: int
    """How many `append`s can be under way at the same time: who has many rows divides them by it."""
    reads_at_once: int
    """How many `read`s can be under way at the same time; the others wait for one of them."""
    one_process: bool
    """No other process uses the database meanwhile: leases that an earlier one left behind are dead."""

    async def start(self) -> None:
        """Open the database. Raises StorageError with a sentence for the operator."""
        ...

    async def stop(self) -> None:
        """Finish the writes that were accepted, then close. May be called twice."""
        ...

    async def read(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` on one consistent view of what is committed. Nothing it writes is kept.

        Raises StoreUnavailable or StoreBusy.
        """
        ...

    async def write(self, fn: Callable[[Connection], T]) -> T:
        """Run `fn` and commit; return only when it is durable. Runs to its end even if the caller is cancelled.

        Raises StoreUnavailable when it is not known to be durable (answer 503), and whatever `fn` raises.
        """
        ...

    async def append(self, fn: Callable[[Connection], T]) -> T:
        """Like `write`, for a function of one INSERT into rows that no other write touches.

        Such rows wait for nobody's locks, so where the database can do it they are committed beside the writes, each
        call for itself. A second statement in `fn` would be a second transaction. Raises what `write` raises.
        """
        ...

    async def healthy(self) -> bool:
        """Whether reads and writes work now, found out by trying."""
        ...


async def settle(work: asyncio.Future[T]) -> T:
    """Await `work` to its end. If the caller is cancelled meanwhile, the cancellation is passed on afterwards, so that
    nobody who was cancelled leaves a transaction running behind."""
    try:
        return await asyncio.shield(work)
    except asyncio.CancelledError:
        while not work.done():
            with contextlib.suppress(asyncio.CancelledError):
                await asyncio.wait([work])
        if not work.cancelled():
            work.exception()
        raise
