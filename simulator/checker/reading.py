"""The daemon's database as a stranger reads it: plain SQL on a connection of its own."""

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

Rows = list[sqlite3.Row]


class Database:
    """Opened for each look, which sees one state of it, and closed after it: the file may be put back from a backup
    between two of them."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None

    def __enter__(self) -> "Database":
        self._connection = sqlite3.connect(self._path, isolation_level=None)
        self._connection.row_factory = sqlite3.Row
        self._connection.execute("BEGIN")
        return self

    def __exit__(self, *_: object) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def rows(self, sql: str, *values: Any) -> Rows:
        """Rows whose columns are read by name."""
        if self._connection is not None:
            return self._connection.execute(sql, values).fetchall()
        with closing(sqlite3.connect(self._path)) as connection:
            connection.row_factory = sqlite3.Row
            return connection.execute(sql, values).fetchall()

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
