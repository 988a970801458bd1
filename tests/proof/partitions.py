"""Daemons cut off from what they need, one by one and all together, and such as stand still and go on."""

import asyncio
import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from simulator.until import Until
from tests.databases import DURABLE_CONFIGURATION, running_server
from tests.proof.document import Account
from tests.proof.kills import KEPT
from tests.soak.links import Trouble
from tests.soak.partitions import Parted, Plan, part

REPLICAS, PURCHASES = 3, 25
"""A week's purchases."""
SECONDS = (2.0, 45.0)
"""How long each holds: longer than any call of ours waits for its answer, and than a lease lasts."""
RAILS = ("circle", "solana")


def run(seed: int, until: Until) -> Account:
    """Every case once on each rail, three replicas on PostgreSQL."""
    found: dict[str, Parted] = {}
    with running_server(DURABLE_CONFIGURATION) as server:
        for number, rail in enumerate(RAILS):
            if until.over():
                break
            share = until.part(1 / len(RAILS))
            plan = Plan(seed + number, SECONDS, replicas=REPLICAS, week=PURCHASES, rail=rail, until=share, tell=_tell)
            with tempfile.TemporaryDirectory() as folder:
                found[rail] = asyncio.run(part(plan, Path(folder), server))
                if found[rail].violations:
                    shutil.copytree(folder, KEPT / f"parted-{plan.seed}", dirs_exist_ok=True)
    ready = [seconds for parted in found.values() for seconds in parted.ready_after] or [0.0]
    return Account(
        f"each of {len(Trouble)} troubles of each of 4 links, and standing still, for one of {REPLICAS} replicas and "
        f"for all of them, on {len(RAILS)} rails",
        f"{sum(parted.cases.total() for parted in found.values())} cases, "
        f"{sum(parted.purchases for parted in found.values())} purchases",
        until.taken,
        {
            "seeds": f"{seed} and {seed + 1}",
            "troubles": "; ".join(Trouble),
            "each held for": f"{SECONDS[0]:g} to {SECONDS[1]:g} s",
            "ready again": f"after {statistics.median(ready):.1f} s, {max(ready):.1f} s at most",
            **{f"rail {rail}: troubles met": _met(parted) for rail, parted in found.items()},
        },
        [f"rail {rail}: {one}" for rail, parted in found.items() for one in parted.violations],
    )


def _tell(done: int, wanted: int) -> None:
    print(f"partitions: {done} of {wanted} cases", file=sys.stderr, flush=True)  # noqa: T201


def _met(parted: Parted) -> str:
    return ", ".join(f"{name} {times}" for name, times in sorted(parted.struck.items()))
