from collections.abc import Callable

import pytest

from storage.engines.inline import InlineStore
from storage.store import Store
from tests.indexer.world import Indexed


@pytest.fixture
def indexed(store: Store) -> Indexed:
    """The indexer on each of the two databases, with one RPC endpoint."""
    return Indexed(store)


@pytest.fixture
def quick(inline_store: InlineStore) -> Callable[..., Indexed]:
    """Makes an indexer on SQLite without threads, with the endpoints given."""
    return lambda *paths, **options: Indexed(inline_store, paths or ("/",), **options)
