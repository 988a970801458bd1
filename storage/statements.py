"""Parts of statements that are built once and live as long as the process (ADR 31).

SQLite plans a statement by the values of some parameters: one that is compared with the condition of a partial index,
and a LIMIT. It then plans anew at each execution, which takes many times as long as the execution itself.
"""

from collections.abc import Iterable
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ColumnElement,
    Integer,
    Select,
    String,
    Table,
    Update,
    bindparam,
    literal_column,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite


def fixed(word: str) -> ColumnElement[str]:
    """A word of our own as a part of the statement's text, so that partial indexes fit without a look at a parameter,
    on PostgreSQL too. Nothing that comes from outside."""
    if not word.replace("_", "").isalnum():
        raise ValueError(f"not a word of ours: {word!r}")
    return literal_column(f"'{word}'", String())


def varying(limit: BindParameter[int]) -> ColumnElement[int]:
    """A LIMIT that is another one each time: as an expression, whose value SQLite doesn't plan by."""
    return limit + 0


def always(limit: int) -> ColumnElement[int]:
    """A LIMIT that is the same each time, as a part of the text."""
    return literal_column(str(limit), Integer())


ONE = always(1)


def among(words: Iterable[str]) -> list[ColumnElement[str]]:
    """For `in_`: a list that is always the same, which SQLAlchemy need not fit into the text at each execution."""
    return [fixed(word) for word in words]


@cache
def row_of(table: Table) -> Select[Any]:
    """The row `which`."""
    return select(table).where(table.c.id == bindparam("which"))


@cache
def locked_row_of(table: Table) -> Select[Any]:
    """The row `which`, locked for the rest of the transaction where the database has row locks."""
    return row_of(table).with_for_update()


@cache
def change_of(table: Table) -> Update:
    """Sets the columns that its parameters name in the row `which`."""
    return update(table).where(table.c.id == bindparam("which"))


def insert_into(table: Table, dialect: str) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that may say what is to be done on a conflict, which each database has a class of its own for."""
    return sqlite.insert(table) if dialect == "sqlite" else postgresql.insert(table)
