"""The unchanged daemon and the sandbox's services in one process on virtual time: no sockets, no threads.

This is the seam for the simulator: an inline store, HTTP as calls of state machines, webhooks as calls of the router.
"""

import asyncio
import json
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from multidict import CIMultiDict, MultiDict

from agent.assembly import Ports
from agent.schedule import Schedule, nudges
from agent.startup import Daemon, background, prepare
from agent.web.app import WebApp
from agent.web.messages import WebRequest
from agent.web.router import Router
from agent.web_assembly import build_web
from config.settings import load_settings
from gateways.circle_api import CircleGateway, Rates
from metrics import Metrics
from ports.executor import InlineExecutor
from ports.transport import HttpRequest
from ports.virtual import SeededIds, VirtualClock
from sandbox.circle_service import CircleService, setup_platform
from sandbox.service import Delivery, Service
from sandbox.solana_node import Endpoint, SolanaNode
from sandbox.stripe_service import FAST, StripeService
from storage.inline import InlineStore
from storage.store import Store
from tests.worlds import ServiceTransport

STRIPE_URL, CIRCLE_URL, RPC_URL = "http://stripe.test", "http://circle.test", "http://rpc.test"
AGENT_URL = "http://127.0.0.1:8080"
MONDAY = datetime(2026, 11, 16, 8, 0, tzinfo=UTC)
START_LAMPORTS = 50_000_000_000
TICK_SECONDS = 0.05


@dataclass(slots=True)
class Answer:
    status: int
    body: Any


class VirtualWorld:
    """Build inside a running VirtualLoop. `start` the daemon, `stop` or `kill` it, start it again."""

    def __init__(self, folder: Path, seed: int = 1, start: datetime = MONDAY, **settings: str) -> None:
        self.folder = folder
        self.clock = VirtualClock(start)
        rng = random.Random(seed)
        self.ids_rng = random.Random(rng.getrandbits(64))
        self.node = SolanaNode(self.clock.now_ms, random.Random(rng.getrandbits(64)))
        self.node.endpoints["/rpc2"] = Endpoint()
        self.circle = CircleService(
            clock=self.clock.now_ms,
            rng=random.Random(rng.getrandbits(64)),
            chain=self.node,
            api_keys=frozenset({"TEST_API_KEY:id:secret"}),
            entity_secret="ab" * 32,
            limits="fast",
            rsa_pem=_rsa_pem(),
        )
        self.platform = setup_platform(self.circle, lamports=START_LAMPORTS)
        self.stripe = StripeService(
            self.clock.now_ms, random.Random(rng.getrandbits(64)), secret_keys=("sk_test_virtual",), timing=FAST
        )
        self.stripe.controls.add_webhook(f"{AGENT_URL}/api/checkout/webhook/", ["*"], secret="whsec_virtual")
        services: dict[str, Service] = {STRIPE_URL: self.stripe, CIRCLE_URL: self.circle, RPC_URL: self.node}
        self.services = list(services.values())
        self.transport = ServiceTransport(services, self.clock.sleep)
        self.settings = load_settings(
            {
                "STRIPE_SECRET_KEY": "sk_test_virtual",
                "STRIPE_WEBHOOK_SECRET": "whsec_virtual",
                "CIRCLE_W3S_API_KEY": "TEST_API_KEY:id:secret",
                "CIRCLE_W3S_ENTITY_SECRET": "ab" * 32,
                "CIRCLE_W3S_PLATFORM_WALLET_ID": self.platform.wallet_id,
                "SOLANA_RPC_URLS": f"{RPC_URL},{RPC_URL}/rpc2",
                "PUBLIC_BASE_URL": AGENT_URL,
                "AGENT_DERIVATION_SECRET": "d" * 64,
                "AGENT_STRIPE_API_URL": STRIPE_URL,
                "AGENT_CIRCLE_API_URL": CIRCLE_URL,
                "AGENT_ADMIN_TOKEN": "admin-token-of-the-virtual-world",
                "AGENT_INVITE_CODES": "welcome",
                "AGENT_ARGON2_MEMORY_KIB": "8",
                "AGENT_ARGON2_ITERATIONS": "1",
                "AGENT_CIRCLE_LIMITS": "fast",
                "AGENT_TREASURY_POLL_MS": "1000",
                "AGENT_WALLET_SET_ID": self.platform.wallet_set_id,
                **settings,
            }
        )
        self.daemon: Daemon | None = None
        self.web: WebApp | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self._pump: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Start the daemon on the database as it lies there."""
        metrics = Metrics()
        ports = Ports(
            clock=self.clock,
            ids=SeededIds(self.ids_rng),
            executor=InlineExecutor(),
            transport=self.transport,
            store=self.open_store(),
        )
        if self._pump is None:
            self._pump = asyncio.create_task(self._run_services())
        self.daemon = daemon = await prepare(self.settings, ports, metrics)
        self.web = build_web(self.settings, ports, daemon.gateways, daemon.engine, metrics, daemon.platform_address)
        watched = nudges(direct_alerts=self.settings.alerts_directly)
        schedule = Schedule(ports.store, self.clock, daemon.engine.worker.wake, watched)
        self._tasks = [asyncio.create_task(background(daemon, schedule.run_on_clock))]

    def open_store(self) -> Store:
        """The database that the next start uses."""
        return InlineStore(self.folder / "agent.db", synchronous="OFF")

    async def stop(self) -> None:
        """End the daemon wherever it is: every await of it is cancelled, as a killed process would stop there."""
        tasks, self._tasks = self._tasks, []
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
        self.web = None
        if self.daemon is not None:
            await self.daemon.ports.store.stop()

    async def close(self) -> None:
        await self.stop()
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    def check_alive(self) -> None:
        """Raise what ended the daemon by itself."""
        for task in self._tasks:
            if task.done():
                task.result()

    async def call(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, admin: bool = False
    ) -> Answer:
        """One request to the daemon's router, as the front would make it."""
        headers: CIMultiDict[str] = CIMultiDict({"host": "127.0.0.1", "content-type": "application/json"})
        if token is not None:
            headers["authorization"] = f"Bearer {token}"
        raw = b"" if body is None else json.dumps(body).encode()
        answer = await self._dispatch(admin, method, path, headers, raw)
        if answer is None:
            raise AssertionError("the daemon is down")
        return Answer(answer[0], json.loads(answer[1] or b"null"))

    async def operator(self, method: str, path: str, body: Any = None) -> Answer:
        return await self.call(method, path, body, "admin-token-of-the-virtual-world", admin=True)

    async def circle_get(self, path: str) -> dict[str, Any]:
        """What Circle's own API shows an outside client."""
        return await self._circle("GET", path, b"")

    async def circle_post(self, path: str, body: Any) -> dict[str, Any]:
        return await self._circle("POST", path, json.dumps(body).encode())

    async def another_wallet(self) -> str:
        """A second developer-controlled wallet of the same entity; its id."""
        return str(setup_platform(self.circle, name="Other", ref_id="other").wallet_id)

    async def circle_transfer(self, usdc: str) -> None:
        """Somebody else with our entity's keys moves USDC out, past the daemon."""
        stranger = setup_platform(self.circle, name="Stranger", ref_id="stranger")
        gateway = CircleGateway(
            self.transport,
            CIRCLE_URL,
            "TEST_API_KEY:id:secret",
            "ab" * 32,
            SeededIds(random.Random(99)),
            self.clock,
            Rates.fast(),
        )
        body = {
            "walletId": self.platform.wallet_id,
            "tokenId": self.settings.usdc_token_id,
            "destinationAddress": stranger.address,
            "amounts": [usdc],
            "feeLevel": "MEDIUM",
        }
        made = await gateway.submit_transfer(SeededIds(random.Random(98)).uuid(), body)
        while (await gateway.fetch_transaction(made.id)).state != "COMPLETE":
            await self.clock.sleep(1)

    async def abandon(self) -> None:
        """End a world whose daemon has ended by itself."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._pump is not None:
            self._pump.cancel()
            await asyncio.gather(self._pump, return_exceptions=True)

    async def _circle(self, method: str, path: str, body: bytes) -> dict[str, Any]:
        headers = {"authorization": "Bearer TEST_API_KEY:id:secret", "content-type": "application/json"}
        answer = await self.transport.send(HttpRequest(method, f"{CIRCLE_URL}{path}", headers, body))
        assert 200 <= answer.status < 300, answer
        told = json.loads(answer.body or b"{}")
        return dict(told.get("data", told))

    async def until(self, what: str, holds: Callable[[], Awaitable[bool]], seconds: float = 600) -> None:
        """Wait on virtual time until a condition holds; fails after a bound."""
        end = self.clock.monotonic() + seconds
        while not await holds():
            self.check_alive()
            if self.clock.monotonic() > end:
                raise AssertionError(f"after {seconds} s still not: {what}")
            await self.clock.sleep(0.5)

    async def _dispatch(
        self, admin: bool, method: str, path: str, headers: CIMultiDict[str], body: bytes
    ) -> tuple[int, bytes] | None:
        if self.web is None:
            return None
        router: Router = self.web.admin if admin else self.web.public
        path, _, query = path.partition("?")
        pairs: MultiDict[str] = MultiDict(parse_qsl(query))
        answer = await router.dispatch(WebRequest(method, path, pairs, headers, body, "127.0.0.1"))
        return answer.status, answer.body

    async def _run_services(self) -> None:
        """Let the services see time pass, and carry their webhooks."""
        async with asyncio.TaskGroup() as group:
            while True:
                now = self.clock.now_ms()
                for service in self.services:
                    service.tick(now)
                    for delivery in service.take_deliveries():
                        group.create_task(self._deliver(service, delivery))
                await self.clock.sleep(TICK_SECONDS)

    async def _deliver(self, service: Service, delivery: Delivery) -> None:
        headers = CIMultiDict({**delivery.headers, "host": "127.0.0.1:8080"})
        path = delivery.url.removeprefix(AGENT_URL)
        answer = await self._dispatch(False, delivery.method, path, headers, delivery.body)
        service.delivered(delivery.id, None if answer is None else answer[0])


_KEY: list[bytes] = []


def _rsa_pem() -> bytes:
    """One RSA key per test process: making one takes longer than a week does."""
    if not _KEY:
        from cryptography.hazmat.primitives.asymmetric import rsa
        from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        _KEY.append(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    return _KEY[0]
