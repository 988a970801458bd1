"""The open shop that most tests of the web room walk into."""

from collections.abc import AsyncIterator

import pytest

from storage.engines.sqlite import SqliteStore
from tests.web.shop import Shop, opened


@pytest.fixture
async def shop(sqlite_store: SqliteStore) -> AsyncIterator[Shop]:
    async with opened(Shop(sqlite_store)) as shop:
        yield shop
