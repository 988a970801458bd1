"""Puts a backup in the place of an SQLite database, and takes up whatever copy is found in one's place. The database
before it is set aside, never deleted."""

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pysqlite3
from sqlalchemy import Connection, select
from sqlalchemy.exc import DBAPIError

from storage.engines.database_file import FileLock, make_file, prepare_place, sync
from storage.engines.sqlite import open_writer
from storage.errors import StoreUnavailable
from storage.history import note
from storage.operation.switches import SENDS_PAUSED, turn
from storage.people import tokens
from storage.recovery import backups, stamps, wallet_looks
from storage.recovery.adoption import RESTORED_AT
from storage.recovery.backups import HOME
from storage.statements import insert_into
from storage.tables import installation, moment_read, purchases, state_history

_WAL, _JOURNAL = "-wal", "-journal"
_LOGS = (_WAL, "-shm")
RESTORED = "restored"
BY_HAND = "a copy that was put in place by hand"


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
        with closing(backups.looking_into(file)) as connection:
            facts = dict(connection.execute("SELECT name, value FROM installation"))
            (revision,) = connection.execute("SELECT version_num FROM alembic_version").fetchone() or (None,)
            (newest,) = connection.execute(f"SELECT max(at) FROM {state_history.name}").fetchone()  # noqa: S608
            (number,) = connection.execute(f"SELECT count(*) FROM {purchases.name}").fetchone()  # noqa: S608
    except pysqlite3.Error as error:
        raise StoreUnavailable(f"{file} is no backup of this program: {error}") from None
    return Content(facts, revision, moment_read(newest), int(number))


@contextmanager
def with_its_log(file: Path, folder: Path) -> Iterator[Path]:
    """The backup as one file: itself, or, where a log lies beside it, a copy of both in `folder`, gone at the end.

    So lie the files of a database that was killed, in a snapshot, or set aside by a restore: without its log such a
    file lacks what was committed last. Raises StoreUnavailable.
    """
    if not _holds(_beside(file, _WAL)):
        yield file
        return
    try:
        place = tempfile.TemporaryDirectory(dir=folder, prefix=".restore-")
    except OSError as error:
        raise StoreUnavailable(f"the backup can't be copied to {folder}: {error.strerror}") from None
    with place as name:
        whole = Path(name) / "backup"
        try:
            for suffix in ("", _WAL):
                shutil.copyfile(_beside(file, suffix), _beside(whole, suffix))
            _leave_no_log(whole)
        except (OSError, pysqlite3.Error) as error:
            raise StoreUnavailable(f"{file} can't be read together with its log: {_why(error)}") from None
        yield whole


def mark_restored(conn: Connection, name: str, now: datetime, *, paused: bool = False) -> None:
    """From now on the start gate waits out whatever an earlier process may have sent, and whoever opens the database
    first takes it up. `paused`: and all sends wait for a person, as they may have done when the backup was already
    taken. Its tables may still be those of an older version."""
    _keep(conn, RESTORED_AT, now.isoformat(), now)
    _keep(conn, HOME, RESTORED, now)
    note(conn, "database", "restored", None, "restored", now, name[:500])
    if paused:
        turn(conn, SENDS_PAUSED, True, f"restored from {name}", "restore", now)


def take_up(conn: Connection, now: datetime) -> list[str] | None:
    """At the beginning of each use: if these rows are a copy, however it came here, it is marked as restored, and the
    operators' tokens and sessions in it end, since some of them may have been ended after it was made; and wallets that
    users got since are looked for. Returns whose tokens those were; None where the rows are where they were."""
    home = conn.scalar(select(installation.c.value).where(installation.c.name == HOME))
    if stamps.own_row(conn, installation, HOME) is not None:
        return None
    ended = None
    if home is not None:
        if home != RESTORED:
            mark_restored(conn, BY_HAND, now)
        wallet_looks.look_for_all(conn, now)
        ended = tokens.end_operators(conn, now)
        told = f"ended the tokens of {', '.join(ended)}"[:500] if ended else None
        note(conn, "database", "restored", "restored", "taken_up", now, told)
    _keep(conn, HOME, stamps.stamped(conn), now)
    return ended


def _keep(conn: Connection, name: str, value: str, now: datetime) -> None:
    values = {"value": value, "set_at": now}
    born = insert_into(installation, conn.dialect.name).values(name=name, **values)
    conn.execute(born.on_conflict_do_update(index_elements=[installation.c.name], set_=values))


def require_alone(database: Path) -> None:
    """Raise DatabaseLocked while a daemon runs on the database."""
    prepare_place(database)
    lock = FileLock(database)
    lock.acquire()
    lock.release()


def put_in_place(file: Path, database: Path, now: datetime, name: str = "", *, paused: bool = False) -> Path | None:
    """Replace the database by the backup; returns where the one before lies now, None if there was none. `name` is what
    its history says was restored, if that is not `file`.

    The copy is complete, marked and on the disk before anything is moved, and the exchange is one rename: a crash at
    any point leaves the old database or the new one. Raises DatabaseLocked while a daemon runs, StoreUnavailable.
    """
    prepare_place(database)
    lock = FileLock(database)
    lock.acquire()
    incoming = database.with_name(f"{database.name}.restoring")
    try:
        _clear(incoming)
        _prepare(file, incoming, lambda conn: mark_restored(conn, name or file.name, now, paused=paused))
        if _holds(database):
            _fold(database)
        aside = _set_aside(database, now)
        for suffix in _LOGS:
            _beside(database, suffix).unlink(missing_ok=True)
        sync(database.parent)
        os.replace(incoming, database)
        sync(database.parent)
        return aside
    except (OSError, pysqlite3.Error, DBAPIError) as error:
        raise StoreUnavailable(f"the backup can't be put in place: {_why(error)}") from None
    finally:
        _clear(incoming)
        lock.release()


def _why(error: OSError | pysqlite3.Error | DBAPIError) -> str:
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return str(error.orig if isinstance(error, DBAPIError) else error)


def _holds(file: Path) -> bool:
    return file.exists() and file.stat().st_size > 0


def _beside(database: Path, suffix: str) -> Path:
    return database.with_name(database.name + suffix)


def _clear(incoming: Path) -> None:
    """Whatever a restore that was killed has left goes too: SQLite would take its log for one of the next backup's."""
    for suffix in ("", *_LOGS, _JOURNAL):
        _beside(incoming, suffix).unlink(missing_ok=True)


def _prepare(file: Path, incoming: Path, mark: Callable[[Connection], None]) -> None:
    make_file(incoming)
    shutil.copyfile(file, incoming)
    engine = open_writer(incoming, synchronous="FULL")
    try:
        with engine.begin() as connection:
            mark(connection)
    finally:
        engine.dispose()
    _leave_no_log(incoming)
    sync(incoming)


def _leave_no_log(incoming: Path) -> None:
    """Only the file itself is moved. Raises pysqlite3.Error when its log can't be brought into it."""
    with closing(pysqlite3.connect(incoming, isolation_level=None)) as connection:
        (mode,) = connection.execute("PRAGMA journal_mode=DELETE").fetchone()
    if mode != "delete":
        raise pysqlite3.OperationalError("its log can't be brought into the file")


def _fold(database: Path) -> None:
    """Bring the log into the file, so that removing the log loses nothing; a damaged file keeps its log."""
    with suppress(pysqlite3.Error), closing(pysqlite3.connect(database, isolation_level=None)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _set_aside(database: Path, now: datetime) -> Path | None:
    """A second name for the old file, and for its log: together they are the old database. A log alone, whose file
    somebody has moved away, is kept too."""
    aside = database.with_name(f"{database.name}.before-{now.strftime('%Y%m%dT%H%M%SZ')}")
    there = [suffix for suffix in ("", _WAL) if _holds(_beside(database, suffix))]
    for suffix in there:
        os.link(_beside(database, suffix), _beside(aside, suffix))
    sync(database.parent)
    return aside if "" in there else None
