"""What counts as a difference between a database and the tables in the code."""

from typing import Any


def default_differs(
    _context: Any, _inspected: Any, _column: Any, inspected_default: str | None, _default: Any, rendered: str | None
) -> bool | None:
    """SQLite gives an empty string back as `('')`, which Alembic calls a change. None = as Alembic says."""
    if inspected_default is None or rendered is None:
        return None
    return False if inspected_default.strip("()'") == rendered.strip("()'") else None
