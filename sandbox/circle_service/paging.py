"""Lists: order, date range and cursors, the same for every list of Circle's (reference/circle.md, section 3)."""

from collections.abc import Iterable
from typing import Protocol, TypeVar

from sandbox.circle_service.errors import cursor_not_found, cursor_not_uuid
from sandbox.circle_service.fields import Fields, is_uuid

PAGE_DEFAULT = 10
PAGE_MAX = 50


class Listed(Protocol):
    @property
    def id(self) -> str: ...
    @property
    def create_ms(self) -> int: ...


T = TypeVar("T", bound=Listed)


def page(query: Fields, items: Iterable[T]) -> list[T]:
    """The asked page of `items`, which come in the order of their making. Raises 400 or 404 in Circle's format.

    `from` and `to` are inclusive and compared at the precision of `createDate`, whole seconds.
    """
    size = query.integer("pageSize", PAGE_DEFAULT, 1, PAGE_MAX)
    order = query.choice("order", ("ASC", "DESC")) or "DESC"
    since, until = query.moment_ms("from"), query.moment_ms("to")
    before, after = query.text("pageBefore"), query.text("pageAfter")
    if before is not None and after is not None:
        query.fail("pageBefore", "not_required", "cannot be used together with pageAfter")
    query.done()
    chosen = [item for item in items if _within(item.create_ms // 1000 * 1000, since, until)]
    if order == "DESC":
        chosen.reverse()
    if after is not None:
        return chosen[_position(chosen, after) + 1 :][:size]
    if before is not None:
        end = _position(chosen, before)
        return chosen[max(0, end - size) : end]
    return chosen[:size]


def _within(ms: int, since: int | None, until: int | None) -> bool:
    return (since is None or ms >= since) and (until is None or ms <= until)


def _position(items: list[T], cursor: str) -> int:
    if not is_uuid(cursor):
        raise cursor_not_uuid()
    for index, item in enumerate(items):
        if item.id == cursor.lower():
            return index
    raise cursor_not_found()
