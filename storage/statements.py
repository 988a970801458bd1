"""Parts of statements that are built once and live as long as the process (ADR 31).

SQLite plans a statement by the values of some parameters: one that is compared with the condition of a partial index,
and a LIMIT. It then plans anew at each execution, which takes many times as long as the execution itself.
"""

from sqlalchemy import BindParameter, ColumnElement, Integer, String, literal_column


def fixed(word: str) -> ColumnElement[str]:
    """A word of our own as a part of the statement's text, so that partial indexes fit without a look at a parameter,
    on PostgreSQL too. Nothing that comes from outside."""
    if not word.replace("_", "").isalnum():
        raise ValueError(f"not a word of ours: {word!r}")
    return literal_column(f"'{word}'", String())


def varying(limit: BindParameter[int]) -> ColumnElement[int]:
    """A LIMIT that is another one each time: as an expression, whose value SQLite doesn't plan by."""
    return limit + 0


ONE = literal_column("1", Integer())
"""A LIMIT that is always the same."""
