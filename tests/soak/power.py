"""Power loss: what was answered 200 is there, in a file of which only synced pages are left, and in a killed server."""

import asyncio
import contextlib
import random
import shutil
import sys
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import select

from storage.engines.durability import MUST_BE_ON
from storage.engines.opening import open_store
from storage.tables import stripe_events
from tests.databases import PostgresServer
from tests.programs import ROOT
from tests.soak.sender import Answers, deliver_until_death

SECTOR = 512
"""What a disk writes whole or not at all."""
FILES = ("agent.db", "agent.db-wal")
WAIT_SECONDS = 300.0
"""A process needs seconds to start; on a machine that does much else, minutes."""
POLL_SECONDS = 0.005


@dataclass(slots=True)
class Loss:
    """What some power failures came to. `lost` are events that were answered 200 and are not there."""

    cuts: int = 0
    images: int = 0
    acknowledged: int = 0
    torn_sectors: int = 0
    lost: list[str] = field(default_factory=list)
    damage: list[str] = field(default_factory=list)

    def add(self, other: "Loss") -> None:
        self.cuts += other.cuts
        self.images += other.images
        self.acknowledged += other.acknowledged
        self.torn_sectors += other.torn_sectors
        self.lost += other.lost
        self.damage += other.damage


@contextlib.asynccontextmanager
async def intake(url: str, *more: str) -> AsyncIterator[tuple[int, asyncio.subprocess.Process]]:
    """The web room in a process of its own: its port. Killed at the end, if it lives."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.soak.intake_process", url, *more),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        async with asyncio.timeout(WAIT_SECONDS):
            yield int(await process.stdout.readline()), process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def cut(url: str, events: int, kill: Callable[[], None], *more: str) -> Answers:
    """Deliver events; as soon as so many have been acknowledged, `kill` what stands below and the process itself."""
    answers = Answers()
    async with intake(url, *more) as (port, process):
        load = asyncio.create_task(deliver_until_death(port, answers))
        while len(answers.acknowledged) < events and not load.done():
            await asyncio.wait([load], timeout=POLL_SECONDS)
        kill()
        process.kill()
        await process.wait()
        await load
    return answers


def _nothing_more() -> None:
    """On SQLite the process is all there is."""


async def cut_sqlite(template: Path, folder: Path, dice: random.Random, events: int, level: str | None = None) -> Loss:
    """One power failure under load, and the file as it may be found afterwards: nothing unsynced landed; or, sector by
    sector, some of it did. `level` is another `PRAGMA synchronous` than the product's."""
    real, kept = folder / "real", folder / "kept"
    for place in (real, kept):
        place.mkdir()
        shutil.copy(template, place / FILES[0])
    options = [str(kept)] if level is None else [str(kept), level]
    answers = await cut(f"sqlite:///{real / FILES[0]}", events, _nothing_more, *options)
    loss = Loss(cuts=1, acknowledged=len(answers.acknowledged))
    torn = folder / "torn"
    shutil.copytree(kept, torn)
    loss.torn_sectors = sum(tear(torn / name, real / name, dice) for name in FILES)
    for image in (kept, torn):
        loss.images += 1
        known = await events_in(f"sqlite:///{image / FILES[0]}")
        loss.lost += sorted(answers.acknowledged - known)
        loss.damage += await damage_of(image / FILES[0])
    return loss


def tear(image: Path, real: Path, dice: random.Random) -> int:
    """Carry some of the sectors that differ from the real file over into the image, as a disk may have written them
    before the power went; how many."""
    if not real.exists():
        return 0
    old, new = image.read_bytes() if image.exists() else b"", real.read_bytes()
    made, landed = bytearray(old), 0
    for start in range(0, len(new), SECTOR):
        sector = new[start : start + SECTOR]
        if bytes(made[start : start + SECTOR]) != sector and dice.random() < 0.5:
            made.extend(bytes(max(0, start + len(sector) - len(made))))
            made[start : start + len(sector)] = sector
            landed += 1
    image.write_bytes(made)
    return landed


async def cut_postgres(server: PostgresServer, events: int) -> Loss:
    """One death of the whole server and of the intake beside it, and what the server recovers."""
    url = await server.upgraded_database()
    address = url.render_as_string(hide_password=False)
    answers = await cut(address, events, server.kill)
    server.start_again()
    lost = sorted(answers.acknowledged - await events_in(address))
    return Loss(cuts=1, images=1, acknowledged=len(answers.acknowledged), lost=lost)


async def durable(server: PostgresServer) -> dict[str, str]:
    """What the server and a connection of ours say about flushing."""
    store = open_store(str(await server.upgraded_database()))
    await store.start()
    try:
        return await store.read(
            lambda conn: {name: conn.exec_driver_sql(f"SHOW {name}").scalar_one() for name in MUST_BE_ON}
        )
    finally:
        await store.stop()


async def events_in(url: str) -> set[str]:
    """The events that a daemon which is started on this database knows."""
    store = open_store(url)
    await store.start()
    try:
        return set(await store.read(lambda conn: conn.scalars(select(stripe_events.c.event_id)).all()))
    finally:
        await store.stop()


async def damage_of(path: Path) -> list[str]:
    """What SQLite finds wrong with a file."""
    store = open_store(f"sqlite:///{path}")
    await store.start()
    try:
        told = await store.read(lambda conn: conn.exec_driver_sql("PRAGMA integrity_check").scalars().all())
    finally:
        await store.stop()
    return [str(line) for line in told if line != "ok"]
