"""What a check is: a rule, and a way to look at the next page of rows for the first one that breaks it."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import Connection, Select, Table, bindparam, func, select

from storage.statements import always

PAGE_ROWS = 1_000
"""Rows of one page: a read of some ten milliseconds, so that a check beside the daemon holds nothing for long."""


@dataclass(frozen=True, slots=True)
class Finding:
    """The row that breaks a rule (`payouts 17`), and how."""

    row: str
    why: str


@dataclass(frozen=True, slots=True)
class Page:
    """What one page showed: how many rows were looked at, the first bad one, and where the next page goes on (None at
    the end, and after a finding)."""

    looked: int
    finding: Finding | None
    after: str | None


@dataclass(frozen=True, slots=True)
class Check:
    """`invariants` are the numbers of the reliability reference, section 3. `look` reads one page in one consistent
    view; `after` is what the page before gave, None for the first."""

    name: str
    invariants: tuple[str, ...]
    says: str
    look: Callable[[Connection, str | None], Page]


Find = Callable[[Connection, int, int], Iterable[Finding]]
"""Findings among the rows with ids from the first to the last given, best in the order of the ids."""


def by_rows(table: Table, find: Find) -> Callable[[Connection, str | None], Page]:
    """A look that goes through a table in the order of its ids."""

    def look(conn: Connection, after: str | None) -> Page:
        first, last, count = conn.execute(_page(table), {"after": int(after or 0)}).one()
        if not count:
            return Page(0, None, None)
        finding = next(iter(find(conn, first, last)), None)
        return Page(count, finding, str(last) if count == PAGE_ROWS and finding is None else None)

    return look


@cache
def _page(table: Table) -> Select[Any, Any, int]:
    """Of ids, which begin at one."""
    page = select(table.c.id).where(table.c.id > bindparam("after")).order_by(table.c.id).limit(always(PAGE_ROWS))
    ids = page.subquery().c.id
    return select(func.min(ids), func.max(ids), func.count())


def at_once(find: Callable[[Connection], Iterable[Finding]]) -> Callable[[Connection, str | None], Page]:
    """A look at sums: one page."""
    return lambda conn, _: Page(1, next(iter(find(conn)), None), None)
