"""`backup` and `restore` as an operator runs them, on SQLite beside a daemon and on PostgreSQL with its own tools."""

import json
import os
from pathlib import Path

import pytest
from sqlalchemy import URL

from agent.cli import safekeeping
from agent.cli.client import CommandFailed
from agent.cli.terminal import StandardTerminal
from config.settings import load_settings
from sandbox.world import World
from storage import adoption, backups
from storage.postgres import PostgresStore
from tests.cli.test_processes import command, daemon, world
from tests.config.environment import VALID
from tests.databases import PostgresServer

__all__ = ["world"]


async def test_a_backup_is_taken_beside_the_daemon_and_put_back_only_without_it(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "kept.db"
    async with daemon(world):
        made = await command(world, "backup", str(copy), "--json")
        assert made.code == 0, made
        told = json.loads(made.out)
        assert (told["name"], told["sha256"]) == (str(copy), backups.digest(copy))
        assert copy.stat().st_mode & 0o777 == 0o600
        running = await command(world, "restore", str(copy), "--yes")
        assert running.code == 1 and "another process" in running.err
    restored = await command(world, "restore", str(copy), "--yes")
    assert restored.code == 0, restored
    assert "Set aside" in restored.out and "sends nothing before that" in restored.out
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CommandFailed, match="never overwrite"):
        await safekeeping.back_up(copy, as_json=False)
    silent = StandardTerminal(quiet=True)
    assert await safekeeping.put_back(copy, silent, yes=False, as_json=True) == safekeeping.NOBODY_TO_ASK
    monkeypatch.setenv("AGENT_DERIVATION_SECRET", "another" * 8)
    with pytest.raises(CommandFailed, match="AGENT_DERIVATION_SECRET"):
        await safekeeping.put_back(copy, silent, yes=True, as_json=True)


@pytest.fixture
def postgres_tools(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the tests' own server."""
    monkeypatch.setenv("PATH", f"{postgres_server.programs}:{os.defpath}")


async def test_postgresql_is_dumped_and_restored_into_an_empty_database_only(
    postgres_server: PostgresServer,
    postgres_tools: None,
    postgres_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def use(url: URL) -> None:
        for name, value in VALID.items():
            monkeypatch.setenv(name, value)
        monkeypatch.setenv("DATABASE_URL", url.render_as_string(hide_password=False))
        monkeypatch.setenv("AGENT_ADMIN_URL", "http://127.0.0.1:9")

    use(postgres_url)
    dump, terminal = tmp_path / "kept.dump", StandardTerminal(quiet=True)
    assert await safekeeping.back_up(dump, as_json=True) == 0
    with pytest.raises(CommandFailed, match="not empty"):
        await safekeeping.put_back(dump, terminal, yes=True, as_json=True)
    empty = await postgres_server.empty_database()
    use(empty)
    assert await safekeeping.put_back(dump, terminal, yes=True, as_json=True) == 0
    store = PostgresStore(empty)
    await store.start()
    assert await store.read(adoption.has_ever_sent)
    await store.stop()
    await postgres_server.drop(empty)
    store = PostgresStore(postgres_url)
    await store.start()
    (row,) = await store.read(lambda conn: backups.listed(conn, 5))
    await store.stop()
    assert (row.kind, row.sha256) == ("postgresql", backups.digest(dump))


async def test_without_postgresql_s_tools_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings({**VALID, "DATABASE_URL": "postgresql://a:b@127.0.0.1:9/x"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="--external"):
        await safekeeping._dumped(settings, tmp_path / "x.dump")
