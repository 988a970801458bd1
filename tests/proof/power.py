"""Power failures by the hundred, on SQLite and on PostgreSQL, and the control that must lose."""

import asyncio
import random
import tempfile
from pathlib import Path

from simulator.progress import Progress
from simulator.until import Until
from storage import schema
from storage.engines.durability import MUST_BE_ON
from storage.engines.sqlite import open_writer
from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.proof.document import Account
from tests.soak.power import Loss, cut_postgres, cut_sqlite, durable

EVENTS = (20, 3_000)
"""Acknowledged before the power goes: from the first group on to several checkpoints of the log."""
SERVER_DEATHS_EACH = 5
"""So many failures of the file for each death of the server: that one takes longer to come back."""


def run(cuts: int, seed: int, until: Until) -> Account:
    """So many failures, or as many as fit into the time."""
    return asyncio.run(_run(cuts, seed, until))


async def _run(cuts: int, seed: int, until: Until) -> Account:
    dice, progress = random.Random(seed), Progress("power", cuts, "failures")
    file, server, control = Loss(), Loss(), Loss()
    with tempfile.TemporaryDirectory() as folder, running_server(DURABLE_CONFIGURATION) as postgres:
        template = _template(Path(folder))
        said = await durable(postgres)
        found = [f"PostgreSQL's {name} is {said[name]}" for name in MUST_BE_ON if said[name] != "on"]
        while file.cuts + server.cuts < cuts and not until.over():
            if file.cuts >= SERVER_DEATHS_EACH * (server.cuts + 1):
                server.add(await cut_postgres(postgres, dice.randint(*EVENTS)))
                continue
            file.add(await _once(template, dice))
            progress.at(file.cuts + server.cuts)
        control.add(await _once(template, dice, "NORMAL"))
    if not control.lost:
        found.append("the control, whose commits are not synced, lost nothing: this disk shows no loss")
    found += [f"event {event} was answered 200 and is lost" for event in (*file.lost, *server.lost)] + file.damage
    figures = {
        "seed": seed,
        "SQLite, every unsynced page lost, then some of them torn by sectors": f"{file.cuts} failures, "
        f"{file.images} files opened, {file.torn_sectors} sectors torn, {file.acknowledged} events acknowledged",
        "PostgreSQL killed with all its children": f"{server.cuts} times, {server.acknowledged} events acknowledged, "
        + ", ".join(f"{name} {said[name]}" for name in MUST_BE_ON),
        "acknowledged and lost": len(file.lost) + len(server.lost),
        "control with synchronous=NORMAL": f"lost {len(control.lost)} of {2 * control.acknowledged}, as it must",
    }
    return Account(f"{cuts} failures", f"{file.cuts + server.cuts}", until.taken, figures, found)


async def _once(template: Path, dice: random.Random, level: str | None = None) -> Loss:
    with tempfile.TemporaryDirectory() as folder:
        return await cut_sqlite(template, Path(folder), dice, dice.randint(*EVENTS), level)


def _template(folder: Path) -> Path:
    path = folder / "template.db"
    engine = open_writer(path, synchronous="OFF")
    with engine.begin() as connection:
        schema.upgrade(connection)
    engine.dispose()
    return path
