"""What only the SQLite store can meet: full and failing disks, its file, its lock, its library."""

import asyncio
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import pysqlite3
import pytest
from sqlalchemy import Connection, text

from storage.engines import sqlite_readers
from storage.engines.database_file import prepare_place, refuse_network_file_system
from storage.engines.sqlite import SqliteStore
from storage.engines.sqlite_connections import PAGE_BYTES, WAL_PAGES, as_unavailable
from storage.engines.sqlite_readers import READERS
from storage.errors import DatabaseLocked, StoreBroken, StoreBusy, StoreUnavailable, UnsafePlace
from tests.storage import scratch

BIG = "x" * 100_000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB, where this process may mount one."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", str(place)]
    if subprocess.run(mount, capture_output=True, check=False).returncode != 0:
        pytest.skip("this process may not mount a disk")
    yield place
    subprocess.run(["umount", "-l", str(place)], check=True)


@asynccontextmanager
async def writer_held_up(store: SqliteStore) -> AsyncIterator[None]:
    """The writer is at work on a group that ends with the block: what is written meanwhile makes the next one."""
    begun, free = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hold_up(_: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        free.wait(30)

    held = asyncio.ensure_future(store.write(hold_up))
    try:
        await begun.wait()
        yield
    finally:
        free.set()
    await held


async def in_one_group(store: SqliteStore) -> list[str | BaseException]:
    """The answers to twenty large writes of one transaction."""
    async with writer_held_up(store):
        writes = [asyncio.ensure_future(store.write(scratch.note(str(number), BIG))) for number in range(20)]
        await asyncio.sleep(0)  # each has handed its function over
    return await asyncio.gather(*writes, return_exceptions=True)


async def test_a_full_disk_answers_the_whole_group_and_heals(small_disk: Path) -> None:
    store = SqliteStore(small_disk / "agent.db")
    await store.start()
    await store.write(scratch.create)
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 1_000_000)
    answers = await in_one_group(store)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert "SQLITE_FULL" in str(answers[0])
    assert await store.read(scratch.note_count) == 0
    ballast.unlink()
    assert await store.write(scratch.note("after")) == "after"
    assert await store.healthy()
    await store.stop()


@contextmanager
def files_limited_to(size: int) -> Iterator[None]:
    """Every write beyond that offset fails with EFBIG, as on a disk that returns errors."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


async def test_an_io_error_answers_the_whole_group_turns_health_red_and_heals(sqlite_store: SqliteStore) -> None:
    await sqlite_store.write(scratch.create)
    with files_limited_to(500_000):
        answers = await in_one_group(sqlite_store)
    assert all(isinstance(answer, StoreUnavailable) for answer in answers)
    assert await sqlite_store.read(scratch.note_count) == 0
    with files_limited_to(1000):
        assert not await sqlite_store.healthy()
    assert await sqlite_store.healthy()
    assert await sqlite_store.write(scratch.note("after")) == "after"
    assert await sqlite_store.read(scratch.note_ids) == {"after"}


@asynccontextmanager
async def readers_held_up(store: SqliteStore, number: int) -> AsyncIterator[list[asyncio.Task[int]]]:
    """That many reads have begun, and end with the block."""
    begun, free = asyncio.Semaphore(0), threading.Event()
    loop = asyncio.get_running_loop()

    def hold_up(connection: Connection) -> int:
        notes = scratch.note_count(connection)
        loop.call_soon_threadsafe(begun.release)
        free.wait(30)
        return notes + scratch.note_count(connection)

    held = [asyncio.create_task(store.read(hold_up)) for _ in range(number)]
    try:
        for _ in held:
            await begun.acquire()
        yield held
    finally:
        free.set()
    await asyncio.wait(held)


async def test_long_reads_hold_nobody_up_and_see_the_rows_of_their_beginning(sqlite_store: SqliteStore) -> None:
    await sqlite_store.write(scratch.create)
    async with readers_held_up(sqlite_store, READERS - 1) as held:
        assert await sqlite_store.write(scratch.note("meanwhile")) == "meanwhile"
        assert await sqlite_store.read(scratch.note_count) == 1
    assert [read.result() for read in held] == [0] * (READERS - 1)


async def test_a_read_that_finds_no_thread_free_is_told_so_and_the_next_one_finds_one(
    sqlite_store: SqliteStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sqlite_readers, "READER_WAIT_SECONDS", 0.05)
    await sqlite_store.write(scratch.create)
    async with readers_held_up(sqlite_store, READERS) as held:
        with pytest.raises(StoreBusy):
            await sqlite_store.read(scratch.note_count)
        held[0].cancel()  # its thread is taken until it has read
        with pytest.raises(StoreBusy):
            await sqlite_store.read(scratch.note_count)
    assert held[0].cancelled()
    assert (
        await asyncio.gather(*[sqlite_store.read(scratch.note_count) for _ in range(2 * READERS)]) == [0] * 2 * READERS
    )


async def test_a_stop_waits_for_the_reads_that_have_begun_and_refuses_the_others(sqlite_path: Path) -> None:
    store = SqliteStore(sqlite_path)
    await store.start()
    await store.write(scratch.create)
    async with readers_held_up(store, READERS) as held:
        waiting = asyncio.ensure_future(store.read(scratch.note_count))
        await asyncio.sleep(0)
        stopped = asyncio.ensure_future(store.stop())
        await asyncio.sleep(0)
        assert not stopped.done()
    await stopped
    assert [read.result() for read in held] == [0] * READERS
    with pytest.raises(StoreUnavailable):
        await waiting


LONG = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000000) SELECT count(*) FROM n"


async def test_a_stop_interrupts_the_reads_that_are_long(sqlite_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite_readers, "STOP_SECONDS", 0.05)
    store = SqliteStore(sqlite_path)
    await store.start()
    begun, loop = asyncio.Event(), asyncio.get_running_loop()
    await store.read(lambda connection: connection.invalidate())  # one that a failure closed before

    def read_long(connection: Connection) -> None:
        loop.call_soon_threadsafe(begun.set)
        connection.execute(text(LONG))

    reading = asyncio.ensure_future(store.read(read_long))
    await begun.wait()
    await store.stop()
    with pytest.raises(StoreUnavailable, match="INTERRUPT"):
        await reading


async def test_a_full_queue_refuses_at_once(sqlite_path: Path) -> None:
    store = SqliteStore(sqlite_path, waiting_max=3)
    await store.start()
    await store.write(scratch.create)
    writes = [store.write(scratch.note(str(number))) for number in range(5)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert answers[:3] == ["0", "1", "2"]
    assert all(isinstance(answer, StoreUnavailable) for answer in answers[3:])
    assert await store.write(scratch.note("later")) == "later"
    await store.stop()


async def test_the_writer_connection_is_durable_and_keeps_foreign_keys(sqlite_store: SqliteStore) -> None:
    def pragmas(conn: Connection) -> list[object]:
        names = ("journal_mode", "synchronous", "foreign_keys")
        return [conn.execute(text(f"PRAGMA {name}")).scalar_one() for name in names]

    assert await sqlite_store.write(pragmas) == ["wal", 2, 1]
    assert await sqlite_store.read(pragmas) == ["wal", 2, 1]


async def test_the_file_and_a_new_directory_are_the_owners_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "agent.db"
    store = SqliteStore(path)
    await store.start()
    await store.write(scratch.create)
    modes = {place.name: place.stat().st_mode & 0o777 for place in [path.parent, *path.parent.iterdir()]}
    assert modes == {
        "new": 0o700,
        **dict.fromkeys(("agent.db", "agent.db-wal", "agent.db-shm", "agent.db.lock"), 0o600),
    }
    await store.stop()


def test_the_name_of_a_new_file_is_on_the_disk_before_anything_is_answered_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[int] = []
    fsync = os.fsync

    def recording(descriptor: int) -> None:
        synced.append(os.fstat(descriptor).st_ino)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", recording)
    path = tmp_path / "new" / "newer" / "agent.db"
    prepare_place(path)
    assert set(synced) == {place.stat().st_ino for place in (tmp_path, path.parent.parent, path.parent)}
    synced.clear()
    prepare_place(path)
    assert synced == []


async def test_a_second_store_on_the_same_file_is_refused_until_the_first_stops(
    sqlite_store: SqliteStore, sqlite_path: Path
) -> None:
    second = SqliteStore(sqlite_path)
    with pytest.raises(DatabaseLocked):
        await second.start()
    await second.stop()
    await sqlite_store.stop()
    await second.start()
    await second.stop()


async def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "agent.db"
    path.write_bytes(b"these are not the pages you are looking for" * 100)
    with pytest.raises(StoreBroken, match="SQLITE_NOTADB"):
        await SqliteStore(path).start()


def test_a_network_file_system_is_refused(tmp_path: Path) -> None:
    mounts = tmp_path / "mounts"
    mounts.write_text("/dev/sda / ext4 rw 0 0\nserver:/export /mnt/far\\040away nfs4 rw 0 0\n")
    refuse_network_file_system(Path("/var/lib/agent"), mounts)
    with pytest.raises(UnsafePlace, match="nfs4"):
        refuse_network_file_system(Path("/mnt/far away/agent"), mounts)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (5, StoreBusy),
        (517, StoreBusy),
        (10, StoreUnavailable),
        (1034, StoreBroken),
        (11, StoreBroken),
        (19, None),
        (1, None),
    ],
)
def test_errors_of_the_library_are_sorted_by_who_is_to_blame(code: int, kind: type[StoreUnavailable] | None) -> None:
    error = pysqlite3.OperationalError("x")
    error.sqlite_errorcode = code
    found = as_unavailable(error)
    assert (None if found is None else type(found)) is kind


async def test_a_long_log_is_written_back_into_the_file_between_two_transactions(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "agent.db")
    await store.start()
    await store.write(scratch.create)
    with closing(sqlite3.connect(tmp_path / "agent.db")) as looker:

        def pages() -> int:
            return int(looker.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()[1])

        for number in range(3):
            await store.write(scratch.note(str(number), "x" * WAL_PAGES * PAGE_BYTES))
        assert pages() >= WAL_PAGES
        await store.write(scratch.note("next"))
        assert 0 < pages() < WAL_PAGES
    await store.stop()


def fail_half_way(conn: Connection) -> None:
    rows = conn.execute(text("SELECT id FROM scratch_notes"))
    raise ValueError(next(iter(rows)).id)


async def test_what_failed_half_way_through_its_rows_holds_no_view_and_no_log_while_its_error_lives(
    sqlite_store: SqliteStore, sqlite_path: Path
) -> None:
    await sqlite_store.write(scratch.create)
    for number in range(3):
        await sqlite_store.write(scratch.note(str(number), "x" * WAL_PAGES * PAGE_BYTES))
    with pytest.raises(ValueError) as read_error:
        await sqlite_store.read(fail_half_way)
    with pytest.raises(ValueError) as write_error:
        await sqlite_store.write(fail_half_way)
    await sqlite_store.write(scratch.note("later", "x" * WAL_PAGES * PAGE_BYTES))
    assert await sqlite_store.read(scratch.note_count) == 4, "the connection still sees the rows of then"
    for name in ("next", "last"):  # the log is written back before the next one, not before the answer
        await sqlite_store.write(scratch.note(name))
    assert await sqlite_store.read(scratch.note_count) == 6
    with closing(sqlite3.connect(sqlite_path)) as looker:
        _, pages, written_back = looker.execute("PRAGMA wal_checkpoint(NOOP)").fetchone()
    assert pages - written_back < WAL_PAGES
    assert (str(read_error.value), str(write_error.value)) == ("0", "0")


async def test_a_link_may_lead_to_where_the_file_will_be(tmp_path: Path) -> None:
    link, disk = tmp_path / "agent.db", tmp_path / "another disk"
    disk.mkdir()
    link.symlink_to(disk / "agent.db")
    store = SqliteStore(link)
    await store.start()
    await store.write(lambda conn: conn.exec_driver_sql("CREATE TABLE things (id INTEGER)"))
    await store.stop()
    assert (disk / "agent.db").stat().st_mode & 0o777 == 0o600
    assert link.is_symlink()


def test_the_library_cannot_be_exchanged_once_somebody_has_the_other_one() -> None:
    late = "import sqlite3; from storage.engines import engine_library; engine_library.install()"
    ended = subprocess.run([sys.executable, "-c", late], capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "LibraryUnfit: sqlite3 was imported before" in ended.stderr
