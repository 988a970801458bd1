"""One SQLite library for the whole process: the one bundled with `pysqlite3`, put in place of `sqlite3`.

Two libraries on one file in one process drop each other's POSIX locks, so the exchange must come before any import
of `sqlite3`. This module imports nothing that does so.
"""

import sys

import pysqlite3
import pysqlite3.dbapi2

from storage.errors import LibraryUnfit

VERSION_MIN = (3, 53, 0)
"""Older ones can lose committed pages when a checkpoint races a writer (before 3.51.3), and can't exchange a CHECK
without building its table anew, which migrations never do."""


def install() -> None:
    """Make `import sqlite3` mean the bundled library. Call it first thing in a process; calling it again is harmless.

    Raises LibraryUnfit when somebody has the other library already.
    """
    if sys.modules.get("sqlite3") not in (None, pysqlite3):
        raise LibraryUnfit("sqlite3 was imported before storage.engines.engine_library.install() was called")
    sys.modules["sqlite3"] = pysqlite3
    sys.modules["sqlite3.dbapi2"] = pysqlite3.dbapi2


def check() -> None:
    """Raise LibraryUnfit unless the process runs on the bundled library and it is new enough."""
    if id(sys.modules.get("sqlite3")) != id(pysqlite3):
        raise LibraryUnfit("storage.engines.engine_library.install() must run before anything imports sqlite3")
    if pysqlite3.sqlite_version_info < VERSION_MIN:
        wanted = ".".join(str(part) for part in VERSION_MIN)
        raise LibraryUnfit(f"SQLite {pysqlite3.sqlite_version} is too old, {wanted} is needed: reinstall pysqlite3")
