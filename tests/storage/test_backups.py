"""Copies of a database in use, and what becomes of the one that a copy replaces."""

import asyncio
import os
import resource
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Connection

from ports.system import SystemIds
from storage.engines.database_file import FileLock
from storage.engines.sqlite import SqliteStore
from storage.errors import DatabaseLocked, StoreUnavailable
from storage.operation.switches import turn
from storage.recovery import adoption, backups, restoring
from storage.recovery.backups import Taken
from storage.store import Store

NOW = datetime(2026, 11, 26, 6, 0, tzinfo=UTC)


def note(number: int) -> Callable[[Connection], None]:
    """One change with its history row, in one transaction."""
    return lambda conn: turn(conn, f"switch-{number}", True, "test", "me", NOW)


def pairs(file: Path) -> tuple[int, int]:
    """Switches and their history rows."""
    with closing(sqlite3.connect(f"file:{file}?mode=ro", uri=True)) as connection:
        (switches,) = connection.execute("SELECT count(*) FROM switches").fetchone()
        (history,) = connection.execute("SELECT count(*) FROM state_history WHERE machine = 'switch'").fetchone()
    return switches, history


async def test_a_copy_of_a_database_that_is_written_to_is_whole_and_its_owners_alone(
    sqlite_path: Path, sqlite_store: SqliteStore, tmp_path: Path
) -> None:
    await asyncio.gather(*(sqlite_store.write(note(number)) for number in range(100)))
    writing = [asyncio.create_task(sqlite_store.write(note(number))) for number in range(100, 400)]
    copied = await asyncio.get_running_loop().run_in_executor(
        None, lambda: backups.copy_sqlite(sqlite_path, tmp_path / "copy.db")
    )
    await asyncio.gather(*writing)
    switches, history = pairs(tmp_path / "copy.db")
    assert 100 <= switches == history <= 400
    assert (tmp_path / "copy.db").stat().st_mode & 0o777 == 0o600
    assert copied.sha256 == backups.digest(tmp_path / "copy.db")
    with pytest.raises(StoreUnavailable, match="File exists"):
        backups.copy_sqlite(sqlite_path, tmp_path / "copy.db")


async def test_the_newest_backup_is_told_by_when_it_was_begun(store: Store) -> None:
    """As far as it was begun by now: a clock that was years ahead has dated the last one."""
    later = NOW + timedelta(days=1)
    assert await store.read(lambda conn: backups.last_started(conn, later)) is None
    for hours in (0, 5, 2, 9_000):
        begun = NOW + timedelta(hours=hours)
        taken = Taken("external", f"snapshot {hours}", begun, begun + timedelta(minutes=1))
        await store.write(lambda conn, taken=taken: backups.record(conn, taken, SystemIds().uuid(), "me"))  # type: ignore[misc]
    assert await store.read(lambda conn: backups.last_started(conn, later)) == NOW + timedelta(hours=5)
    listed = await store.read(lambda conn: backups.listed(conn, 3))
    assert [row.name for row in listed] == ["snapshot 9000", "snapshot 2", "snapshot 5"]


async def test_a_restored_backup_is_marked_and_the_database_before_it_is_kept_with_its_log(
    sqlite_path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    async with opened(sqlite_path) as store:
        await store.write(note(1))
        backups.copy_sqlite(sqlite_path, copy)
        await store.write(note(2))
        with pytest.raises(DatabaseLocked):
            restoring.put_in_place(copy, sqlite_path, NOW)
    found = restoring.content(copy)
    assert (found.purchases, found.newest) == (0, NOW)
    aside = restoring.put_in_place(copy, sqlite_path, NOW)
    assert aside is not None
    assert sorted(path.name for path in tmp_path.glob("agent.db*")) == ["agent.db", aside.name, "agent.db.lock"]
    assert pairs(aside) == (2, 2)
    assert pairs(copy) == pairs(sqlite_path) == (1, 1)
    async with opened(sqlite_path) as store:
        assert await store.read(adoption.has_ever_sent)
        await store.write(note(3))


async def test_a_restore_that_fails_leaves_the_database_as_it_was(
    sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = tmp_path / "copy.db"
    backups.copy_sqlite(sqlite_path, copy)
    async with opened(sqlite_path) as store:
        await store.write(note(1))

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    with pytest.raises(StoreUnavailable, match="No space left"):
        restoring.put_in_place(copy, sqlite_path, NOW)
    assert pairs(sqlite_path) == (1, 1)
    FileLock(sqlite_path).acquire()


async def test_what_a_killed_restore_left_behind_does_not_get_into_the_next_one(
    sqlite_path: Path, tmp_path: Path
) -> None:
    """It was killed between its mark and its exchange; the next one restores another backup, as one does then."""
    older, newer = tmp_path / "older.db", tmp_path / "newer.db"
    async with opened(sqlite_path) as store:
        backups.copy_sqlite(sqlite_path, older)
        for number in range(60):
            await store.write(note(number))
        backups.copy_sqlite(sqlite_path, newer)
    incoming, log = tmp_path / "agent.db.restoring", tmp_path / "agent.db.restoring-wal"
    shutil.copy(newer, incoming)
    with closing(sqlite3.connect(incoming)) as connection:
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("UPDATE switches SET reason = 'left behind'")
        connection.commit()
        kept = log.read_bytes()
    log.write_bytes(kept)
    restoring.put_in_place(older, sqlite_path, NOW)
    backups.verify(sqlite_path)
    assert pairs(sqlite_path) == (0, 0)


@pytest.mark.parametrize("spare_kib", [-8, 0, 8, 16, 32])
async def test_a_disk_that_fills_up_while_a_backup_is_marked_stops_the_restore_or_leaves_it_whole(
    spare_kib: int, sqlite_path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    async with opened(sqlite_path) as store:
        for number in range(60):
            await store.write(note(number))
    backups.copy_sqlite(sqlite_path, copy)
    with file_size_limit(copy.stat().st_size + spare_kib * 1024):
        try:
            restoring.put_in_place(copy, sqlite_path, NOW)
            restored = True
        except StoreUnavailable:
            restored = False
    backups.verify(sqlite_path)
    assert pairs(sqlite_path) == (60, 60)
    async with opened(sqlite_path) as store:
        assert await store.read(adoption.has_ever_sent) is restored
    assert not list(tmp_path.glob("*.restoring*"))


async def test_a_backup_is_its_owners_alone_while_it_is_put_back_too(
    sqlite_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy, modes = tmp_path / "copy.db", list[int]()
    backups.copy_sqlite(sqlite_path, copy)
    copies = shutil.copyfile

    def watched(source: Path, target: Path) -> Path:
        copies(source, target)
        modes.append(target.stat().st_mode & 0o777)
        return target

    monkeypatch.setattr(shutil, "copyfile", watched)
    before = os.umask(0)
    try:
        restoring.put_in_place(copy, sqlite_path, NOW)
    finally:
        os.umask(before)
    assert modes == [0o600]


async def test_the_log_of_a_database_that_was_moved_away_is_set_aside_too(sqlite_path: Path, tmp_path: Path) -> None:
    copy, log = tmp_path / "copy.db", tmp_path / "agent.db-wal"
    async with opened(sqlite_path) as store:
        backups.copy_sqlite(sqlite_path, copy)
        await store.write(note(1))
        rows = log.read_bytes()
        sqlite_path.rename(tmp_path / "damaged.db")
    log.write_bytes(rows)
    restoring.put_in_place(copy, sqlite_path, NOW)
    (aside,) = tmp_path.glob("agent.db.before-*")
    assert aside.name.endswith("-wal") and aside.read_bytes() == rows
    assert pairs(sqlite_path) == (0, 0)


@pytest.mark.parametrize("name", ["before #2.db", "why?.db", "100%41.db"])
async def test_a_backup_may_have_any_name(name: str, sqlite_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / name
    backups.copy_sqlite(sqlite_path, copy)
    assert restoring.content(copy).purchases == 0
    assert [path.name for path in tmp_path.iterdir() if not path.name.startswith("agent.db")] == [name]


async def test_what_is_damaged_or_no_backup_of_ours_is_refused(sqlite_path: Path, tmp_path: Path) -> None:
    text = tmp_path / "text.db"
    text.write_text("not a database, although it is long enough to be one " * 100)
    other = tmp_path / "other.db"
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("CREATE TABLE things (id INTEGER)")
    torn = tmp_path / "torn.db"
    torn.write_bytes(sqlite_path.read_bytes()[: sqlite_path.stat().st_size // 2])
    for file in (text, other, torn):
        with pytest.raises(StoreUnavailable):
            restoring.content(file)


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """No file may grow beyond: what a full disk is to whoever writes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


class opened:
    """A store, open for a while."""

    def __init__(self, path: Path) -> None:
        self._store = SqliteStore(path)

    async def __aenter__(self) -> SqliteStore:
        await self._store.start()
        return self._store

    async def __aexit__(self, *_: object) -> None:
        await self._store.stop()
