"""Weeks on the platform while its daemons die: real processes on a real database, the sandbox's services on sockets.

Buyers buy, the operator converts and pays, week after week in one world; meanwhile every replica is killed with SIGKILL
again and again, the database server too where there is one, and outside much goes wrong. At the end all is well and
everything comes to rest: then each week's own checks and the independent checker, which reads only the database and the
services' records, must find nothing.
"""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import aiohttp
from rich.console import Console

from agent.cli.children import run_command
from sandbox.handover import ACCESS_FILE
from sandbox.week.access import Access
from sandbox.week.plan import plan_week
from sandbox.week.player import Finished, Week
from sandbox.week.stages import Stages
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, now_ms, running_world
from simulator.checker import Records
from simulator.until import Stop, Until
from storage.errors import StoreUnavailable
from tests.databases import PostgresServer
from tests.logged import step_defects
from tests.soak.fleet import Fleet, again_and_again
from tests.soak.weather import OBSERVER, Weather
from tests.soak.witness import judged, records_of

SLOT_MS = 40
"""Five times as fast as the real chain: finality takes 1.3 s, the start gate 6 s; a week fits between two deaths."""
RSA_BITS = 2048
CREATORS = 4
PATIENCE_SECONDS = 600.0
"""How long people go on asking: all replicas may be dead for a while, on a machine that does other work beside."""
REST_SECONDS = 1_200.0
"""Longer than a step waits before it looks again at what it could not see."""
SERVER_DIES_EVERY = (10.0, 40.0)
DAEMON_AWAY = 1
"""What the command ends with when the daemon that it talks to is gone, or an answer from outside is."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for. Daemons die until there are so many kills, weeks are played until both figures are reached;
    when the time is over, the week that is under way is the last."""

    kills: int
    purchases: int
    seed: int
    replicas: int = 1
    week: int = 25
    """Purchases in each."""
    rail: str = "circle"
    grouping: str = "purchase"
    until: Until = field(default_factory=lambda: Until(Stop()))
    share_of_short: float = 0.4
    """Of the lives that end while the daemon still starts."""
    tell: Callable[["Siege"], None] = lambda _: None
    """Told after each week how far it is."""


@dataclass(frozen=True, slots=True)
class Played:
    """A week's outcome. `commands` are runs of distribute_usdc_batch that had to be repeated."""

    purchases: int
    commands: int
    violations: Sequence[str]


@dataclass(slots=True)
class Siege:
    """What came of it. `commands` as in `Played`."""

    kills: int = 0
    server_deaths: int = 0
    weeks: int = 0
    purchases: int = 0
    commands: int = 0
    acknowledged: int = 0
    struck: Counter[str] = field(default_factory=Counter)
    violations: list[str] = field(default_factory=list)
    seconds: float = 0.0

    def add(self, week: Played) -> None:
        """Its violations are told with its number."""
        self.weeks += 1
        self.purchases += week.purchases
        self.commands += week.commands
        self.violations += [f"week {self.weeks}: {found}" for found in week.violations]


async def besiege(plan: Plan, folder: Path, server: PostgresServer | None = None) -> Siege:
    """On the server's new database; without one, on an SQLite file, which takes one replica alone."""
    siege = Siege()
    url = None if server is None else await new_database(server)
    options = WorldOptions(
        folder / "data",
        port_base=0,
        seed=plan.seed,
        database_url=url,
        slot_ms=SLOT_MS,
        rsa_bits=RSA_BITS,
        rail=plan.rail,
        grouping=plan.grouping,
        user_wallets="developer" if plan.seed % 2 else "user",
    )
    async with running_world(options) as world:
        records, weather, dice = records_of(world), Weather(world), random.Random(plan.seed)
        weather.begin()

        def dies() -> bool:
            return fleet.kills < plan.kills and not plan.until.over()

        fleet = Fleet(world, folder, [{}] * plan.replicas, dice, plan.share_of_short)
        async with fleet, _dying(fleet, server, siege, dice, dies):
            while dies() or (siege.purchases < plan.purchases and not plan.until.over()):
                siege.add(await play_week(world, plan.seed * 1_000 + siege.weeks, plan.week))
                siege.kills = fleet.kills
                plan.tell(siege)
            weather.end()
            siege.violations += await at_rest(world.environment["DATABASE_URL"], records)
            siege.violations += step_defects(folder)
        siege.kills, siege.struck = fleet.kills, weather.struck
        siege.acknowledged = len(records.sent.acknowledged)
    siege.seconds = plan.until.taken
    return siege


async def new_database(server: PostgresServer) -> str:
    """As the daemon's own role sees it, with the least rights."""
    own = await server.restricted(await server.upgraded_database())
    return own.render_as_string(hide_password=False)


@contextlib.asynccontextmanager
async def _dying(
    fleet: Fleet, server: PostgresServer | None, siege: Siege, dice: random.Random, dies: Callable[[], bool]
) -> AsyncIterator[None]:
    """Daemons and server die beside the block; what goes wrong with them ends the block."""

    async def server_dies() -> None:
        assert server is not None
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, server.kill)
        siege.server_deaths += 1
        await asyncio.sleep(dice.uniform(0, 2))
        await loop.run_in_executor(None, server.start_again)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(fleet.live_and_die(dies))]
        if server is not None:
            tasks.append(group.create_task(again_and_again(server_dies, SERVER_DIES_EVERY, dice, dies)))
        yield
        for task in tasks:
            task.cancel()


async def play_week(world: World, seed: int, purchases: int) -> Played:
    """One more week of new people. Who is not served at once asks again."""
    commands = 0

    async def distribute(arguments: Sequence[str]) -> Finished:
        """The command, run again by its operator while the daemon is down or does not know something yet."""
        nonlocal commands
        give_up = time.monotonic() + PATIENCE_SECONDS
        while True:
            finished = await run_command(["distribute_usdc_batch", *arguments], world.environment)
            if finished.exit_code != DAEMON_AWAY or time.monotonic() > give_up:
                return finished
            commands += 1

    access = Access.read(world.options.data_dir / ACCESS_FILE)
    access = replace(access, solana_rpc=access.solana_rpc.rstrip("/") + OBSERVER)
    people = plan_week(seed, purchases, CREATORS)
    async with aiohttp.ClientSession() as session:
        wire = Wire(session, PATIENCE_SECONDS)
        with Stages(Console(quiet=True)) as stages:
            outcome = await Week(access, people, wire, stages, distribute, no_progress_seconds=PATIENCE_SECONDS).play()
    return Played(outcome.report["purchases"], commands, outcome.violations)


async def at_rest(url: str, records: Records) -> list[str]:
    """What the checker finds when nothing changes its mind any more; [] as soon as it finds nothing. The server may
    still be recovering from its last death."""
    give_up = time.monotonic() + REST_SECONDS
    while True:
        try:
            found = await judged(url, records, now_ms() * 1_000)
        except StoreUnavailable as error:
            found = [str(error)]
        if not found or time.monotonic() > give_up:
            return found
        await asyncio.sleep(2)
