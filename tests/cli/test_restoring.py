"""`restore` as somebody runs it at night: on what he has, in whatever state, and as root."""

import json
import os
import re
import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest

from agent.cli import people_acts, safekeeping
from agent.cli.client import CommandFailed
from agent.cli.safekeeping import Wish
from agent.cli.terminal import StandardTerminal
from agent.identity import PLATFORM_ADDRESS, pin
from ports.system import SystemClock
from storage.engines.sqlite import SqliteStore
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.people import tokens
from storage.recovery import backups, restoring
from tests.config.environment import SECRETS, VALID
from tests.programs import ROOT, run
from tests.storage.test_backups import NOW, note, opened, pairs

SILENT = StandardTerminal(quiet=True)
THE_DAEMON = 12_345
"""A user who is nobody here."""


@pytest.fixture
def operator(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An operator beside a stopped daemon; its database."""
    settings = VALID | {"DATABASE_URL": f"sqlite:///{sqlite_path}", "AGENT_ADMIN_URL": "http://127.0.0.1:9"}
    for name, value in settings.items():
        monkeypatch.setenv(name, value)
    return sqlite_path


async def put_back(file: Path, *, paused: bool = False) -> int:
    return await safekeeping.put_back(file, SILENT, Wish(yes=True, as_json=True, paused=paused))


async def test_the_files_of_a_killed_database_come_back_with_what_only_its_log_holds(
    operator: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "snapshot" / "agent.db"
    kept.parent.mkdir()
    store = SqliteStore(operator)
    await store.start()
    await store.write(note(1))
    for suffix in ("", "-wal"):
        shutil.copy(f"{operator}{suffix}", f"{kept}{suffix}")
    await store.write(note(2))
    await store.stop()
    before = {path.name: path.read_bytes() for path in kept.parent.iterdir()}
    assert await put_back(kept) == 0
    assert pairs(operator) == (1, 1)
    with closing(sqlite3.connect(operator)) as connection:
        told = "SELECT reason FROM state_history WHERE machine = 'database'"
        assert connection.execute(told).fetchall() == [("agent.db",)]
    assert {path.name: path.read_bytes() for path in kept.parent.iterdir()} == before


@pytest.mark.parametrize("paused", [False, True])
async def test_what_was_paused_after_the_backup_can_be_paused_before_the_start(
    paused: bool, operator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy.db"
    backups.copy_sqlite(operator, copy)
    assert await put_back(copy, paused=paused) == 0
    assert json.loads(capsys.readouterr().out)["paused"] is paused
    store = SqliteStore(operator)
    await store.start()
    why = await store.read(lambda conn: why_on(conn, SENDS_PAUSED))
    await store.stop()
    assert why == ("restored from copy.db" if paused else None)


@pytest.mark.parametrize("schema", ["9999", None])
async def test_a_backup_of_a_newer_version_is_refused_before_anything_is_touched(
    schema: str | None, operator: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    backups.copy_sqlite(operator, copy)
    with closing(sqlite3.connect(copy)) as connection:
        connection.execute("DELETE FROM alembic_version")
        if schema is not None:
            connection.execute("INSERT INTO alembic_version VALUES (?)", (schema,))
        connection.commit()
    before = operator.read_bytes()
    with pytest.raises(CommandFailed, match="install the version that made it"):
        await put_back(copy)
    assert operator.read_bytes() == before
    assert not list(tmp_path.glob("agent.db.before-*"))


async def test_where_nothing_can_be_written_the_place_is_named(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    backups.copy_sqlite(operator, copy)
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{copy}/below/agent.db")
    with pytest.raises(CommandFailed, match="below: Not a directory"):
        await put_back(copy)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
async def test_what_root_restores_belongs_to_the_daemons_user(operator: Path, tmp_path: Path) -> None:
    copy, place = tmp_path / "copy.db", operator.parent
    backups.copy_sqlite(operator, copy)
    for file in place.glob("agent.db*"):
        file.unlink()
    os.chown(place, THE_DAEMON, THE_DAEMON)
    for _ in range(2):
        assert await put_back(copy) == 0
        found = {file.name.partition(".before-")[0]: file.stat() for file in place.glob("agent.db*")}
        assert {stat.st_uid for stat in found.values()} == {stat.st_gid for stat in found.values()} == {THE_DAEMON}
        assert {stat.st_mode & 0o777 for stat in found.values()} == {0o600}
    assert set(found) == {"agent.db", "agent.db.lock"}
    assert restoring.content(operator).purchases == 0


async def test_the_runbook_s_commands_restore(operator: Path, tmp_path: Path) -> None:
    """Word for word, with other places."""
    copy, etc, systemctl = tmp_path / "copy.db", tmp_path / "etc", tmp_path / "systemctl"
    store = SqliteStore(operator)
    await store.start()
    await store.write(lambda conn: pin(conn, PLATFORM_ADDRESS, "11111111111111111111111111111111", NOW))
    await store.write(note(1))
    backups.copy_sqlite(operator, copy)
    await store.write(note(2))
    await store.stop()
    (etc / "credentials").mkdir(parents=True)
    for name in sorted(SECRETS.keys() - {"DATABASE_URL"} | {"CIRCLE_W3S_ENTITY_SECRET"}):
        (etc / "credentials" / name).write_text(VALID[name])
    names = ("DATABASE_URL", "AGENT_ADMIN_URL", "CIRCLE_W3S_PLATFORM_WALLET_ID", "PUBLIC_BASE_URL")
    plain = VALID | {"DATABASE_URL": f"sqlite:///{operator}", "AGENT_ADMIN_URL": "http://127.0.0.1:9"}
    (etc / "agent.env").write_text("".join(f"{name}={plain[name]}\n" for name in names))
    systemctl.write_text("#!/bin/sh\n")
    systemctl.chmod(0o700)
    page = (ROOT / "docs/runbooks/restore.md").read_text(encoding="utf-8")
    commands = re.findall(r"^```\n(.*?)^```", page, re.MULTILINE | re.DOTALL)[0]
    for told, here in {
        "/opt/payment-agent": str(ROOT),
        "/etc/payment-agent": str(etc),
        ".venv/bin/python": sys.executable,
        "/var/backups/payment-agent/agent-20261126T033000Z.db": str(copy),
    }.items():
        assert told in commands
        commands = commands.replace(told, here)
    said = run(["sh", "-e", "-c", commands], environment={"PATH": f"{tmp_path}:{os.defpath}"})
    assert "Set aside" in said and " rules hold over " in said
    assert pairs(operator) == (1, 1)


async def test_a_token_of_after_a_restore_is_valid_and_those_of_the_backup_are_not(
    operator: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Made while no daemon runs: whoever restores at night has nothing else."""

    async def make(name: str) -> str:
        assert await people_acts.make_token(name, "approver", 90, as_json=True) == 0
        return str(json.loads(capsys.readouterr().out)["secret"])

    copy = tmp_path / "copy.db"
    before, bob = await make("ada"), await make("bob")
    async with opened(operator):
        backups.copy_sqlite(operator, copy)
    assert await put_back(copy) == 0
    capsys.readouterr()
    after = await make("ada")
    async with opened(operator) as store:
        now = SystemClock().now()
        assert await store.write(lambda conn: restoring.take_up(conn, now)) is None
        found = await store.read(lambda conn: [tokens.find(conn, one, now) for one in (before, bob, after)])
    assert [one and one.name for one in found] == [None, None, "ada"]
