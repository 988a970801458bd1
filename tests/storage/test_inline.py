"""The store without threads, for the simulator."""

import asyncio

import pytest
from sqlalchemy.exc import IntegrityError

from storage.engines.inline import InlineStore
from storage.errors import StoreUnavailable
from tests.storage import scratch


async def test_the_inline_store_keeps_the_same_promises(inline_store: InlineStore) -> None:
    await inline_store.write(scratch.create)
    await asyncio.gather(*[inline_store.write(scratch.read_then_add) for _ in range(50)])
    assert await inline_store.read(scratch.count_of) == 50
    await inline_store.write(scratch.note("one"))
    with pytest.raises(IntegrityError):
        await inline_store.write(scratch.note("one"))
    assert await inline_store.healthy()
    await inline_store.stop()
    with pytest.raises(StoreUnavailable):
        await inline_store.read(scratch.count_of)
