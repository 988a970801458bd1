"""Many rows by one statement, without what SQLAlchemy does for each value of each row: for plans, which have thousands.

The database sees the same statement with the same values.
"""

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from sqlalchemy import Connection, Insert

Bind = Callable[[Any], Any] | None


def execute_many(conn: Connection, statement: Insert, names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> None:
    """Insert rows whose values stand in the order of `names`; other columns keep their defaults."""
    if not rows:
        return
    compiled = statement.compile(dialect=conn.dialect, column_keys=list(names), for_executemany=True)
    if list(compiled.positiontup or ()) != list(names):
        raise ValueError(f"{statement.table.name} has these columns in another order, or the driver takes no positions")
    binds = [(place, bind) for place, name in enumerate(names) if (bind := _bind(conn, statement, name)) is not None]
    conn.exec_driver_sql(str(compiled), [_bound(row, binds) for row in rows])


def _bind(conn: Connection, statement: Insert, name: str) -> Bind:
    """Looked up for a value that was there before: the moment of a plan stands in each of its rows."""
    bind = statement.table.c[name].type.dialect_impl(conn.dialect).bind_processor(conn.dialect)
    return bind and cache(bind)


def _bound(row: tuple[Any, ...], binds: Sequence[tuple[int, Callable[[Any], Any]]]) -> tuple[Any, ...]:
    values = list(row)
    for place, bind in binds:
        values[place] = bind(values[place])
    return tuple(values)
