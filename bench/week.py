"""The sandbox's week at size: purchases a second, the daemon's memory, seconds in each stage.

`python -m bench.week [purchases] [creators]` plays it with `--circle-limits fast` against the unchanged daemon as a
process of its own; the last line is one JSON object. Figures of one run on a shared machine: compare within it.
"""

import asyncio
import contextlib
import json
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import aiohttp
import psutil
from rich.console import Console

from agent.cli.children import run_command, running_daemon
from bench.arguments import numbers
from sandbox.handover import ACCESS_FILE
from sandbox.week.access import Access
from sandbox.week.plan import plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import WorldOptions, running_world

PURCHASES, CREATORS = 1_000, 100
SAMPLE_SECONDS = 0.5


async def main(purchases: int, creators: int) -> dict[str, object]:
    with tempfile.TemporaryDirectory() as folder:
        options = WorldOptions(Path(folder) / "data", port_base=0, circle_limits="fast")
        async with running_world(options) as world, aiohttp.ClientSession() as session:
            log = Path(folder) / "daemon.log"
            async with running_daemon(world.environment, f"{world.agent_url}/readyz", log) as daemon:
                memory: list[int] = []
                watcher = asyncio.create_task(_watch(daemon.pid, memory))

                async def distribute(arguments: Sequence[str]) -> Finished:
                    return await run_command(["distribute_usdc_batch", *arguments], world.environment)

                access = Access.read(options.data_dir / ACCESS_FILE)
                began = time.monotonic()
                with Stages(Console()) as stages:
                    plan = plan_week(options.seed, purchases, creators)
                    outcome = await Week(access, plan, Wire(session), stages, distribute).play()
                seconds = time.monotonic() - began
                watcher.cancel()
                await asyncio.gather(watcher, return_exceptions=True)
    return {
        "purchases": purchases,
        "creators": creators,
        "seconds": round(seconds, 1),
        "purchases_per_second": round(purchases / seconds, 1),
        "rss_mb_first": memory[0] // 2**20 if memory else None,
        "rss_mb_max": max(memory) // 2**20 if memory else None,
        "stages": {name: round(spent, 1) for name, spent in stages.seconds.items()},
        "violations": len(outcome.violations),
    }


async def _watch(pid: int, memory: list[int]) -> None:
    process = psutil.Process(pid)
    while True:
        with contextlib.suppress(psutil.NoSuchProcess):
            memory.append(process.memory_info().rss)
        await asyncio.sleep(SAMPLE_SECONDS)


if __name__ == "__main__":
    print(json.dumps(asyncio.run(main(*numbers(__doc__, PURCHASES, CREATORS)))))
