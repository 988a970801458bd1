"""The siege: real daemons killed hundreds of times over thousands of purchases, on both databases."""

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path

from simulator.until import Until
from tests.databases import DURABLE_CONFIGURATION, PostgresServer, running_server
from tests.proof.document import Account
from tests.soak.siege import Plan, Siege, besiege

REPLICAS = 3
KEPT = Path("build")
"""Not under version control."""


def run(kills: int, purchases: int, seed: int, until: Until) -> Account:
    """Half of each figure with one daemon on SQLite, half with three replicas on PostgreSQL; rails in turn by seed."""
    half = Plan(-(-kills // 2), -(-purchases // 2), seed, until=until.part(1 / 2), tell=_tell)
    alone = _besieged(half)
    three = Plan(half.kills, half.purchases, seed + 1, REPLICAS, rail="solana", until=until.part(1 / 2), tell=_tell)
    with running_server(DURABLE_CONFIGURATION) as server:
        together = _besieged(three, server)
    struck = alone.struck + together.struck
    return Account(
        f"{kills} kills over {purchases} purchases",
        f"{alone.kills + together.kills} kills over {alone.purchases + together.purchases} purchases",
        until.taken,
        {
            "seeds": f"{half.seed} and {three.seed}",
            "one daemon on SQLite, rail circle": _told(alone),
            f"{REPLICAS} replicas on PostgreSQL, rail solana": f"{_told(together)}, "
            f"{together.server_deaths} kills of the database server",
            "faults outside": ", ".join(f"{times} × {kind}" for kind, times in sorted(struck.items())),
            "events answered 200": alone.acknowledged + together.acknowledged,
        },
        [*(f"on SQLite: {one}" for one in alone.violations), *(f"on PostgreSQL: {one}" for one in together.violations)],
    )


def _besieged(plan: Plan, server: PostgresServer | None = None) -> Siege:
    """Where something was found, the daemons' logs, and the database that is a file, are kept."""
    with tempfile.TemporaryDirectory() as folder:
        siege = asyncio.run(besiege(plan, Path(folder), server))
        if siege.violations:
            shutil.copytree(folder, KEPT / f"siege-{plan.seed}", dirs_exist_ok=True)
    return siege


def _tell(siege: Siege) -> None:
    print(f"kills: {_told(siege)}; {len(siege.violations)} violations", file=sys.stderr, flush=True)  # noqa: T201


def _told(siege: Siege) -> str:
    return (
        f"{siege.kills} kills, {siege.purchases} purchases in {siege.weeks} weeks, {siege.seconds / 60:.1f} minutes, "
        f"the batch command run again {siege.commands} times"
    )
