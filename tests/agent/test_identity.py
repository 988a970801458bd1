"""What an installation is, pinned at its first start."""

import asyncio

from sqlalchemy import URL

from agent import identity
from ports.system import SystemClock
from storage.engines.postgres import PostgresStore
from storage.operation.listings import INSTALLED_AT
from tests.sales import START
from tests.storage.replicas import replica, until_it_waits


async def test_of_replicas_that_start_together_on_a_new_database_none_is_refused(postgres_url: URL) -> None:
    store = PostgresStore(postgres_url, writers=1)
    await store.start()
    async with replica(postgres_url) as first:
        await first.run_sync(lambda conn: identity.pin(conn, INSTALLED_AT, START.isoformat(), START))
        second = asyncio.create_task(identity.begin(store, SystemClock(), b"secret", "genesis"))
        await until_it_waits(second, postgres_url)
        await first.commit()
    await second
    assert await store.read(lambda conn: identity.recorded(conn, INSTALLED_AT)) == START.isoformat()
    await store.stop()
