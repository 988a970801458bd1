"""Stripe, Circle, Circle Mint and Solana on one virtual clock: as the daemon's HTTP sees them, and the way of their
webhooks."""

import random
from collections.abc import Callable
from functools import cache

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from agent.steps.events_sweep import SWEPT_TYPES
from ports.virtual import VirtualClock
from sandbox.circle_service import CircleService, setup_platform
from sandbox.mint_service import MintService
from sandbox.service import Delivery, Service
from sandbox.solana_node import Endpoint, SolanaNode
from sandbox.stripe_service import FAST, StripeService

STRIPE_URL, CIRCLE_URL, RPC_URL = "http://stripe.test", "http://circle.test", "http://rpc.test"
MINT_URL = "http://mint.test"
ELSEWHERE_URL = "http://elsewhere.test"
"""Where nothing of ours is; redirects lead there."""
WS_URL = "ws://rpc.test"
SECOND_ENDPOINT = "/rpc2"
AGENT_URL = "http://127.0.0.1:8080"
ADMIN_TOKEN = "admin-token-of-the-virtual-world"
START_LAMPORTS = 50_000_000_000
STRIPE_KEY = "sk_test_virtual"
STRIPE_SECRET = "whsec_virtual"
UNHANDLED = "payment_intent.created"
"""One type is told of that changes nothing, as installations are that have the endpoint of somebody else's example."""
CIRCLE_KEY = "TEST_API_KEY:id:secret"
MINT_KEY = "SAND_API_KEY:id:secret"
ENTITY_SECRET = "ab" * 32
RSA_BITS = 2048
"""Half of the live key's: a ciphertext is opened in a quarter of the time, and nothing else changes."""


class Outside:
    """The services and what is on its way from them. All randomness comes from `rng`."""

    def __init__(self, clock: VirtualClock, rng: random.Random) -> None:
        self._clock = clock
        self.node = SolanaNode(clock.now_ms, random.Random(rng.getrandbits(64)))
        self.node.endpoints[SECOND_ENDPOINT] = Endpoint()
        self.circle = CircleService(
            clock=clock.now_ms,
            rng=random.Random(rng.getrandbits(64)),
            chain=self.node,
            api_keys=frozenset({CIRCLE_KEY}),
            entity_secret=ENTITY_SECRET,
            limits="fast",
            rsa_pem=_rsa_pem(),
        )
        self.platform = setup_platform(self.circle, lamports=START_LAMPORTS)
        self.stripe = StripeService(
            clock.now_ms, random.Random(rng.getrandbits(64)), secret_keys=(STRIPE_KEY,), timing=FAST
        )
        endpoint = self.stripe.controls.add_webhook(
            f"{AGENT_URL}/api/checkout/webhook/", [*SWEPT_TYPES, UNHANDLED], secret=STRIPE_SECRET
        )
        self.webhook_id = str(endpoint["id"])
        self.mint = MintService(
            clock=clock.now_ms,
            rng=random.Random(rng.getrandbits(64)),
            chain=self.node,
            api_keys=frozenset({MINT_KEY}),
        )
        self.mint.books.know(self.platform.address, "platform wallet", verified=True)
        self.by_url: dict[str, Service] = {
            STRIPE_URL: self.stripe,
            CIRCLE_URL: self.circle,
            RPC_URL: self.node,
            MINT_URL: self.mint,
        }
        self.services = list(self.by_url.values())

    def environment(self) -> dict[str, str]:
        """The settings of a daemon that lives in this world: fast where nobody is served by slowness."""
        return {
            "STRIPE_SECRET_KEY": STRIPE_KEY,
            "STRIPE_WEBHOOK_SECRET": STRIPE_SECRET,
            "CIRCLE_W3S_API_KEY": CIRCLE_KEY,
            "CIRCLE_W3S_ENTITY_SECRET": ENTITY_SECRET,
            "CIRCLE_W3S_PLATFORM_WALLET_ID": self.platform.wallet_id,
            "SOLANA_RPC_URLS": f"{RPC_URL},{RPC_URL}{SECOND_ENDPOINT}",
            "SOLANA_WS_URL": WS_URL,
            "PUBLIC_BASE_URL": AGENT_URL,
            "AGENT_DERIVATION_SECRET": "d" * 64,
            "AGENT_STRIPE_API_URL": STRIPE_URL,
            "AGENT_CIRCLE_API_URL": CIRCLE_URL,
            "AGENT_CIRCLE_MINT_API_URL": MINT_URL,
            "AGENT_CIRCLE_MINT_API_KEY": MINT_KEY,
            "AGENT_ADMIN_TOKEN": ADMIN_TOKEN,
            "AGENT_INVITE_CODES": "welcome",
            "AGENT_ARGON2_MEMORY_KIB": "8",
            "AGENT_ARGON2_ITERATIONS": "1",
            "AGENT_CIRCLE_LIMITS": "fast",
            "AGENT_WALLET_SET_ID": self.platform.wallet_set_id,
        }

    def act(self, deliver: Callable[[Service, Delivery], None]) -> float | None:
        """Let every service do what is due now and hand over its webhooks; seconds until the next of it, None if
        nothing is to come. Zero when something was handed over."""
        now, acted = self._clock.now_ms(), False
        dues = []
        for service in self.services:
            due = service.next_due_ms()
            if due is None:
                continue
            dues.append(due)
            if due <= now:
                service.tick(now)
                for delivery in service.take_deliveries():
                    deliver(service, delivery)
                acted = True
        if acted:
            return 0.0
        return (min(dues) - now) / 1000 if dues else None


@cache
def _rsa_pem() -> bytes:
    """One RSA key per process: making one takes longer than a week does."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=RSA_BITS)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
