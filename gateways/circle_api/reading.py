"""Calls whose answer becomes facts, and lists paged to their end."""

from collections.abc import AsyncIterator, Callable, Mapping
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

from gateways.answers import Json, ShapeError, rows, text
from gateways.circle_api.client import Call, CircleClient, read_call
from gateways.key_guard import KeyGuard

PAGE_ROWS = 50
"""Circle's largest page."""

T = TypeVar("T")
Read = Callable[[Json], T]


class CircleCalls:
    """What every group of calls stands on."""

    def __init__(self, client: CircleClient) -> None:
        self._client = client

    @property
    def key(self) -> KeyGuard:
        return self._client.key

    def require_key(self) -> None:
        """Before a first call is written down: raises KeyRefused where it would not leave."""
        self.key.require("not begun")

    async def _data(self, call: Call, read: Read[T]) -> T:
        return self._shaped(call, read, await self._client.data(call))

    def _shaped(self, call: Call, read: Read[T], obj: Json) -> T:
        try:
            return read(obj)
        except ShapeError as error:
            raise self._client.garbled(call, error) from error

    async def _pages(
        self,
        name: str,
        path: str,
        field: str,
        query: Mapping[str, str],
        *,
        cursor: str | None = None,
        user_token: str | None = None,
    ) -> AsyncIterator[tuple[list[Json], str | None]]:
        """Pages of `field`, each with the cursor of the next.

        Circle says nothing about a next page: a full page has one, with its last id as the cursor. Ends because the
        cursors move through a list that has an end; one that stands still raises.
        """
        while True:
            after = {} if cursor is None else {"pageAfter": cursor}
            call = read_call(name, path, {**query, "pageSize": str(PAGE_ROWS), **after}, user_token)
            found, following = await self._data(call, partial(_page, field=field, cursor=cursor))
            yield found, following
            if following is None:
                return
            cursor = following


def _page(data: Json, field: str, cursor: str | None) -> tuple[list[Json], str | None]:
    found = rows(data, field)
    if len(found) < PAGE_ROWS:
        return found, None
    last = text(found[-1], "id")
    if last == cursor:
        raise ShapeError("the list does not move on")
    return found, last


def moment(at: datetime) -> str:
    """A time in a query: whole seconds."""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def inner(field: str, read: Read[T]) -> Read[T]:
    """Facts of the object under `field` of `data`."""

    def read_inner(data: Json) -> T:
        found = data.get(field)
        if not isinstance(found, dict):
            raise ShapeError(f"'{field}' is missing")
        return read(found)

    return read_inner
