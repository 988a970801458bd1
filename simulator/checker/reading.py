"""The daemon's database as a stranger reads it: plain SQL on a connection of its own."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

Rows = list[sqlite3.Row]


class Database:
    """One connection, since a new one reads the whole schema first. A look (`with`) sees one state of the database, and
    asks nothing again that it has asked of that state before."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._version = 0
        self._answers: dict[tuple[object, ...], Rows] = {}
        """What was answered of the state with that version, by the query and its values."""

    def __enter__(self) -> "Database":
        connection = self._open()
        connection.execute("BEGIN")
        version = connection.execute("PRAGMA data_version").fetchone()[0]
        if version != self._version:
            self._version, self._answers = version, {}
        return self

    def __exit__(self, *_: object) -> None:
        self._open().execute("ROLLBACK")

    def close(self) -> None:
        """Whoever removes the file or puts another in its place says so before: a connection that is closed later would
        remove the new file's log. The next look opens what lies there then."""
        connection, self._connection = self._connection, None
        self._version, self._answers = 0, {}
        if connection is not None:
            connection.close()

    def rows(self, sql: str, *values: Any) -> Rows:
        """Rows whose columns are read by name."""
        connection, asked = self._open(), (sql, *values)
        if connection.in_transaction and asked in self._answers:
            return self._answers[asked]
        found = connection.execute(sql, values).fetchall()
        if connection.in_transaction:
            self._answers[asked] = found
        return found

    def number(self, sql: str, *values: Any) -> int:
        """The one number that a query answers; 0 for NULL and for no row."""
        found = self.rows(sql, *values)
        return int(found[0][0] or 0) if found else 0

    def raw(self) -> bytes:
        """All bytes of the file and of its log."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return b"".join(path.read_bytes() for path in files if path.exists())

    def copy_to(self, place: Path) -> None:
        """A backup of what is committed now."""
        with closing(sqlite3.connect(self._path)) as source, closing(sqlite3.connect(place)) as target:
            source.backup(target)

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            self._connection = sqlite3.connect(self._path, isolation_level=None)
            self._connection.row_factory = sqlite3.Row
        return self._connection
