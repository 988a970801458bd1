"""What was acknowledged is there after the process was killed."""

import asyncio
import sys
from pathlib import Path

from storage.engines.opening import open_store
from storage.engines.sqlite import SqliteStore
from tests.storage import scratch

ROOT = Path(__file__).parents[2]


async def start_writer(database_url: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.storage.writer_process",
        database_url,
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


async def test_every_acknowledged_write_survives_kill_9(database_url: str) -> None:
    store = open_store(database_url)
    await store.start()
    await store.write(scratch.create)
    await store.stop()

    writer = await start_writer(database_url)
    assert writer.stdout is not None
    lines = [await asyncio.wait_for(writer.stdout.readline(), 60) for _ in range(500)]
    writer.kill()
    rest, _ = await writer.communicate()
    acknowledged = {line.decode().strip() for line in lines} | set(rest.decode().split("\n")[:-1])

    await store.start()
    kept = await store.read(scratch.note_ids)
    await store.stop()
    assert len(acknowledged) >= 500
    assert acknowledged <= kept


async def test_a_second_process_on_the_same_file_is_refused(sqlite_store: SqliteStore, sqlite_path: Path) -> None:
    writer = await start_writer(f"sqlite:///{sqlite_path}")
    _, complaint = await asyncio.wait_for(writer.communicate(), 60)
    assert writer.returncode == 3
    assert complaint.decode().startswith("DatabaseLocked: another process (pid ")
    assert await sqlite_store.healthy()
