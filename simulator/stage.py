"""The world of a simulated week: daemons that are started again when they die, a network that takes its time, and a
trace of all of it."""

import asyncio
import json
import random
import re
import zlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from email.utils import formatdate
from functools import partial
from itertools import count
from pathlib import Path

from multidict import CIMultiDict

from agent.identity import StartRefused
from config.settings import Settings
from domain.errors import Retryable
from ports.transport import HttpRequest, HttpResponse
from sandbox.solana_node import Commitment
from sandbox.solana_node.history import Landed
from simulator.checker import Checker, People, Records, Terms
from simulator.findings import Findings
from simulator.leases import Leases
from simulator.life import Killed, Life
from simulator.outside import ADMIN_TOKEN, AGENT_URL, CIRCLE_URL, ELSEWHERE_URL, MINT_URL, STRIPE_KEY
from simulator.process import Process, Surroundings
from simulator.scrutiny import Scrutiny
from simulator.trace import Trace
from simulator.wire import ServiceTransport
from simulator.world import DATABASE, MONDAY, World, empty_database
from storage.engines.inline import InlineStore
from storage.errors import StorageError

TRANSFERS = f"{CIRCLE_URL}/v1/w3s/developer/transactions/transfer"
CONVERSIONS = f"{MINT_URL}/v1/businessAccount/transfers"
RESTART_SECONDS = (1.0, 2.0, 5.0, 30.0, 300.0, 3_600.0)
"""After how long a dead process is there again: systemd's second, a person's hour."""
NEVER = 1 << 62
SLOWNESS = 72
"""Recurring work is nudged so many times less often than in life: the weekly plan every six hours beside its Monday,
the sweep of events every three days beside each start. What a nudge only makes safe must not be what makes it work."""
LATENCY_SECONDS = (0.0, 0.0, 0.0, 0.01, 0.04, 0.2, 0.9)
DITHERS = (None, None, None, 0.0)
ACCOUNT_RENT_LAMPORTS = 2_039_280
"""Of a token account, by the sandbox's rent."""
EVENT_ID = re.compile(rb'"id": ?"(evt_\w+)"')
QUIET_SETTINGS = {
    "AGENT_IDLE_SECONDS": "86400",
    "AGENT_TREASURY_POLL_MS": "86400000",
    "SOLANA_WS_URL": "",
    "AGENT_NFT_WATCH_MINUTES": "43200",
}


class Stage(World):
    """`open` starts the daemons and keeps them alive; `close` ends all."""

    def __init__(self, folder: Path, seed: int, names: tuple[str, ...], settings: Mapping[str, str]) -> None:
        super().__init__(
            folder, seed, MONDAY.replace(hour=10), {**QUIET_SETTINGS, **settings}, names=names, nudge_slowness=SLOWNESS
        )
        (folder / DATABASE).write_bytes(empty_database())
        self.trace = Trace(self.clock.now_ms)
        self.dice = random.Random(seed ^ 0x5EED)
        self.findings = Findings()
        self.commits_left = NEVER
        """So many transactions more, and the world is one that does not come to rest."""
        self.crash_points = 0
        self.deaths = 0
        self.until_death = NEVER
        """So many points are passed before somebody dies at one."""
        self.is_slow = False
        """The network takes its time, and tasks run in other orders."""
        self._kept_down = 0
        self._may_start = asyncio.Event()
        self._may_start.set()
        self.replays = (self.circle.custody.replays, self.outside.mint.replays)
        """What each of Circle's services remembers of idempotency keys."""
        self.on_outflow: list[Callable[[str], None]] = []
        """Called with the signature of each transaction that takes USDC from the platform wallet, when it lands."""
        self.money_leaves = asyncio.Event()
        """Set when USDC begins to leave the platform wallet, or the account at Circle Mint: Circle has taken an order,
        or a block a transaction."""
        self.wire = ServiceTransport(self.outside.by_url, self.clock.sleep, remember=False)
        for process in self.processes:
            process.around = self._around(process)
        self.records = Records(self.stripe, self.circle, self.node, self.platform.address, STRIPE_KEY)
        self.people = self.records.people = People()
        self.records.mint = self.outside.mint.books if self.settings.converts else None
        self.checker = Checker(folder / DATABASE, self.records, terms_of(self.settings))
        self.records.secrets.update(_secrets(self.settings), {ADMIN_TOKEN})
        self.scrutiny = Scrutiny(self.findings.add, self.records.sent, self.records.secrets)
        self.leases = Leases(self.findings.add)
        self._keepers: list[asyncio.Task[None]] = []
        self._poke: asyncio.TimerHandle | None = None
        self._requests = count()

    # --- processes --------------------------------------------------------------------------------------------

    async def open(self) -> None:
        """Start every process, and start it again whenever it dies."""
        loop = asyncio.get_running_loop()
        self._keepers = [loop.create_task(self._keep(process)) for process in self.processes]
        while not any(process.web for process in self.processes):
            await self.clock.sleep(1)

    async def close(self) -> None:
        keepers, self._keepers = self._keepers, []
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        for process in self.processes:
            self.crash_points += process.life.points
            await process.kill()
        self.checker.db.close()
        await self._still()

    async def kill(self, process: Process) -> None:
        """Let a process die now; its keeper starts it again."""
        process.life.die()

    def keep_down(self) -> None:
        """Dead processes stay dead for one reason more: somebody works on the database file, the machine is off."""
        self._kept_down += 1
        self._may_start.clear()

    def let_up(self) -> None:
        """One of the reasons is gone."""
        self._kept_down = max(0, self._kept_down - 1)
        if not self._kept_down:
            self._may_start.set()

    def let_up_for_good(self) -> None:
        """Whatever the reasons were."""
        self._kept_down = 0
        self._may_start.set()

    def who_answers(self) -> Process | None:
        up = [process for process in self.processes if process.web is not None and not process.life.is_dead]
        return self.dice.choice(up) if up else None

    async def _keep(self, process: Process) -> None:
        while True:
            dead = asyncio.Event()
            life = Life(process.name, self._dies, self._dither)
            life.on_death = dead.set
            await self._may_start.wait()
            if await self._started(process, life):
                await self._until_end(process, dead)
            self.crash_points += life.points
            await process.kill()
            pause = self.dice.choice(RESTART_SECONDS)
            self.trace.tell(process.name, "is down, back in", pause)
            await self.clock.sleep(pause)

    async def _started(self, process: Process, life: Life) -> bool:
        try:
            await process.start(life)
        except Killed:
            self.trace.tell(process.name, "died while it started")
            return False
        except (StartRefused, StorageError, Retryable) as error:
            self.trace.tell(process.name, f"does not start: {error}")
            return False
        self.trace.tell(process.name, "is up")
        return True

    async def _until_end(self, process: Process, dead: asyncio.Event) -> None:
        """Until it dies or ends by itself, which only a broken disk and a refusal to start may do."""
        waiter = asyncio.ensure_future(dead.wait())
        await asyncio.wait([waiter, *process.tasks], return_when=asyncio.FIRST_COMPLETED)
        waiter.cancel()
        for task in process.tasks:
            if task.done() and not task.cancelled():
                for error in _leaves(task.exception()):
                    self.trace.tell(process.name, f"ended: {error!r}")
                    if not isinstance(error, Killed | StartRefused | StorageError):
                        self.findings.add(f"the daemon ended by itself: {error!r}")

    def _dies(self, where: str) -> bool:
        self.until_death -= 1
        if self.until_death > 0:
            return False
        self.until_death = NEVER
        self.deaths += 1
        self.trace.tell("death", where)
        return True

    def _dither(self) -> float | None:
        return self.dice.choice(DITHERS) if self.is_slow else None

    def subscribe(self) -> None:
        """Circle's notifications, and looks at the treasury once something has moved there: in life it is looked at
        every half minute as well, and nearly always in vain."""
        self.circle.custody.notifier.subscribe(f"{AGENT_URL}/api/circle/webhook/", [])
        self.node.on_transaction.append(self._landed)

    def _landed(self, landed: Landed) -> None:
        if self.records.takes_usdc(landed):
            self.money_leaves.set()
            for hear in self.on_outflow:
                hear(landed.signature)
        if self._poke is None:
            slots = self.node.slots
            seconds = (slots.depth[Commitment.FINALIZED] + 2) * slots.slot_ms / 1_000
            self._poke = asyncio.get_running_loop().call_later(seconds, self._tell)

    def _tell(self) -> None:
        self._poke = None
        for process in self.processes:
            if process.daemon is not None and not process.life.is_dead:
                process.daemon.engine.follower.poke()

    # --- the wires --------------------------------------------------------------------------------------------

    def committed(self, name: str, changed: int) -> None:
        self.trace.note(name, "commit")
        self.commits_left -= 1
        if self.commits_left < 0:
            self.findings.add("I12: the daemons write and write, and nothing comes to rest")
        self.scrutiny.committed(changed)

    def open_store(self, name: str, one_process: bool) -> InlineStore:
        opened = partial(self.leases.watch, name) if len(self.processes) > 1 else (lambda connection: None)
        return InlineStore(self.folder / DATABASE, synchronous="OFF", one_process=one_process, opened=opened)

    def _around(self, process: Process) -> Surroundings:
        return replace(process.around, transport=_Network(self, process.name))

    async def carry(self, name: str, request: HttpRequest) -> HttpResponse:
        """One call of a process, by a network that takes its time."""
        if self.is_slow:
            await asyncio.sleep(self.dice.choice(LATENCY_SECONDS))
        orders = (request.method, request.url) in (("POST", TRANSFERS), ("POST", CONVERSIONS))
        if orders:
            self._remember(request.url, request.body)
        if request.url.startswith(ELSEWHERE_URL):
            self.findings.add(f"I14: what is told to a service went elsewhere: {request.method} {request.url}")
        answer = await self.wire.send(request)
        if orders and answer.status < 300:
            self.money_leaves.set()
        known = 0 if request.url.startswith(CIRCLE_URL) else zlib.crc32(answer.body, zlib.crc32(request.body))
        self.trace.note(name, request.method, request.url, answer.status, known)
        return replace(answer, headers={"date": formatdate(self.clock.now_ms() / 1000, usegmt=True), **answer.headers})

    def _remember(self, url: str, body: bytes) -> None:
        told, sent = json.loads(body), self.records.sent
        key, _ = told.pop("idempotencyKey"), told.pop("entitySecretCiphertext", None)
        (sent.keys if url == TRANSFERS else sent.mint_keys)[key].add(json.dumps(told, sort_keys=True))

    async def dispatch(
        self, admin: bool, method: str, target: str, headers: CIMultiDict[str], body: bytes, request_id: str = ""
    ) -> tuple[int, bytes] | None:
        request_id = request_id or f"request-{next(self._requests)}"
        with self.scrutiny.request() as rows:
            answer = await super().dispatch(admin, method, target, headers, body, request_id)
        status = None if answer is None else answer[0]
        self.trace.note("web", method, target, status)
        if answer is not None:
            self.scrutiny.judge(request_id, method, target, answer, rows)
        if status == 200 and "stripe-signature" in headers and (found := EVENT_ID.search(body)):
            self.records.sent.acknowledged.add(found[1].decode())
        return answer


def terms_of(settings: Settings) -> Terms:
    """What of the daemon's settings decides what is right."""
    packed = settings.agent_rail == "solana"
    worth = -(-ACCOUNT_RENT_LAMPORTS * settings.agent_sol_price_cents * 10_000 // 10**9) if packed else 0
    plain = not (settings.pays_in_real_time or settings.agent_hold_days or settings.agent_require_available)
    return Terms(settings.agent_creator_bps, settings.agent_rounding_step, settings.agent_payout_minimum, worth, plain)


def _secrets(settings: Settings) -> Iterator[str]:
    """What no output may tell, whatever happens."""
    yield from settings.webhook_secrets
    for secret in (
        settings.stripe_secret_key,
        settings.circle_w3s_api_key,
        settings.agent_circle_mint_api_key,
        settings.circle_w3s_entity_secret,
        settings.agent_derivation_secret,
    ):
        yield secret.get_secret_value()


class _Network:
    """The transport of one process on the stage."""

    def __init__(self, stage: Stage, name: str) -> None:
        self._stage, self._name = stage, name

    async def send(self, request: HttpRequest) -> HttpResponse:
        return await self._stage.carry(self._name, request)

    async def close(self) -> None:
        """Nothing is open."""


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]
