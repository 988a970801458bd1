"""Weeks on the platform while its daemons are cut off, one by one or all, from what they need: from Stripe, Circle, the
chain's providers and the database; and while one of them is stopped and goes on, as a machine does that sleeps.

Nobody dies here, and outside nothing goes wrong but the network. A replica that is cut off does not know what the
others do meanwhile, and what it had sent may arrive after they have gone on.
"""

import asyncio
import contextlib
import itertools
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
from sqlalchemy import URL, make_url

from sandbox.solana_node import Endpoint
from sandbox.world import SECOND_PROVIDER, World, WorldOptions, running_world
from simulator.until import Stop, Until
from tests.databases import PostgresServer
from tests.logged import step_defects
from tests.soak.fleet import Fleet
from tests.soak.links import Link, Trouble, to_port, to_socket
from tests.soak.siege import RSA_BITS, SLOT_MS, Played, at_rest, new_database, play_week
from tests.soak.weather import OBSERVER
from tests.soak.witness import records_of

READY_SECONDS = 120.0
"""From the end of a trouble until every replica says that it is ready; beyond that it is a finding."""
POLL_SECONDS = 0.1


@dataclass(frozen=True, slots=True)
class Case:
    """What is done to which replica, or to all. `service` None: it is stopped, and goes on after that."""

    service: str | None
    trouble: Trouble | None
    place: int | None

    def __str__(self) -> str:
        whom = "all" if self.place is None else "one"
        return f"{whom} stopped" if self.service is None else f"{self.service} of {whom}: {self.trouble}"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is asked for: every case once, in the order of the seed. Each holds for a time between the two of `seconds`,
    and begins so long after the last as `gap` says. Weeks are played until all have been."""

    seed: int
    seconds: tuple[float, float]
    gap: tuple[float, float] = (0.5, 3.0)
    replicas: int = 1
    week: int = 25
    """Purchases in each."""
    rail: str = "circle"
    until: Until = field(default_factory=lambda: Until(Stop()))
    tell: Callable[[int, int], None] = lambda done, wanted: None
    """Told after each case how many there were, and of how many."""


@dataclass(slots=True)
class Parted:
    """What came of it."""

    weeks: int = 0
    purchases: int = 0
    cases: Counter[str] = field(default_factory=Counter)
    struck: Counter[str] = field(default_factory=Counter)
    """By service, how often something on its way met a trouble."""
    ready_after: list[float] = field(default_factory=list)
    """Seconds from the end of each trouble until every replica was ready."""
    violations: list[str] = field(default_factory=list)

    def add(self, week: Played) -> None:
        """Its violations are told with its number."""
        self.weeks += 1
        self.purchases += week.purchases
        self.violations += [f"week {self.weeks}: {found}" for found in week.violations]


def cases_of(plan: Plan, services: Sequence[str]) -> list[Case]:
    """Every trouble of every service, and being stopped; for one replica and, of several, for all at once."""
    troubles = [(service, trouble) for service in services for trouble in Trouble]
    places: list[int | None] = [0] if plan.replicas == 1 else [0, None]
    found = [Case(*one, place) for one, place in itertools.product([*troubles, (None, None)], places)]
    random.Random(plan.seed).shuffle(found)
    return found


class Cables:
    """Each replica's own links to what it needs."""

    def __init__(self, world: World, server: PostgresServer | None) -> None:
        ports = world.ports
        self._world = world
        self.links = {
            "stripe": Link(to_port(ports.stripe)),
            "circle": Link(to_port(ports.circle)),
            "rpc": Link(to_port(ports.solana_rpc)),
            "rpc, told": Link(to_port(ports.solana_ws)),
        }
        if server is not None:
            self.links["database"] = Link(to_socket(_socket_of(make_url(world.environment["DATABASE_URL"]))))

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for link in self.links.values():
                await stack.enter_async_context(link.up())
            yield

    @property
    def settings(self) -> Mapping[str, str]:
        """The addresses of these links, in place of what they lead to."""
        address = {name: f"127.0.0.1:{link.port}" for name, link in self.links.items()}
        rpc = f"http://{address['rpc']}"
        found = {
            "AGENT_STRIPE_API_URL": f"http://{address['stripe']}",
            "AGENT_CIRCLE_API_URL": f"http://{address['circle']}",
            "SOLANA_RPC_URLS": f"{rpc}/,{rpc}{SECOND_PROVIDER}",
            "SOLANA_WS_URL": f"ws://{address['rpc, told']}",
        }
        if "database" in self.links:
            url = make_url(self._world.environment["DATABASE_URL"])
            through = url.set(host="127.0.0.1", port=self.links["database"].port, query={})
            found["DATABASE_URL"] = through.render_as_string(hide_password=False)
        return found

    def trouble(self, service: str, trouble: Trouble | None) -> None:
        """The service is cut off by all the links that lead to it."""
        for name, link in self.links.items():
            if name.partition(",")[0] == service:
                link.trouble = trouble


def _socket_of(url: URL) -> str:
    folder = url.query["host"]
    assert isinstance(folder, str)
    return f"{folder}/.s.PGSQL.{url.port or 5432}"


async def part(plan: Plan, folder: Path, server: PostgresServer | None = None) -> Parted:
    """On the server's new database; without one, on an SQLite file, which takes one replica alone."""
    url = None if server is None else await new_database(server)
    options = WorldOptions(
        folder / "data",
        port_base=0,
        seed=plan.seed,
        database_url=url,
        slot_ms=SLOT_MS,
        rsa_bits=RSA_BITS,
        rail=plan.rail,
        user_wallets="developer",
    )
    parted = Parted()
    async with running_world(options) as world, AsyncExitStack() as stack:
        world.node.endpoints[OBSERVER] = Endpoint()
        records = records_of(world)
        cables = [Cables(world, server) for _ in range(plan.replicas)]
        for each in cables:
            await stack.enter_async_context(each.up())
        fleet = Fleet(world, folder, [each.settings for each in cables], random.Random(plan.seed))
        async with fleet, _alive(fleet), aiohttp.ClientSession() as session:
            await _until_ready(fleet, session)
            troubles = asyncio.create_task(_trouble(plan, cables, fleet, parted, session))
            while not troubles.done():
                parted.add(await play_week(world, plan.seed * 1_000 + parted.weeks, plan.week))
            await troubles
            parted.violations += await at_rest(world.environment["DATABASE_URL"], records)
            parted.violations += step_defects(folder)
    for each in cables:
        parted.struck += Counter({name: link.struck for name, link in each.links.items()})
    return parted


@contextlib.asynccontextmanager
async def _alive(fleet: Fleet) -> AsyncIterator[None]:
    """Beside the block, which one that ends by itself ends too."""
    async with asyncio.TaskGroup() as group:
        task = group.create_task(fleet.live_and_die(lambda: False))
        yield
        task.cancel()


async def _trouble(
    plan: Plan, cables: Sequence[Cables], fleet: Fleet, parted: Parted, session: aiohttp.ClientSession
) -> None:
    dice = random.Random(plan.seed)
    cases = cases_of(plan, [name for name in cables[0].links if "," not in name])
    for case in cases:
        if plan.until.over():
            return
        await asyncio.sleep(dice.uniform(*plan.gap))
        places = range(plan.replicas) if case.place is None else [dice.randrange(plan.replicas)]
        with _struck(case, places, cables, fleet):
            await asyncio.sleep(dice.uniform(*plan.seconds))
        parted.cases[str(case)] += 1
        healed = time.monotonic()
        try:
            async with asyncio.timeout(READY_SECONDS):
                await _until_ready(fleet, session)
        except TimeoutError:
            parted.violations.append(f"after {case}: not every replica was ready within {READY_SECONDS:.0f} s")
        parted.ready_after.append(time.monotonic() - healed)
        plan.tell(parted.cases.total(), len(cases))


@contextlib.contextmanager
def _struck(case: Case, places: Sequence[int], cables: Sequence[Cables], fleet: Fleet) -> Iterator[None]:
    """What was begun is undone whatever happens: a process that stands still can't be ended in order."""
    service, processes = case.service, [fleet.living[place] for place in places]
    try:
        if service is None:
            for process in processes:
                process.send_signal(signal.SIGSTOP)
        else:
            for place in places:
                cables[place].trouble(service, case.trouble)
        yield
    finally:
        if service is None:
            for process in processes:
                process.send_signal(signal.SIGCONT)
        else:
            for place in places:
                cables[place].trouble(service, None)


async def _until_ready(fleet: Fleet, session: aiohttp.ClientSession) -> None:
    """Every replica by its own word. Unbounded: the caller's patience is."""
    for place, url in enumerate(fleet.ready_urls):
        while place not in fleet.living or not await _is_ready(session, url):
            await asyncio.sleep(POLL_SECONDS)


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    with contextlib.suppress(aiohttp.ClientError):
        async with session.get(url) as answer:
            return answer.status == 200
    return False
