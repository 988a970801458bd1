"""Puts a backup in the place of an SQLite database. The database before it is set aside, never deleted."""

import os
import shutil
from collections.abc import Mapping
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pysqlite3
from sqlalchemy import Connection
from sqlalchemy.dialects import postgresql, sqlite

from storage import backups
from storage.adoption import RESTORED_AT
from storage.database_file import FILE_MODE, FileLock, prepare_place, sync
from storage.errors import StoreUnavailable
from storage.history import note
from storage.sqlite import open_writer
from storage.tables import installation, moment_read, purchases, state_history

_WAL, _SHM = "-wal", "-shm"


@dataclass(frozen=True, slots=True)
class Content:
    """What a backup holds: the facts of its installation, its schema, its newest change and how many purchases."""

    facts: Mapping[str, str]
    revision: str | None
    newest: datetime | None
    purchases: int


def content(file: Path) -> Content:
    """Look into a backup without changing it. Raises StoreUnavailable when it is damaged or none of ours."""
    backups.verify(file)
    try:
        with closing(pysqlite3.connect(f"file:{file}?mode=ro&immutable=1", uri=True)) as connection:
            facts = dict(connection.execute("SELECT name, value FROM installation"))
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            (newest,) = connection.execute(f"SELECT max(at) FROM {state_history.name}").fetchone()  # noqa: S608
            (number,) = connection.execute(f"SELECT count(*) FROM {purchases.name}").fetchone()  # noqa: S608
    except pysqlite3.Error as error:
        raise StoreUnavailable(f"{file} is no backup of this program: {error}") from None
    return Content(facts, revision, moment_read(newest), int(number))


def mark_restored(conn: Connection, name: str, now: datetime) -> None:
    """From now on the start gate waits out whatever an earlier process may have sent."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    values = {"value": now.isoformat(), "set_at": now}
    born = dialect.insert(installation).values(name=RESTORED_AT, **values)
    conn.execute(born.on_conflict_do_update(index_elements=[installation.c.name], set_=values))
    note(conn, "database", "restored", None, "restored", now, name[:500])


def require_alone(database: Path) -> None:
    """Raise DatabaseLocked while a daemon runs on the database."""
    prepare_place(database)
    lock = FileLock(database)
    lock.acquire()
    lock.release()


def put_in_place(file: Path, database: Path, now: datetime) -> Path | None:
    """Replace the database by the backup; returns where the one before lies now, None if there was none.

    The copy is complete, marked and on the disk before anything is moved, and the exchange is one rename: a crash at
    any point leaves the old database or the new one. Raises DatabaseLocked while a daemon runs, StoreUnavailable.
    """
    existed = database.exists() and database.stat().st_size > 0
    prepare_place(database)
    lock = FileLock(database)
    lock.acquire()
    incoming = database.with_name(f"{database.name}.restoring")
    try:
        _prepare(file, incoming, now)
        _fold(database)
        aside = _set_aside(database, now) if existed else None
        for suffix in (_WAL, _SHM):
            database.with_name(database.name + suffix).unlink(missing_ok=True)
        os.replace(incoming, database)
        sync(database.parent)
        return aside
    except OSError as error:
        raise StoreUnavailable(f"the backup can't be put in place: {error.strerror}") from None
    finally:
        incoming.unlink(missing_ok=True)
        lock.release()


def _prepare(file: Path, incoming: Path, now: datetime) -> None:
    incoming.unlink(missing_ok=True)
    shutil.copyfile(file, incoming)
    incoming.chmod(FILE_MODE)
    engine = open_writer(incoming, synchronous="FULL")
    try:
        with engine.begin() as connection:
            mark_restored(connection, file.name, now)
    finally:
        engine.dispose()
    _fold(incoming)
    for suffix in (_WAL, _SHM):
        incoming.with_name(incoming.name + suffix).unlink(missing_ok=True)


def _fold(database: Path) -> None:
    """Bring the log into the file, so that removing the log loses nothing; a damaged file keeps its log."""
    with suppress(pysqlite3.Error), closing(pysqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _set_aside(database: Path, now: datetime) -> Path:
    """A second name for the old file, and for its log: together they are the old database."""
    aside = database.with_name(f"{database.name}.before-{now.strftime('%Y%m%dT%H%M%SZ')}")
    os.link(database, aside)
    wal = database.with_name(database.name + _WAL)
    if wal.exists():
        os.link(wal, aside.with_name(aside.name + _WAL))
    sync(database.parent)
    return aside
