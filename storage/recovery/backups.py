"""Backups: a whole copy of the SQLite file beside the running daemon, and the record of every backup that succeeded."""

import hashlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import UUID

import pysqlite3
from sqlalchemy import Connection, Row, func, insert, select

from storage.engines.whole_file import appearing
from storage.errors import StoreUnavailable
from storage.tables import backups, installation

_CHUNK_BYTES = 1024 * 1024
HOME = "home"
"""The fact of an installation that is stamped where it is in use (`storage/recovery/stamps.py`), but not in a copy."""
_SAY_COPY = (
    f"INSERT INTO {installation.name} (name, value, set_at)"  # noqa: S608
    f" SELECT '{HOME}', 'copy', coalesce(max(set_at), 0) FROM {installation.name} WHERE true"
    " ON CONFLICT (name) DO UPDATE SET value = excluded.value"
)
"""In the copy alone."""


@dataclass(frozen=True, slots=True)
class Copy:
    """A finished copy on disk."""

    size_bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class Taken:
    """A backup that succeeded. What was committed before `started_at` is in it; `name` says where it is."""

    kind: str
    name: str
    started_at: datetime
    finished_at: datetime
    size_bytes: int | None = None
    sha256: str | None = None


def copy_sqlite(source: Path, target: Path) -> Copy:
    """Write one consistent copy of a database, in use or not, to a file that does not exist yet, and check it. The copy
    says that it is one, whoever puts it in the place of a database, and how.

    Blocks for as long as the disk needs; a connection of its own, so that reads and writes go on. It stands at `target`
    once it is checked and on the disk. Raises StoreUnavailable, and then leaves no file behind.
    """
    try:
        with appearing(target) as place:
            with closing(pysqlite3.connect(_address(source), uri=True, isolation_level=None)) as connection:
                connection.execute("VACUUM INTO ?", (str(place),))
            with closing(pysqlite3.connect(place, isolation_level=None)) as connection:
                connection.execute("PRAGMA journal_mode=MEMORY")  # no other file beside it
                connection.execute(_SAY_COPY)
            verify(place)
            copy = Copy(place.stat().st_size, digest(place))
        return copy
    except pysqlite3.Error as error:
        raise StoreUnavailable(f"the backup could not be written: {error}") from None
    except OSError as error:
        raise StoreUnavailable(f"the backup can't be written to {target}: {error.strerror}") from None


def verify(file: Path) -> None:
    """Raise StoreUnavailable unless the file is an undamaged SQLite database."""
    try:
        with closing(looking_into(file)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()
    except pysqlite3.Error as error:
        raise StoreUnavailable(f"{file} is no usable database: {error}") from None
    if found is None or found[0] != "ok":
        raise StoreUnavailable(f"{file} is damaged: {found and found[0]}")


def looking_into(file: Path) -> pysqlite3.Connection:
    """A connection to a file that nobody writes to; makes none, and nothing beside it."""
    return pysqlite3.connect(_address(file) + "&immutable=1", uri=True)


def _address(file: Path) -> str:
    """As a path alone, a name with a `?` or `#` in it would be that of another file."""
    return file.absolute().as_uri() + "?mode=ro"


def digest(file: Path) -> str:
    """SHA-256 of a file, in hexadecimal digits."""
    found = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK_BYTES):
            found.update(chunk)
    return found.hexdigest()


def record(conn: Connection, taken: Taken, uuid: UUID, who: str) -> int:
    """Write down that a backup exists; the row's id."""
    made = conn.execute(
        insert(backups)
        .values(
            uuid=str(uuid),
            kind=taken.kind,
            name=taken.name,
            started_at=taken.started_at,
            finished_at=taken.finished_at,
            size_bytes=taken.size_bytes,
            sha256=taken.sha256,
            taken_by=who[:64],
        )
        .returning(backups.c.id)
    )
    return int(made.scalar_one())


def last_started(conn: Connection, now: datetime) -> datetime | None:
    """Everything committed before this moment is in a backup; None without any. What a clock that was ahead has dated
    does not count before its time: it would pass for new for as long as that."""
    begun = backups.c.started_at
    moment: datetime | None = conn.scalar(select(func.max(begun)).where(begun <= now))
    return moment


def listed(conn: Connection, limit: int) -> Sequence[Row[Any]]:
    """The latest backups, newest first."""
    return conn.execute(select(backups).order_by(backups.c.id.desc()).limit(limit)).all()
