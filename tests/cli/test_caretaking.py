"""`doctor`, `backup` and `restore` as an operator runs them: before a daemon, beside it, and after it."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, inspect, text

from agent.checkup import Finding, State, examine, surroundings
from agent.cli import safekeeping
from agent.cli.client import CommandFailed
from agent.cli.safekeeping import Wish
from agent.cli.terminal import StandardTerminal
from agent.cli.treatment import check_up
from config.settings import SettingsError, load_settings
from gateways.transport import AiohttpTransport
from ports.clock import Clock
from ports.system import SystemClock, SystemIds
from sandbox.world import World
from storage import schema
from storage.engines.opening import database_path
from storage.engines.postgres import PostgresStore
from storage.errors import SchemaDiffers
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.recovery import adoption, backups, restoring
from tests.cli.test_backing_up import leftovers, recorded
from tests.cli.test_processes import command, daemon, world
from tests.config.environment import LIVE, VALID
from tests.databases import PostgresServer, running_server
from tests.programs import ROOT, needs, run
from tests.storage.test_backups import file_size_limit

__all__ = ["world"]


class WrongClock(SystemClock):
    """Ten minutes ahead."""

    def now(self) -> datetime:
        return super().now() + timedelta(minutes=10)


@pytest.fixture
async def transport() -> AsyncIterator[AiohttpTransport]:
    opened = AiohttpTransport()
    yield opened
    await opened.close()


@pytest.fixture
def operator(world: World, monkeypatch: pytest.MonkeyPatch) -> World:
    """The world's settings in this process's own environment: its commands run here."""
    for name, value in world.environment.items():
        monkeypatch.setenv(name, value)
    return world


async def findings(
    transport: AiohttpTransport, environ: Mapping[str, str], clock: Clock | None = None
) -> dict[str, Finding]:
    settings = load_settings(environ)
    seen = [one async for one in examine(settings, environ, transport, clock or SystemClock(), SystemIds())]
    told = " ".join(f"{one.text} {one.remedy}" for one in seen)
    assert not [secret for secret in settings.confidential if len(secret) > 7 and secret in told]
    return {one.check: one for one in seen}


async def test_a_day_of_a_caretaker(
    operator: World,
    transport: AiohttpTransport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """One world and one daemon for all of it: starting them is what takes the time."""
    copy = tmp_path / "kept.db"
    await finds_what_is_not_there_yet(transport, operator.environment)
    async with daemon(operator):
        await finds_a_healthy_daemon(operator)
        await names_each_wrong_thing(transport, operator.environment)
        await copies_beside_the_daemon(operator, copy)
        await copies_to_another_disk(operator)
        assert (await findings(transport, operator.environment))["backup"].state is State.OK
        running = await command(operator, "restore", str(copy), "--yes")
        assert running.code == 1 and "another process" in running.err
    capsys.readouterr()
    assert await check_up(as_json=False) == 1
    assert "FAIL stripe webhook" in (told := capsys.readouterr().out) and "is the daemon running?" in told
    await puts_back(copy, monkeypatch, capsys)
    monkeypatch.setenv("STRIPE_SECRET_KEY", "nonsense")
    with pytest.raises(SettingsError, match="STRIPE_SECRET_KEY"):
        await check_up(as_json=True)


async def finds_what_is_not_there_yet(transport: AiohttpTransport, environ: Mapping[str, str]) -> None:
    found = await findings(transport, environ)
    assert found["database"].state is State.WARNING
    assert found["stripe webhook"].state is found["circle webhook"].state is State.FAILED
    assert found["daemon"].state is State.SKIPPED


async def finds_a_healthy_daemon(world: World) -> None:
    ended = await command(world, "doctor", "--json")
    assert ended.code == 0, ended
    seen = {one["check"]: one["state"] for one in json.loads(ended.out)["findings"]}
    assert {check for check, state in seen.items() if state == "warning"} == {"secrets", "stripe key", "usdc", "backup"}
    assert (seen["rpc"], seen["stripe endpoint"]) == ("ok", "ok")
    assert {"stripe", "stripe endpoint", "circle", "rpc 1", "rpc 2", "clock", "sol", "daemon", "database"} <= set(seen)


async def names_each_wrong_thing(transport: AiohttpTransport, environ: Mapping[str, str]) -> None:
    wrong = {
        "stripe": {"STRIPE_SECRET_KEY": "sk_test_somebody_elses"},
        "circle": {"CIRCLE_W3S_API_KEY": "TEST_API_KEY:somebody:elses"},
        "rpc 2": {"SOLANA_RPC_URLS": f"{environ['SOLANA_RPC_URLS'].split(',')[0]},http://127.0.0.1:9"},
        "stripe webhook": {"PUBLIC_BASE_URL": environ["AGENT_STRIPE_API_URL"]},
    }
    for check, changed in wrong.items():
        found = (await findings(transport, {**environ, **changed}))[check]
        assert found.state is State.FAILED and next(iter(changed)) in found.remedy, found
    elsewhere = {**environ, "PUBLIC_BASE_URL": environ["AGENT_STRIPE_API_URL"]}
    endpoint = (await findings(transport, elsewhere))["stripe endpoint"]
    assert endpoint.state is State.WARNING and "no webhook endpoint at" in endpoint.text
    refused = (await findings(transport, {**environ, "AGENT_ADMIN_TOKEN": "another token, long enough"}))["daemon"]
    assert refused.state is State.WARNING and "AGENT_ADMIN_TOKEN" in refused.remedy
    alone = {**environ, "SOLANA_RPC_URLS": environ["SOLANA_RPC_URLS"].split(",")[0]}
    warned = (await findings(transport, alone))["rpc"]
    assert warned.state is State.WARNING and "SOLANA_RPC_URLS" in warned.remedy
    converts = {**environ, "AGENT_CONVERSION": "circle_mint"}
    converts |= dict.fromkeys(("AGENT_CAP_CONVERSION", "AGENT_CAP_CONVERSION_DAY"), "1000000")
    assert (await findings(transport, converts))["circle mint"].state is State.OK
    other_key = {**converts, "AGENT_CIRCLE_MINT_API_KEY": "SAND_API_KEY:somebody:elses"}
    mint = (await findings(transport, other_key))["circle mint"]
    assert mint.state is State.FAILED and "AGENT_CIRCLE_MINT_API_KEY" in mint.remedy
    late = (await findings(transport, environ, WrongClock()))["clock"]
    assert late.state is State.FAILED and "NTP" in late.remedy


async def copies_beside_the_daemon(operator: World, copy: Path) -> None:
    assert await safekeeping.back_up(copy, as_json=True) == 0
    assert copy.stat().st_mode & 0o777 == 0o600
    assert recorded(database_of(operator)) == [("sqlite", str(copy), copy.stat().st_size, backups.digest(copy))]
    with pytest.raises(CommandFailed, match="never overwrite"):
        await safekeeping.back_up(copy, as_json=False)


async def copies_to_another_disk(operator: World) -> None:
    """Where a name alone can't be given: under systemd each folder that may be written is such."""
    database, before = database_of(operator), recorded(database_of(operator))
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        copy = Path(folder) / "kept.db"
        assert os.stat(folder).st_dev != database.stat().st_dev
        with file_size_limit(database.stat().st_size // 2), pytest.raises(CommandFailed, match="File too large"):
            await safekeeping.back_up(copy, as_json=True)
        assert os.listdir(folder) == [] and recorded(database) == before
        assert await safekeeping.back_up(copy, as_json=True) == 0
        assert os.listdir(folder) == ["kept.db"] and copy.stat().st_mode & 0o777 == 0o600
        assert restoring.content(copy).purchases == 0
        assert recorded(database)[-1] == ("sqlite", str(copy), copy.stat().st_size, backups.digest(copy))
    assert leftovers(database) == []


def database_of(operator: World) -> Path:
    found = database_path(operator.environment["DATABASE_URL"])
    assert found is not None
    return found


async def puts_back(copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert await safekeeping.put_back(copy, StandardTerminal(quiet=False), Wish(yes=True, as_json=False)) == 0
    told = capsys.readouterr().out
    assert "Set aside" in told and "sends nothing before that" in told
    silent = StandardTerminal(quiet=True)
    assert await safekeeping.put_back(copy, silent, Wish(yes=False, as_json=True)) == safekeeping.NOBODY_TO_ASK
    with monkeypatch.context() as elsewhere:
        elsewhere.setenv("AGENT_DERIVATION_SECRET", "another" * 8)
        with pytest.raises(CommandFailed, match="AGENT_DERIVATION_SECRET"):
            await safekeeping.put_back(copy, silent, Wish(yes=True, as_json=True))


@pytest.fixture
def postgres_tools(postgres_server: PostgresServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """pg_dump and pg_restore of the tests' own server."""
    monkeypatch.setenv("PATH", f"{postgres_server.programs}:{os.defpath}")


@pytest.mark.parametrize(
    ("urls", "told"),
    [
        ("https://rpc.example", "all your money rests on it: its word alone completes sales"),
        ("https://rpc.example/one,https://rpc.example/two", "all endpoints are of one host"),
        ("https://rpc.example,https://other.example", "nothing ends on the word of one"),
    ],
)
def test_one_provider_of_the_chain_is_warned_of_where_money_is_real(urls: str, told: str) -> None:
    environ = VALID | LIVE | {"SOLANA_RPC_URLS": urls}
    (found,) = [one for one in surroundings.keys(load_settings(environ), environ) if one.check == "rpc"]
    assert told in found.text


@pytest.mark.parametrize(("proxies", "state"), [("", State.WARNING), ("127.0.0.1", State.OK)])
def test_a_proxy_that_no_setting_names_is_warned_of(proxies: str, state: State) -> None:
    environ = VALID | {"PUBLIC_BASE_URL": "https://shop.example", "AGENT_TRUSTED_PROXIES": proxies}
    (found,) = [one for one in surroundings.keys(load_settings(environ), environ) if one.check == "callers"]
    assert found.state is state and ("AGENT_TRUSTED_PROXIES" in found.remedy) is (state is State.WARNING)


@pytest.mark.parametrize(
    ("url", "secret"), [("sqlite:///data/agent.db", False), ("data/agent.db", False), (VALID["DATABASE_URL"], True)]
)
def test_a_database_s_address_is_a_secret_and_a_file_s_path_is_none(url: str, secret: bool) -> None:
    environ = VALID | {"DATABASE_URL": url}
    (found,) = [one for one in surroundings.keys(load_settings(environ), environ) if one.check == "secrets"]
    assert "STRIPE_SECRET_KEY" in found.text and ("DATABASE_URL" in found.text) is secret


async def test_a_server_that_keeps_nothing_through_a_power_cut_is_found(postgres_url: URL) -> None:
    """The tests' own server: nothing is flushed there."""
    environ = {**VALID, "DATABASE_URL": postgres_url.render_as_string(hide_password=False)}
    settings, clock = load_settings(environ), SystemClock()
    found = {one.check: one async for one in surroundings.database(settings, clock)}["durability"]
    assert found.state is State.FAILED
    assert "fsync = off, full_page_writes = off" in found.text and "postgresql.conf" in found.remedy


async def test_a_standby_that_no_commit_waits_for_is_warned_of(tmp_path: Path) -> None:
    with running_server() as server:
        url = await server.upgraded_database()
        settings = load_settings({**VALID, "DATABASE_URL": url.render_as_string(hide_password=False)})

        async def found() -> dict[str, Finding]:
            return {one.check: one async for one in surroundings.database(settings, SystemClock())}

        assert "replication" not in await found()
        followed = [str(server.programs / "pg_receivewal"), "-h", str(url.query["host"]), "-U", str(url.username)]
        with subprocess.Popen([*followed, "-D", str(tmp_path)], stderr=subprocess.DEVNULL) as follower:
            async with asyncio.timeout(60):
                while (warned := (await found()).get("replication")) is None:
                    assert follower.poll() is None
            follower.terminate()
        assert warned.state is State.WARNING and "synchronous_standby_names" in warned.remedy


async def test_postgresql_is_dumped_and_restored_into_an_empty_database_only(
    postgres_server: PostgresServer,
    postgres_tools: None,
    postgres_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
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
        await safekeeping.put_back(dump, terminal, Wish(yes=True, as_json=True))
    empty = await postgres_server.empty_database()
    use(empty)
    capsys.readouterr()
    assert await safekeeping.put_back(dump, terminal, Wish(yes=True, as_json=True)) == 0
    told = json.loads(capsys.readouterr().out)
    assert told == {"restored": str(dump), "schema": schema.head(), "aside": None, "paused": False}
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


KILLED = """#!/bin/sh
{before}
{real} "$@" && kill -9 $PPID
"""


@pytest.mark.parametrize("filled", [False, True])
async def test_on_what_a_killed_restore_has_left_nothing_starts(
    filled: bool,
    postgres_server: PostgresServer,
    postgres_tools: None,
    postgres_url: URL,
    tmp_path: Path,
) -> None:
    """Killed before PostgreSQL's tool has begun, or when it is done and nothing of it is written down."""
    dump, tool = tmp_path / "kept.dump", tmp_path / "pg_restore"
    real = postgres_server.programs / "pg_restore"
    run([postgres_server.programs / "pg_dump", "--format=custom", f"--file={dump}", at(postgres_url)])
    tool.write_text(KILLED.format(real=real, before="" if filled else "kill -9 $PPID; exit 1"))
    tool.chmod(0o700)
    empty = await postgres_server.empty_database()
    settings = VALID | {"DATABASE_URL": empty.render_as_string(hide_password=False)}
    restore = [sys.executable, "main.py", "restore", "--yes", "--paused", str(dump)]

    def restored(path: str) -> subprocess.CompletedProcess[str]:
        told = {**settings, "PATH": f"{path}:{os.defpath}"}
        return subprocess.run(restore, cwd=ROOT, env=told, capture_output=True, text=True, timeout=90, check=False)

    assert restored(f"{tmp_path}").returncode == -signal.SIGKILL
    store = PostgresStore(empty)
    await store.start()
    for use in (schema.ready, schema.check, schema.upgrade):
        with pytest.raises(SchemaDiffers, match="did not come to its end"):
            await store.write(use)
    again = restored(str(postgres_server.programs))
    if filled:
        assert again.returncode == 1 and "not empty" in again.stderr
    else:
        assert again.returncode == 0, again.stderr
        await store.write(schema.ready)
        assert await store.read(lambda conn: why_on(conn, SENDS_PAUSED)) == "restored from kept.dump"
    await store.stop()
    await postgres_server.drop(empty)


def at(url: URL) -> str:
    return f"--dbname={url.render_as_string(hide_password=False)}"


@needs("age", "age-keygen")
async def test_the_daemon_s_role_dumps_for_a_recipient_and_a_role_that_is_missing_is_named(
    postgres_server: PostgresServer,
    postgres_tools: None,
    postgres_url: URL,
    daemon_url: URL,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What the dump grants is granted again: the role must be there first, as on a new server it is not."""
    monkeypatch.setenv("PATH", f"{postgres_server.programs}:{os.environ['PATH']}:/usr/bin")  # noqa: TID251
    key, dump, terminal = tmp_path / "key", tmp_path / "kept.dump", StandardTerminal(quiet=True)
    run(["age-keygen", "-o", key])
    for name, value in VALID.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("AGENT_ADMIN_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("AGENT_BACKUP_RECIPIENT", run(["age-keygen", "-y", key]).strip())
    monkeypatch.setenv("DATABASE_URL", daemon_url.render_as_string(hide_password=False))
    assert await safekeeping.back_up(dump, as_json=True) == 0
    assert dump.read_bytes().startswith(b"age-encryption.org/v1")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["kept.dump", "key"]
    empty = await postgres_server.empty_database()
    monkeypatch.setenv("DATABASE_URL", empty.render_as_string(hide_password=False))
    assert await safekeeping.put_back(dump, terminal, Wish(yes=True, as_json=True, identity=key)) == 0
    await postgres_server.drop(empty)
    monkeypatch.setenv("DATABASE_URL", postgres_url.render_as_string(hide_password=False))
    owner = PostgresStore(postgres_url)
    await owner.start()
    try:
        await owner.write(lambda conn: run_each(conn, "CREATE ROLE gone", "GRANT SELECT ON jobs TO gone"))
        assert await safekeeping.back_up(tmp_path / "granting.dump", as_json=True) == 0
        await owner.write(lambda conn: run_each(conn, "DROP OWNED BY gone", "DROP ROLE gone"))
    finally:
        await owner.stop()
    empty = await postgres_server.empty_database()
    monkeypatch.setenv("DATABASE_URL", empty.render_as_string(hide_password=False))
    with pytest.raises(CommandFailed, match=r'pg_restore: .*role "gone" does not exist'):
        await safekeeping.put_back(tmp_path / "granting.dump", terminal, Wish(yes=True, as_json=True, identity=key))
    owner = PostgresStore(empty)
    await owner.start()
    assert await owner.read(lambda conn: inspect(conn).get_table_names()) == []
    await owner.stop()
    await postgres_server.drop(empty)


def run_each(conn: Connection, *statements: str) -> None:
    for statement in statements:
        conn.execute(text(statement))


async def test_without_postgresql_s_tools_the_way_out_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    settings = load_settings({**VALID, "DATABASE_URL": "postgresql://a:b@127.0.0.1:9/x"})
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CommandFailed, match="--external"):
        await safekeeping._dumped(settings, tmp_path / "x.dump")
