"""How every SQLite connection of ours is opened, and what its errors mean."""

import contextlib
import sqlite3
import sys
from typing import Any, Literal

from sqlalchemy import Engine, PoolProxiedConnection, event
from sqlalchemy.exc import DBAPIError

from storage.errors import StoreBroken, StoreBusy, StoreUnavailable

BUSY_TIMEOUT_MS = 5_000
"""How long to wait for a lock. Only an outside tool can hold one; longer than this and the sender should try again."""
WAL_LIMIT_BYTES = 64 * 1024 * 1024
"""The log file is cut back to this after a checkpoint, so that one long reader does not cost disk for ever."""
WAL_PAGES = 1_000
"""In the log beyond which it is written back into the file, as SQLite itself would do it."""
STATEMENTS_KEPT = 1_000
"""Prepared statements that a connection keeps. A daemon says some 700 different ones in a week, and the driver keeps
128 unless told: whatever is said once an hour would be parsed and planned anew each time."""
PAGE_BYTES = 8192
"""Of a new file. An event of Stripe's has 2 to 4 KB: in pages of 4 KB each fills one alone, a third of it with nothing;
measured, groups of them are stored in a fifth less time and the file is a third smaller."""

_BUSY = {5, 6, 15}
"""SQLITE_BUSY, _LOCKED, _PROTOCOL."""
_BROKEN = {11, 26}
"""SQLITE_CORRUPT, _NOTADB."""
_BROKEN_EXTENDED = {1034, 1290}
"""SQLITE_IOERR_FSYNC, _DIR_FSYNC: after a failed flush the kernel may call unwritten pages clean."""
_UNAVAILABLE = {3, 7, 8, 9, 10, 13, 14}
"""SQLITE_PERM, _NOMEM, _READONLY, _INTERRUPT, _IOERR, _FULL, _CANTOPEN."""


def prepare(engine: Engine, *, begin: Literal["BEGIN", "BEGIN IMMEDIATE"], synchronous: str, readonly: bool) -> None:
    """Take transactions out of the driver's hands (it opens none for SELECT) and set the pragmas of each connection.

    They are begun and rolled back by the dialect, not by a listener: an engine with listeners runs every statement
    slower.
    """

    def on_connect(connection: Any, _: Any) -> None:
        connection.isolation_level = None
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout={BUSY_TIMEOUT_MS}")
        cursor.execute(f"PRAGMA page_size={PAGE_BYTES}")
        cursor.execute("PRAGMA journal_mode=WAL")
        cursor.execute(f"PRAGMA synchronous={synchronous}")
        cursor.execute("PRAGMA foreign_keys=ON")
        cursor.execute(f"PRAGMA journal_size_limit={WAL_LIMIT_BYTES}")
        if readonly:
            cursor.execute("PRAGMA query_only=ON")
        cursor.close()

    def do_begin(dbapi_connection: PoolProxiedConnection) -> None:
        cursor = dbapi_connection.cursor()
        cursor.execute(begin)
        cursor.close()

    event.listen(engine, "connect", on_connect)
    engine.dialect.do_begin = do_begin  # type: ignore[method-assign]
    engine.dialect.do_rollback = _roll_back  # type: ignore[assignment,method-assign]


def _roll_back(connection: PoolProxiedConnection) -> None:
    """Where nothing failed, without what the driver does first: it resets each of the hundreds of statements that it
    keeps, and each read ends here. Where something failed they are reset: a statement that was read half way lives as
    long as the error, and until it ends the connection goes on seeing the rows of then and holds the log."""
    driver: Any = connection.dbapi_connection
    if not driver.in_transaction:
        return
    if sys.exc_info()[1] is None:
        driver.execute("ROLLBACK")
    else:
        driver.rollback()


def leave_log_alone(engine: Engine) -> None:
    """Whoever writes with it writes the log back himself (`write_log_back`): SQLite does that inside the commit that
    fills it, and whoever waits for that commit waits for it too."""

    def on_connect(connection: Any, _: Any) -> None:
        connection.execute("PRAGMA wal_autocheckpoint=0")

    event.listen(engine, "connect", on_connect)


def write_log_back(engine: Engine) -> None:
    """If the log is long: a checkpoint, between two transactions. One that fails changes nothing, and is tried again
    after the next."""
    with contextlib.suppress(DBAPIError, sqlite3.Error), contextlib.closing(engine.raw_connection()) as connection:
        cursor = connection.cursor()
        _, pages, written_back = cursor.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
        if pages - written_back >= WAL_PAGES:
            cursor.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        cursor.close()


def as_unavailable(error: BaseException) -> StoreUnavailable | None:
    """What the callers are told when the database, not the function, is to blame; None when it is the function."""
    cause = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(cause, "sqlite_errorcode", None)
    if not isinstance(code, int):
        return None
    name = getattr(cause, "sqlite_errorname", "SQLITE_ERROR")
    primary = code & 0xFF
    if primary in _BROKEN or code in _BROKEN_EXTENDED:
        return StoreBroken(f"the database file cannot be trusted any more ({name})")
    if primary in _BUSY:
        return StoreBusy(f"the database is locked by another program ({name})")
    if primary in _UNAVAILABLE:
        return StoreUnavailable(f"the database cannot be written ({name})")
    return None
