"""Three daemons on one PostgreSQL: everything is done once, and one of them may die."""

import asyncio
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
from rich.console import Console
from sqlalchemy import URL, text

from agent.cli.children import run_command, running_daemon
from sandbox.handover import ACCESS_FILE
from sandbox.week.access import Access
from sandbox.week.plan import plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.report import Outcome
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, running_world
from storage.engines.postgres import PostgresStore
from tests.deploy.monitors import free_port

FAST_SLOTS_MS = 40
REPLICAS = 3
TWICE = "SELECT subject FROM state_history WHERE machine = '{}' AND after = '{}' GROUP BY 1 HAVING count(*) > 1"
ONCE = {
    "a payout was finalized twice": TWICE.format("payout", "distributed"),
    "a purchase was completed twice": TWICE.format("purchase", "completed"),
    "a mint or transfer had to be tried twice": (
        "SELECT id FROM mint_attempts WHERE attempt > 1 UNION ALL SELECT id FROM transfer_attempts WHERE attempt > 1"
    ),
    "a week was planned twice": (
        "SELECT cutoff_at FROM batches WHERE key LIKE 'monday:%' GROUP BY 1 HAVING count(*) > 1"
    ),
    "a payout is in two batches": "SELECT payout_id FROM batch_items GROUP BY 1 HAVING count(*) > 1",
}
"""What must find no row, whoever of the three did the work."""


async def test_three_replicas_do_everything_once_and_one_of_them_may_die(daemon_url: URL, tmp_path: Path) -> None:
    """The death of a replica that holds no work, while the others sell. Many deaths, at any moment: tests/soak."""
    options = WorldOptions(
        tmp_path / "data",
        port_base=0,
        seed=9,
        database_url=daemon_url.render_as_string(hide_password=False),
        slot_ms=FAST_SLOTS_MS,
        rsa_bits=2048,
    )
    async with running_world(options) as world, aiohttp.ClientSession() as session:
        async with AsyncExitStack() as stack:
            fleet = Fleet(world, tmp_path, stack)
            await fleet.begin()
            await fleet.lose(REPLICAS - 1)
            outcome = await play(world, session)
            assert outcome.violations == []
            assert outcome.report["distributed"] == outcome.report["purchases"] > 0
            runs = [await steps_run(session, world, fleet.addresses[place]) for place in range(REPLICAS - 1)]
    found = {what: await rows(daemon_url, sql) for what, sql in ONCE.items()}
    assert {what: found[what] for what in found if found[what]} == {}
    assert min(runs) > 0, f"only one replica ever worked: {runs}"


class Fleet:
    """The world's own daemon, and others beside it on ports of their own. The first must live: it is the address."""

    def __init__(self, world: World, folder: Path, stack: AsyncExitStack) -> None:
        self._world, self._folder, self._stack = world, folder, stack
        self.addresses: dict[int, str] = {}
        """Of the admin ports, place by place."""
        self._living: list[asyncio.subprocess.Process] = []

    async def begin(self) -> None:
        for place in range(REPLICAS):
            self._living.append(await self._start(place))

    async def lose(self, place: int) -> None:
        self._living[place].send_signal(signal.SIGKILL)
        await self._living[place].wait()

    async def _start(self, place: int) -> asyncio.subprocess.Process:
        own = {"AGENT_LISTEN": f"127.0.0.1:{free_port()}", "AGENT_ADMIN_LISTEN": f"127.0.0.1:{free_port()}"}
        settings = self._world.environment | (own if place else {})
        self.addresses[place] = settings["AGENT_ADMIN_LISTEN"]
        log = self._folder / f"replica-{place}.log"
        ready = f"http://{settings['AGENT_LISTEN']}/readyz"
        return await self._stack.enter_async_context(running_daemon(settings, ready, log))


async def play(world: World, session: aiohttp.ClientSession) -> Outcome:
    async def distribute(arguments: Sequence[str]) -> Finished:
        return await run_command(["distribute_usdc_batch", *arguments], world.environment)

    access = Access.read(world.options.data_dir / ACCESS_FILE)
    with Stages(Console(quiet=True)) as stages:
        return await Week(access, plan_week(9, 4, 2), Wire(session), stages, distribute).play()


async def steps_run(session: aiohttp.ClientSession, world: World, address: str) -> float:
    """How many steps a replica has run."""
    headers = {"Authorization": f"Bearer {world.identity.admin_token}"}
    async with session.get(f"http://{address}/metrics", headers=headers) as answer:
        lines = (await answer.text()).splitlines()
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("payment_agent_step_runs_total{"))


async def rows(url: URL, sql: str) -> list[str]:
    store = PostgresStore(url)
    await store.start()
    try:
        return [str(row[0]) for row in await store.read(lambda conn: conn.execute(text(sql)).all())]
    finally:
        await store.stop()
