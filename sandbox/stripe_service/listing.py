"""List answers: filters, pages by cursor, and the expansion of ids into objects."""

from collections.abc import Callable, Iterator
from itertools import islice, takewhile
from typing import Any

from sandbox.stripe_service.books import Books, Json, Table
from sandbox.stripe_service.errors import ApiError, bad_param, missing

PAGE_ROWS = 10
EXPAND_DEPTH_MAX = 4
Keep = Callable[[Json], bool]


def _all(_row: Json) -> bool:
    return True


def page(table: Table, params: Json, url: str, keep: Keep = _all, among: list[Json] | None = None) -> Json:
    """One page, newest first. `ending_before` gives the page that lies directly before (newer than) that id.
    `among`, oldest first, names the only rows that come into question."""
    limit = params.get("limit", PAGE_ROWS)
    before, after = params.get("ending_before"), params.get("starting_after")
    if before is not None and after is not None:
        raise bad_param(
            "You may only specify one of these parameters: starting_after, ending_before.", "starting_after"
        )
    for name, cursor in (("starting_after", after), ("ending_before", before)):
        if cursor is not None and table.get(cursor) is None:
            raise missing(table.kind, cursor, name, 400)
    rows = _walk(table, before, after) if among is None else _pick(table, among, before, after)
    if before is None:
        oldest = _oldest_wanted(params)
        rows = takewhile(lambda row: bool(row["created"] >= oldest), rows)
    found = list(islice((row for row in rows if _in_range(row, params) and keep(row)), limit + 1))
    has_more = len(found) > limit
    found = found[:limit]
    if before is not None:
        found.reverse()
    return {"object": "list", "data": found, "has_more": has_more, "url": url}


def _walk(table: Table, before: str | None, after: str | None) -> Iterator[Json]:
    return table.older(after) if before is None else table.newer(before)


def _pick(table: Table, among: list[Json], before: str | None, after: str | None) -> Iterator[Json]:
    """What `_walk` would give, of the rows in `among` only."""
    if before is not None:
        return (row for row in among if table.place(row["id"]) > table.place(before))
    return (row for row in reversed(among) if after is None or table.place(row["id"]) < table.place(after))


def _oldest_wanted(params: Json) -> int:
    """`created` falls from row to row, so that a page can end where it falls below this."""
    wanted = params.get("created", {})
    return wanted if isinstance(wanted, int) else max(wanted.get("gte", 0), wanted.get("gt", -1) + 1)


def candidates(table: Table, params: Json) -> list[Json] | None:
    """The rows that an indexed filter names; None when no such filter is given."""
    field = next((name for name in table.indexed if name in params), None)
    return None if field is None else table.matching(field, params[field])


def _in_range(row: Json, params: Json) -> bool:
    wanted = params.get("created")
    if wanted is None:
        return True
    at = row["created"]
    if isinstance(wanted, int):
        return bool(at == wanted)
    return bool(
        at > wanted.get("gt", at - 1)
        and at >= wanted.get("gte", at)
        and at < wanted.get("lt", at + 1)
        and at <= wanted.get("lte", at)
    )


def equals(params: Json, *fields: str) -> Keep:
    """Keep rows whose fields are what the parameters of the same names say; absent parameters don't matter."""
    wanted = {field: params[field] for field in fields if field in params}
    return lambda row: all(row[field] == value for field, value in wanted.items())


class Expander:
    def __init__(self, books: Books) -> None:
        self._books = books

    def expand(self, answer: Json, paths: list[str]) -> Json:
        """A copy of `answer` with the named ids replaced by their objects; `data.` walks into a list."""
        for path in paths:
            steps = path.split(".")
            if len(steps) > EXPAND_DEPTH_MAX:
                raise ApiError(400, "You cannot expand more than 4 levels of a property.", param="expand")
            answer = self._walk(answer, steps, path)
        return answer

    def _walk(self, value: Any, steps: list[str], path: str) -> Any:
        if not steps or value is None:
            return value
        if isinstance(value, list):
            return [self._walk(inner, steps, path) for inner in value]
        step, rest = steps[0], steps[1:]
        inner = self._inner(value, step, path)
        return {**value, step: self._walk(inner, rest, path)}

    def _inner(self, value: Json, step: str, path: str) -> Any:
        if step == "line_items" and value.get("object") == "checkout.session":
            return line_items(self._books, value["id"])
        if step == "refunds" and value.get("object") == "charge":
            rows = self._books.refunds.matching("charge", value["id"])[::-1]
            return {"object": "list", "data": rows, "has_more": False, "url": f"/v1/charges/{value['id']}/refunds"}
        if step not in value:
            raise _not_expandable(path)
        inner = value[step]
        if not isinstance(inner, str):
            return inner
        found = self._books.find(inner)
        if found is None:
            raise _not_expandable(path)
        return found


def line_items(books: Books, session_id: str, limit: int = PAGE_ROWS, after: str | None = None) -> Json:
    """What a session sells, in the order in which it was given."""
    lines = books.line_items[session_id]
    start = next((place for place, line in enumerate(lines, 1) if line["id"] == after), 0)
    return {
        "object": "list",
        "data": lines[start : start + limit],
        "has_more": len(lines) > start + limit,
        "url": f"/v1/checkout/sessions/{session_id}/line_items",
    }


def _not_expandable(path: str) -> ApiError:
    """Found out after the endpoint ran, so that an idempotency key remembers it."""
    return ApiError(400, f"This property cannot be expanded ({path}).", param="expand")
