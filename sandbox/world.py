"""The whole outside world on loopback ports: Stripe, Circle, Circle Mint and Solana, wired to each other and to a
daemon's address.
daemon's address.

Its state lies in memory: when it ends, its chain, its payments and its wallets are gone. Only Circle's RSA key stays in
the data dir, because it is slow to make.
"""

import asyncio
import contextlib
import random
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import aiohttp

from sandbox import handover
from sandbox.circle_service import CircleService, Platform, setup_platform
from sandbox.circle_service.service import RSA_BITS
from sandbox.circle_service.settings import Limits
from sandbox.front import Front
from sandbox.identity import Identity, identity
from sandbox.loopback import HOST, PORT_BASE, Ports, ports_from
from sandbox.mint_service import MintService
from sandbox.solana_node import Endpoint, NodeFront, SolanaNode
from sandbox.stripe_service import FAST, StripeService

STRIPE_WEBHOOK = "/api/checkout/webhook/"
CIRCLE_WEBHOOK = "/api/circle/webhook/"
STRIPE_EVENTS = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "payment_intent.payment_failed",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.closed",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
)
"""What an operator subscribes to."""
SECOND_PROVIDER = "/rpc2"
"""The path under which the node plays a second, independent RPC provider."""
PLATFORM_LAMPORTS = 1_000 * 10**9
"""SOL for well over 100,000 mints; a platform would top up long before."""
HISTORY_SLOTS = 200
"""The chain's age when it opens: older than a blockhash lives."""
PROBE_SECONDS = 0.5
SLOT_MS = 200
TREASURY_POLL_MS = 1_000


@dataclass(frozen=True, slots=True)
class WorldOptions:
    """How to build a world. `database_url` None: a file in the data dir. `rsa_bits` is Circle's real size; smaller ones
    are for tests that start many worlds."""

    data_dir: Path
    port_base: int = PORT_BASE
    seed: int = 1
    circle_limits: Limits = "fast"
    grouping: str = "purchase"
    rail: str = "circle"
    packed_format: str = "v0"
    payout_mode: str = "weekly"
    user_wallets: str = "user"
    database_url: str | None = None
    slot_ms: int = SLOT_MS
    rsa_bits: int = RSA_BITS


@dataclass(frozen=True, slots=True)
class World:
    """A world that runs. `old_database` is where a database of an earlier world was moved."""

    options: WorldOptions
    identity: Identity
    ports: Ports
    platform: Platform
    node: SolanaNode
    circle: CircleService
    stripe: StripeService
    mint: MintService
    fronts: tuple[NodeFront, Front, Front, Front]
    old_database: Path | None

    @property
    def agent_url(self) -> str:
        return _url(self.ports.agent)

    @property
    def admin_url(self) -> str:
        return _url(self.ports.admin)

    @property
    def access(self) -> dict[str, str]:
        """The content of `sandbox.json`: what a client outside needs."""
        return {
            "stripe_api": _url(self.ports.stripe),
            "stripe_secret_key": self.identity.stripe_secret_key,
            "stripe_webhook_secret": self.identity.stripe_webhook_secret,
            "circle_api": _url(self.ports.circle),
            "circle_api_key": self.identity.circle_api_key,
            "circle_entity_secret": self.identity.circle_entity_secret,
            "platform_wallet_id": self.platform.wallet_id,
            "platform_wallet_address": self.platform.address,
            "solana_rpc": _url(self.ports.solana_rpc),
            "solana_ws": f"ws://{HOST}:{self.ports.solana_ws}",
            "usdc_mint": str(self.node.usdc_mint),
            "agent_url": self.agent_url,
            "admin_url": self.admin_url,
            "admin_token": self.identity.admin_token,
            "invite_code": self.identity.invite_code,
            "circle_mint_api": _url(self.ports.circle_mint),
            "circle_mint_api_key": self.identity.circle_mint_api_key,
        }

    @property
    def environment(self) -> dict[str, str]:
        """The content of `sandbox.env`: every setting that the daemon and its commands need."""
        rpc = _url(self.ports.solana_rpc)
        return {
            "STRIPE_SECRET_KEY": self.identity.stripe_secret_key,
            "STRIPE_PUBLISHABLE_KEY": self.identity.stripe_publishable_key,
            "STRIPE_WEBHOOK_SECRET": self.identity.stripe_webhook_secret,
            "CIRCLE_W3S_API_KEY": self.identity.circle_api_key,
            "CIRCLE_W3S_ENTITY_ID": self.circle.custody.entity.app_id,
            "CIRCLE_W3S_ENTITY_SECRET": self.identity.circle_entity_secret,
            "CIRCLE_W3S_PLATFORM_WALLET_ID": self.platform.wallet_id,
            "CIRCLE_W3S_PRODUCTION": "false",
            "SOLANA_RPC_URLS": f"{rpc}/,{rpc}{SECOND_PROVIDER}",
            "SOLANA_WS_URL": f"ws://{HOST}:{self.ports.solana_ws}",
            "DATABASE_URL": self.options.database_url or _sqlite_url(self.options.data_dir),
            "PUBLIC_BASE_URL": self.agent_url,
            "AGENT_DERIVATION_SECRET": self.identity.derivation_secret,
            "AGENT_STRIPE_API_URL": _url(self.ports.stripe),
            "AGENT_CIRCLE_API_URL": _url(self.ports.circle),
            "AGENT_CIRCLE_PIN_URL": _url(self.ports.circle),
            "AGENT_LISTEN": f"{HOST}:{self.ports.agent}",
            "AGENT_ADMIN_LISTEN": f"{HOST}:{self.ports.admin}",
            "AGENT_ADMIN_URL": self.admin_url,
            "AGENT_ADMIN_TOKEN": self.identity.admin_token,
            "AGENT_INVITE_CODES": self.identity.invite_code,
            "AGENT_USER_WALLETS": self.options.user_wallets,
            "AGENT_WALLET_SET_ID": self.platform.wallet_set_id,
            "AGENT_GROUPING": self.options.grouping,
            "AGENT_RAIL": self.options.rail,
            "AGENT_PACKED_FORMAT": self.options.packed_format,
            "AGENT_PAYOUT_MODE": self.options.payout_mode,
            "AGENT_CIRCLE_LIMITS": self.options.circle_limits,
            "AGENT_SLOT_MS": str(self.options.slot_ms),
            "AGENT_TREASURY_POLL_MS": str(TREASURY_POLL_MS),
            "AGENT_CONVERSION": "manual",
            "AGENT_CIRCLE_MINT_API_URL": _url(self.ports.circle_mint),
            "AGENT_CIRCLE_MINT_API_KEY": self.identity.circle_mint_api_key,
        }


@asynccontextmanager
async def running_world(options: WorldOptions) -> AsyncIterator[World]:
    """Start the world, write its two files, and end it when the block ends. Raises PortTaken."""
    ports = ports_from(options.port_base)
    options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    old_database = handover.set_old_database_aside(options.data_dir) if options.database_url is None else None
    unwired = _built(options, ports, old_database)
    async with AsyncExitStack() as stack:
        for front in unwired.fronts:
            stack.push_async_callback(front.stop)
            await front.start()
        world = replace(unwired, ports=_ports_found(unwired))
        world.stripe.public_url = _url(world.ports.stripe)
        world.stripe.controls.add_webhook(
            world.agent_url + STRIPE_WEBHOOK, list(STRIPE_EVENTS), world.identity.stripe_webhook_secret
        )
        handover.write_access(options.data_dir, world.access)
        handover.write_environment(options.data_dir, world.environment)
        subscriber = asyncio.create_task(_subscribe_when_heard(world))
        stack.push_async_callback(_end, subscriber)
        yield world


def _built(options: WorldOptions, ports: Ports, old_database: Path | None) -> World:
    """The services and their fronts, funded, not listening yet."""
    rng, secrets = random.Random(f"sandbox-services-{options.seed}"), identity(options.seed)
    node = SolanaNode(now_ms, random.Random(rng.getrandbits(64)), slot_ms=options.slot_ms)
    node.endpoints[SECOND_PROVIDER] = Endpoint()
    node.skip_slots(HISTORY_SLOTS)
    circle = CircleService(
        clock=now_ms,
        rng=random.Random(rng.getrandbits(64)),
        chain=node,
        api_keys=frozenset({secrets.circle_api_key}),
        entity_secret=secrets.circle_entity_secret,
        limits=options.circle_limits,
        rsa_bits=options.rsa_bits,
        rsa_pem=_kept_key(options.data_dir),
    )
    handover.write_private(options.data_dir / handover.ENTITY_KEY_FILE, circle.custody.entity.private_key_pem())
    platform = setup_platform(circle, lamports=PLATFORM_LAMPORTS)
    node.skip_slots(HISTORY_SLOTS)
    stripe = StripeService(
        now_ms,
        random.Random(rng.getrandbits(64)),
        secret_keys=(secrets.stripe_secret_key,),
        publishable_key=secrets.stripe_publishable_key,
        timing=FAST,
    )
    mint = MintService(
        clock=now_ms,
        rng=random.Random(rng.getrandbits(64)),
        chain=node,
        api_keys=frozenset({secrets.circle_mint_api_key}),
    )
    mint.books.know(platform.address, "platform wallet", verified=True)
    fronts = (
        NodeFront(node, now_ms, HOST, ports.solana_rpc, ports.solana_ws),
        Front(circle, now_ms, HOST, ports.circle),
        Front(stripe, now_ms, HOST, ports.stripe),
        Front(mint, now_ms, HOST, ports.circle_mint),
    )
    return World(options, secrets, ports, platform, node, circle, stripe, mint, fronts, old_database)


def _ports_found(world: World) -> Ports:
    chain, circle, stripe, mint = world.fronts
    found = {"solana_rpc": chain.port, "solana_ws": chain.ws_port, "circle": circle.port, "stripe": stripe.port}
    found["circle_mint"] = mint.port
    return Ports(**{**asdict(world.ports), **found})


def _kept_key(data_dir: Path) -> bytes | None:
    path = data_dir / handover.ENTITY_KEY_FILE
    return path.read_bytes() if path.exists() else None


async def _subscribe_when_heard(world: World) -> None:
    """Subscribe the daemon to Circle's notifications once it answers Circle's kind of probe: the real Circle is told an
    address after the service behind it is up."""
    endpoint = world.agent_url + CIRCLE_WEBHOOK
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as session:
        while True:
            if await _answers(session, endpoint):
                break
            await asyncio.sleep(PROBE_SECONDS)
    world.circle.custody.notifier.subscribe(endpoint, ["*"])
    world.fronts[1].poke()


async def _answers(session: aiohttp.ClientSession, endpoint: str) -> bool:
    try:
        async with session.head(endpoint) as answer:
            return answer.ok
    except (aiohttp.ClientError, TimeoutError):
        return False


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def now_ms() -> int:
    """The machine's clock: the one place where the sandbox reads it."""
    return int(time.time() * 1000)  # noqa: TID251 (the services get their clock from here)


def _url(port: int) -> str:
    return f"http://{HOST}:{port}"


def _sqlite_url(data_dir: Path) -> str:
    return f"sqlite:///{(data_dir / handover.DATABASE_FILE).resolve()}"
