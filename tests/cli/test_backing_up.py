"""`backup` when something goes wrong in the middle: what stands under its name is whole, and only that counts."""

import asyncio
import os
import signal
import sqlite3
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from alembic import command

from agent.cli import safekeeping
from agent.cli.client import CommandFailed
from agent.cli.operations import upgrade_database
from ports.system import SystemClock
from storage import schema
from storage.engines.sqlite import SqliteStore
from storage.engines.whole_file import LEFT_BEHIND
from storage.recovery import backups, restoring
from tests.config.environment import VALID
from tests.programs import ROOT, needs, run
from tests.storage.test_backups import file_size_limit

SOMEBODY = "age1" + "q" * 58
"""Looks like a recipient; only a program that stands in for age takes it."""
BEGINS_AND_WAITS = """#!/bin/sh
printf 'age-encryption.org/v1 half'
echo $$ >"$BEGUN"
exec sleep 600
"""


@pytest.fixture
def operator(sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Beside a stopped daemon; the folder for backups, on its own."""
    for name, value in settings_of(sqlite_path).items():
        monkeypatch.setenv(name, value)
    (tmp_path / "kept").mkdir()
    return tmp_path / "kept"


def settings_of(database: Path) -> dict[str, str]:
    return VALID | {"DATABASE_URL": f"sqlite:///{database}", "AGENT_ADMIN_URL": "http://127.0.0.1:9"}


def recorded(database: Path) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as connection:
        return connection.execute("SELECT kind, name, size_bytes, sha256 FROM backups").fetchall()


def leftovers(database: Path) -> list[str]:
    return sorted(path.name for path in database.parent.glob(".*"))


@asynccontextmanager
async def encrypting(database: Path, folder: Path, tmp_path: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A backup that is being encrypted, by an `age` that has written half of it and goes on for ever."""
    programs, begun = tmp_path / "programs", tmp_path / "begun"
    programs.mkdir(exist_ok=True)
    (programs / "age").write_text(BEGINS_AND_WAITS)
    (programs / "age").chmod(0o700)
    begun.unlink(missing_ok=True)
    changed = {"PATH": f"{programs}:{os.defpath}", "BEGUN": str(begun), "AGENT_BACKUP_RECIPIENT": SOMEBODY}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "main.py", "backup", str(folder / "agent.age")),
        cwd=ROOT,
        env=settings_of(database) | changed,
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        async with asyncio.timeout(60):
            while not (begun.exists() and begun.read_text().endswith("\n")):
                assert process.returncode is None, await process.communicate()
                await asyncio.sleep(0.05)
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
        with suppress(ProcessLookupError, FileNotFoundError):
            os.kill(int(begun.read_text()), signal.SIGKILL)


@needs("age", "age-keygen")
async def test_a_backup_that_could_not_be_encrypted_does_not_count(
    operator: Path, sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, key = tmp_path / "plain.db", tmp_path / "key"
    backups.copy_sqlite(sqlite_path, plain)
    run(["age-keygen", "-o", key])
    monkeypatch.setenv("AGENT_BACKUP_RECIPIENT", run(["age-keygen", "-y", key]).strip())
    with file_size_limit(plain.stat().st_size), pytest.raises(CommandFailed):
        await safekeeping.back_up(operator / "agent.age", as_json=True)
    assert recorded(sqlite_path) == []
    assert list(operator.iterdir()) == [] and leftovers(sqlite_path) == []
    assert await safekeeping.back_up(operator / "agent.age", as_json=True) == 0
    file = operator / "agent.age"
    assert recorded(sqlite_path) == [("sqlite", str(file), file.stat().st_size, backups.digest(file))]
    assert list(operator.iterdir()) == [file] and leftovers(sqlite_path) == []


async def test_a_backup_that_is_ended_clears_up_and_a_killed_one_leaves_nothing_under_its_name(
    operator: Path, sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with encrypting(sqlite_path, operator, tmp_path) as process:
        pid = int((tmp_path / "begun").read_text())
        written = [path for path in operator.rglob("*") if path.is_file()]
        assert not [path for path in written if b"SQLite format 3" in path.read_bytes()]
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 128 + signal.SIGTERM
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    assert list(operator.iterdir()) == [] and leftovers(sqlite_path) == []
    async with encrypting(sqlite_path, operator, tmp_path) as process:
        process.kill()
        await process.wait()
    assert not (operator / "agent.age").exists()
    assert recorded(sqlite_path) == []
    assert list(operator.iterdir()) != [] != leftovers(sqlite_path)
    long_ago = (SystemClock().now() - 2 * LEFT_BEHIND).timestamp()
    for left in (*operator.iterdir(), *sqlite_path.parent.glob(".*")):
        os.utime(left, (long_ago, long_ago))
    assert await safekeeping.back_up(operator / "agent.db", as_json=True) == 0
    assert [path.name for path in operator.iterdir()] == ["agent.db"]
    assert leftovers(sqlite_path) == []


async def test_a_database_that_waits_for_its_upgrade_is_copied_as_it_is_and_recorded_after_that(
    operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the new version is installed already, and nobody had the version before make the copy."""
    old, copy = tmp_path / "old.db", operator / "agent.db"
    monkeypatch.setenv("DATABASE_URL", str(old))
    with pytest.raises(CommandFailed, match=r"old.db is empty: there is nothing to copy"):
        await safekeeping.back_up(copy, as_json=True)
    store = SqliteStore(old)
    await store.start()
    await store.write(lambda conn: command.upgrade(schema.configuration(conn), "0001"))
    await store.stop()
    with pytest.raises(CommandFailed, match=r"stands at .*at schema 0001.* run `db upgrade`.* --external '.*agent.db'"):
        await safekeeping.back_up(copy, as_json=True)
    assert restoring.content(copy).revision == "0001"
    assert await upgrade_database(as_json=True) == 0
    assert await safekeeping.tell_of(str(copy), SystemClock().now(), as_json=True) == 0
    assert [(kind, name) for kind, name, *_ in recorded(old)] == [("external", str(copy))]


async def test_what_can_t_be_written_or_recorded_is_said_in_one_line(operator: Path, sqlite_path: Path) -> None:
    for file, why in (
        (operator / ("long" * 80), "File name too long"),
        (operator / "two\nlines", "can't be recorded"),
        (operator / "none" / "agent.db", "is no folder"),
    ):
        with pytest.raises(CommandFailed, match=why):
            await safekeeping.back_up(file, as_json=True)
    with pytest.raises(CommandFailed, match="in the past"):
        await safekeeping.tell_of("snapshot", SystemClock().now() + timedelta(hours=1), as_json=True)
    with pytest.raises(CommandFailed, match="can't be recorded"):
        await safekeeping.tell_of("", SystemClock().now(), as_json=True)
    assert recorded(sqlite_path) == [] and list(operator.iterdir()) == []


@pytest.mark.parametrize("where", ["agent:pass%27word@db.example/agent", "agent@db.example/agent?password=pass%27word"])
async def test_the_database_s_password_is_on_no_command_line(
    where: str, operator: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what could be dumped but not recorded is kept, and said how to tell of it."""
    program, told = tmp_path / "pg_dump", tmp_path / "told"
    program.write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" "$PGPASSWORD" >{told}; printf dumped')
    program.chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.defpath}")
    monkeypatch.setenv("DATABASE_URL", f"postgresql://{where}")
    with pytest.raises(CommandFailed, match=r"could not be recorded .* --external '.*agent.dump' --started-at 20"):
        await safekeeping.back_up(operator / "agent.dump", as_json=True)
    *arguments, password = told.read_text().splitlines()
    assert arguments == ["--format=custom", "--dbname=host='db.example' user='agent' dbname='agent'"]
    assert password == "pass'word"
    assert (operator / "agent.dump").read_text() == "dumped"
