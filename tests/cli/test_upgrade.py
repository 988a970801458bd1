"""`db upgrade` on a real PostgreSQL whose tables are large or held by somebody."""

import asyncio
from collections.abc import AsyncIterator

import asyncpg
import pytest
from alembic import command
from sqlalchemy import URL

from agent.cli.client import CommandFailed
from agent.cli.operations import upgrade_database
from storage import schema
from storage.engines import postgres_connections
from storage.engines.postgres import PostgresStore
from tests.config.environment import VALID
from tests.databases import PostgresServer

FIRST = "0001"
SOON_SECONDS = 30.0
WAITING = (
    "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > interval '1 second'"
)


@pytest.fixture
async def old_database(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[URL]:
    """At the first schema, and the one that `DATABASE_URL` names."""
    url = await postgres_server.empty_database()
    store = PostgresStore(url)
    await store.start()
    await store.write(lambda conn: command.upgrade(schema.configuration(conn), FIRST))
    await store.stop()
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
    yield url
    await postgres_server.drop(url)


async def test_a_statement_that_takes_longer_than_any_of_the_daemon_s_does_not_end_the_upgrade(
    old_database: URL, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A large table's index takes minutes. Here one that somebody holds stands for it."""
    monkeypatch.setattr(postgres_connections, "COMMAND_TIMEOUT_SECONDS", 0.5)
    address = old_database.render_as_string(hide_password=False)
    other, watcher = await asyncpg.connect(address), await asyncpg.connect(address)
    held = other.transaction()
    await held.start()
    await other.execute("LOCK TABLE payouts IN ACCESS SHARE MODE")
    upgrade = asyncio.create_task(upgrade_database(as_json=True))
    async with asyncio.timeout(SOON_SECONDS):
        while not upgrade.done() and not await watcher.fetchval(WAITING):
            await asyncio.sleep(0.05)
    await held.commit()
    assert await upgrade == 0
    assert await watcher.fetchval("SELECT version_num FROM alembic_version") == schema.head()
    await other.close()
    await watcher.close()


async def test_tables_are_not_changed_under_a_running_daemon(old_database: URL) -> None:
    """As `docker compose up` would, which runs the upgrade before it stops the old daemon."""
    daemon = PostgresStore(old_database)
    await daemon.start()
    with pytest.raises(CommandFailed, match="stop every daemon"):
        await upgrade_database(as_json=True)
    assert await daemon.read(schema.revision) == FIRST
    await daemon.stop()
    assert await upgrade_database(as_json=True) == 0
    await daemon.start()
    assert await upgrade_database(as_json=True) == 0, "there is nothing left to change"
    await daemon.stop()
