"""Takes backups of the running daemon's own database, and takes note of those made by other means."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path

from sqlalchemy import Connection

from domain.errors import RequestError
from ports.clock import Clock
from ports.executor import Executor
from ports.ids import Ids
from storage.engines.database_file import DIRECTORY_MODE, sync
from storage.engines.whole_file import clear_left_behind, passing
from storage.errors import StoreUnavailable
from storage.recovery import backups
from storage.recovery.backups import Taken

FOLDER = "backups"
"""Beside the database file: the one place where the daemon may surely write."""
USE_PG_DUMP = "PostgreSQL is copied by pg_dump: `python main.py backup FILE`; tell of other backups with --external"


class Backups:
    """`database` is the SQLite file; None where the database is PostgreSQL, whose own tools copy it."""

    def __init__(self, clock: Clock, ids: Ids, executor: Executor, database: Path | None) -> None:
        self._clock, self._ids, self._executor = clock, ids, executor
        self._database = database

    async def copy(self, target: Path | None = None) -> Taken:
        """Copy the SQLite file, to a new file in the daemon's folder unless `target` says otherwise. To be recorded.

        Raises RequestError 409 on PostgreSQL, StoreUnavailable when the copy can't be written.
        """
        database, started_at = self._file(), self._clock.now()
        place = target or self._place(database)
        copied = await self._executor.run(lambda: _copied(database, place, started_at))
        return Taken("sqlite", str(place), started_at, self._clock.now(), copied.size_bytes, copied.sha256)

    def passing(self) -> Path:
        """Where to copy to for somebody who takes it away at once, and records it where it then lies."""
        return passing(self._file().parent, self._ids.uuid().hex)

    def recorded(self, taken: Taken, who: str) -> Callable[[Connection], int]:
        """The write that remembers a backup, whoever has made it."""
        uuid = self._ids.uuid()
        return lambda conn: backups.record(conn, taken, uuid, who)

    def _file(self) -> Path:
        if self._database is None:
            raise RequestError(409, "use_pg_dump", USE_PG_DUMP)
        return self._database

    def _place(self, database: Path) -> Path:
        stamp = self._clock.now().strftime("%Y%m%dT%H%M%SZ")
        return database.parent / FOLDER / f"{database.stem}-{stamp}-{self._ids.uuid().hex[:8]}.db"


def _copied(database: Path, place: Path, now: datetime) -> backups.Copy:
    try:
        if not place.parent.exists():
            place.parent.mkdir(mode=DIRECTORY_MODE)
            sync(place.parent.parent)
        clear_left_behind(database.parent, now)
        clear_left_behind(place.parent, now)
    except OSError as error:
        raise StoreUnavailable(f"{place.parent} can't be written: {error.strerror}") from None
    return backups.copy_sqlite(database, place)
