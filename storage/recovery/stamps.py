"""Stamps on rows: which transaction of which database has written one. A copy of the row, by whatever means, was made
by another transaction or lies in another database: its stamp doesn't fit it.

What is copied beneath PostgreSQL (a snapshot of its disk, a recovery to a point in time) comes back as it was. A file
of SQLite's has nothing that a copy of it lacks: there a stamp fits until somebody takes it away.
"""

from typing import Any

from sqlalchemy import BigInteger, Connection, Row, Table, literal_column, select, text

_HERE = "here"
_NUMBERS = 1 << 32
"""PostgreSQL keeps so many of a transaction's number with each row."""


def stamped(conn: Connection, value: str = "") -> str:
    """The value with the stamp of this transaction, which must write the row itself and not in a savepoint."""
    return f"{value}@{conn.scalar(_STAMP) if _has_transactions(conn) else _HERE}"


def value_of(row: Row[Any]) -> str:
    """What was stamped."""
    return str(row.value).rpartition("@")[0]


def own_row(conn: Connection, table: Table, name: str) -> Row[Any] | None:
    """The row of that name as long as it is no copy."""
    named = table.c.name == name
    if not _has_transactions(conn):
        row = conn.execute(select(table).where(named)).one_or_none()
        return row if row is not None and row.value.endswith(f"@{_HERE}") else None
    row = conn.execute(select(table, _WRITER).where(named)).one_or_none()
    if row is None:
        return None
    place, _, number = row.value.rpartition("@")[2].rpartition("/")
    fits = place == conn.scalar(_PLACE) and number.isdecimal() and int(number) % _NUMBERS == row.writer
    return row if fits else None


def _has_transactions(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


_WHERE = "system_identifier || '/' || (SELECT oid FROM pg_database WHERE datname = current_database())"
_PLACE = text(f"SELECT {_WHERE} FROM pg_control_system()")  # noqa: S608
_STAMP = text(f"SELECT {_WHERE} || '/' || txid_current() FROM pg_control_system()")  # noqa: S608
_WRITER = literal_column("xmin::text::bigint", BigInteger()).label("writer")
