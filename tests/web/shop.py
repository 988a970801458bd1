"""A whole web room on real sockets: a real database, the sandbox's Stripe behind the real gateway, a clock by hand."""

import base64
import hashlib
import hmac
import random
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from io import BytesIO
from json import dumps
from typing import Any
from uuid import UUID

import aiohttp
import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from sqlalchemy import Connection, func, select

from agent.web.app import Outside, WebApp
from agent.web.callers import TrustedProxies
from agent.web.front import FrontLimits, WebFront
from agent.web.messages import WebRequest
from agent.web.passwords import PasswordCost
from agent.web.rates import Rate
from agent.web.settings import WebSettings
from chain.addresses import check_payout_owner
from domain.errors import Rejected, Retryable
from domain.evidence import PackedOutflow
from domain.realtime import Backlog
from gateways.circle_api.facts import ChallengeFacts, CircleTransaction, NotificationKey, UserToken
from gateways.circle_mint import WireInstructions
from gateways.circle_signature import NotificationVerifier
from gateways.stripe_api import StripeGateway
from gateways.stripe_signature import verify
from ports.executor import ThreadExecutor
from ports.system import SystemIds
from sandbox.stripe_service import FAST, StripeService
from simulator.wire import ServiceTransport
from storage.payouts.upkeep import Payer
from storage.people.tokens import ensure_admin_token
from storage.people.users import ensure_invite
from storage.recovery.adoption_by_hand import SentOrder
from storage.store import Store

SECRET = "whsec_web"
OLD_SECRET = "whsec_web_old"
STRIPE_API = "https://api.stripe.test"
STRIPE_KEY = "sk_test_web"
PLATFORM_ADDRESS = "9xQeWvG816bUx9EPjHmaT23yvVM2ZWbrrpZb9PusVFin"
INVITE = "come-in-please"
PASSWORD = "correct horse"
START = datetime(2026, 11, 23, 9, 20, tzinfo=UTC)
BASE_URL = "https://shop.example"
UNHURRIED = Rate(burst=1_000_000, per_second=1.0)
"""The clock stands still: nothing would fill a bucket again."""
ROLES = ("viewer", "operator", "approver")


class HandClock:
    """Time that moves only when a test moves it, or when somebody sleeps."""

    def __init__(self) -> None:
        self._now = START

    def now(self) -> datetime:
        return self._now

    def monotonic(self) -> float:
        return self._now.timestamp()

    async def sleep(self, seconds: float) -> None:
        self._now += timedelta(seconds=seconds)

    def pass_(self, **parts: float) -> None:
        self._now += timedelta(**parts)


async def _render() -> bytes:
    return b"up 1\n"


class CircleDesk:
    """Circle as the web room uses it: user sessions, and the key of its notifications."""

    def __init__(self) -> None:
        self.down = False
        self.key_id = "7c9c4a7e-0f6c-4f3a-9a56-0b1c5d6e7f80"
        self.private = ec.generate_private_key(ec.SECP256R1())
        self.asked_for: list[str] = []
        self.pins: dict[str, str] = {}
        """The transaction of each challenge for which a PIN was given."""

    async def user_token(self, user_id: str) -> UserToken:
        if self.down:
            raise Retryable("Circle: no answer")
        self.asked_for.append(user_id)
        return UserToken(f"token-{len(self.asked_for)}", "encryption-key")

    async def app_id(self) -> str:
        return "app-1"

    async def user_transfer(
        self, token: UserToken, key: UUID, wallet_id: str, token_id: str, address: str, amount: str
    ) -> str:
        """Withdrawals are played in the virtual world, against a Circle that keeps wallets."""
        raise Retryable("Circle: no answer")

    async def fetch_challenge(self, token: UserToken, challenge_id: str) -> ChallengeFacts:
        if challenge_id not in self.pins:
            raise Retryable("Circle: no answer")
        return ChallengeFacts(challenge_id, "CREATE_TRANSACTION", "COMPLETE", (self.pins[challenge_id],), None, None)

    async def user_transaction(self, token: UserToken, transaction_id: str) -> CircleTransaction:
        raise Retryable("Circle: no answer")

    async def public_key(self, key_id: str) -> NotificationKey:
        if self.down:
            raise Retryable("Circle: no answer")
        if key_id != self.key_id:
            raise Rejected("404", "no such key")
        der = self.private.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return NotificationKey(key_id, "ECDSA_SHA_256", base64.b64encode(der).decode())

    def signed(self, raw: bytes) -> dict[str, str]:
        signature = self.private.sign(raw, ec.ECDSA(hashes.SHA256()))
        return {"X-Circle-Signature": base64.b64encode(signature).decode(), "X-Circle-Key-Id": self.key_id}


@dataclass(frozen=True, slots=True)
class ShareOf:
    recipient_id: int
    name: str
    amount: int
    purchases: int
    left_out: str | None


@dataclass(frozen=True, slots=True)
class PreviewOf:
    shares: list[ShareOf]
    free: int
    purchases: int = 0


class Planner:
    """Answers as the payouts room would; what it was asked is kept."""

    def __init__(self) -> None:
        self.approved_by: list[str] = []
        self.found = PreviewOf([], 0)

    async def preview(self) -> PreviewOf:
        return self.found

    async def plan_off_cycle(self, approved_by: str, then: Any = None) -> None:
        self.approved_by.append(approved_by)


class Counts:
    """Counters of what happened."""

    def __init__(self) -> None:
        self.webhooks: dict[tuple[str, str], int] = {}
        self.statuses: dict[int, int] = {}

    def answered(self, method: str, status: int) -> None:
        self.statuses[status] = self.statuses.get(status, 0) + 1

    def webhook(self, source: str, outcome: str, count: int) -> None:
        self.webhooks[source, outcome] = self.webhooks.get((source, outcome), 0) + count


def _let_in(conn: Connection) -> None:
    ensure_invite(conn, INVITE, None, START)
    for role in ROLES:
        ensure_admin_token(conn, f"admin-{role}", START, role, role)


@dataclass(frozen=True, slots=True)
class Reply:
    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def code(self) -> str:
        """The error's code; the body has the one shape."""
        assert set(self.body) == {"error"}, self.body
        assert {"code", "message"} <= set(self.body["error"]) <= {"code", "message", "field"}
        return str(self.body["error"]["code"])


PATIENT = FrontLimits(header_seconds=60.0, body_seconds=60.0)
"""No test of anything else loses a connection because a busy machine kept its head waiting."""


class Shop:
    """Everything a test of the web room touches."""

    def __init__(self, store: Store, rate: Rate = UNHURRIED) -> None:
        self.store = store
        self.clock = HandClock()
        self.stripe = StripeService(
            lambda: int(self.clock.now().timestamp() * 1000), random.Random(7), secret_keys=(STRIPE_KEY,), timing=FAST
        )
        self.transport = ServiceTransport({STRIPE_API: self.stripe}, sleep=self.clock.sleep)
        self.circle = CircleDesk()
        self.planner = Planner()
        self.counts = Counts()
        self.usdc_account = "PlatformUsdcAccount"
        self.usdc: int | None = 0
        self.treasury: tuple[int, int] | None = (0, 0)
        self.realtime: Backlog | None = None
        self.packed: dict[str, PackedOutflow] = {}
        self.at_circle: set[str] = set()
        self.wires: list[WireInstructions] = []
        self.woken = 0
        self.settings = WebSettings(
            public_base_url=BASE_URL,
            livemode=False,
            password_cost=PasswordCost(memory_kib=64, iterations=1),
            rate=rate,
        )
        self.limits = PATIENT
        self.proxies = TrustedProxies()
        self._session: aiohttp.ClientSession | None = None

    def build(self) -> WebApp:
        outside = Outside(
            stripe=StripeGateway(self.transport, STRIPE_KEY, f"{STRIPE_API}/", self.clock),
            circle=self.circle,
            check_stripe=lambda raw, header, now: verify(raw, header, (SECRET, OLD_SECRET), now),
            check_circle=NotificationVerifier(self.circle.public_key, self.clock),
            check_address=check_payout_owner,
            read_usdc=self._read_usdc,
            read_treasury=self._read_treasury,
            read_packed=self._read_packed,
            find_order=self._find_order,
            payer=Payer("platform-wallet", PLATFORM_ADDRESS),
            usdc_account=self.usdc_account,
            read_wires=self._read_wires,
            planner=self.planner,
            metrics=self.counts,
            render_metrics=_render,
            on_work=self._wake,
            on_act=lambda: None,
            realtime=lambda _: self.realtime,
        )
        return WebApp(self.store, self.clock, SystemIds(), ThreadExecutor(), outside, self.settings)

    async def open(self) -> None:
        await self.store.write(_let_in)
        self.app = self.build()
        self.public = WebFront(self.app.public, "127.0.0.1", 0, self.limits, self.proxies)
        self.admin = WebFront(self.app.admin, "127.0.0.1", 0, self.limits, self.proxies)
        await self.public.start()
        await self.admin.start()
        self._session = aiohttp.ClientSession(auto_decompress=True)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
        await self.public.stop()
        await self.admin.stop()

    async def send(
        self,
        method: str,
        path: str,
        json: Any = None,
        token: str | None = None,
        *,
        raw: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        admin: bool = False,
    ) -> Reply:
        """One request over the socket; `json` becomes the body unless `raw` is given."""
        assert self._session is not None
        known = dict(headers or {})
        if json is not None:
            raw = dumps(json).encode()
        if raw is not None:
            known.setdefault("Content-Type", "application/json")
        if token is not None:
            known["Authorization"] = f"Bearer {token}"
        port = self.admin.port if admin else self.public.port
        async with self._session.request(
            method,
            f"http://127.0.0.1:{port}{path}",
            data=None if raw is None else BytesIO(raw),
            headers=known,
            allow_redirects=False,
        ) as answer:
            body = await answer.read()
            is_json = answer.content_type == "application/json"
            return Reply(answer.status, orjson.loads(body) if body and is_json else body, answer.headers)

    def request(self, path: str, token: str, remote: str = "127.0.0.1") -> WebRequest:
        """A GET for `dispatch`, past the sockets."""
        return WebRequest("GET", path, headers={"host": "localhost", "authorization": f"Bearer {token}"}, remote=remote)

    async def member(self, email: str = "buyer@example.com", password: str = PASSWORD) -> tuple[int, str]:
        """A new user's id and token."""
        made = await self.send(
            "POST", "/api/auth/signup/", {"email": email, "password": password, "invite_code": INVITE}
        )
        assert made.status == 201, made.body
        signed_in = await self.send("POST", "/api/auth/login/", {"email": email, "password": password})
        assert signed_in.status == 200, signed_in.body
        return made.body["user_id"], signed_in.body["token"]

    async def content(self, token: str, **changes: Any) -> int:
        """A content for sale; its id."""
        made = await self.send("POST", "/api/content/", {**CONTENT, **changes}, token)
        assert made.status == 201, made.body
        return int(made.body["id"])

    async def deliver(self, raw: bytes, header: str | None = None, **headers: str) -> Reply:
        """A webhook delivery, signed now unless a header is given."""
        known = {"Stripe-Signature": self.signed(raw) if header is None else header, **headers}
        return await self.send("POST", "/api/checkout/webhook/", raw=raw, headers=known)

    def signed(self, raw: bytes, secret: str = SECRET, offset: float = 0) -> str:
        return signed_by(secret, raw, self.clock.now() + timedelta(seconds=offset))

    async def rows(self, table: Any) -> int:
        """How many rows a table has."""
        found = await self.store.read(lambda conn: conn.scalar(select(func.count()).select_from(table)))
        return found or 0

    async def all(self, table: Any) -> list[dict[str, Any]]:
        """All rows of a table, oldest first."""
        found = await self.store.read(lambda conn: conn.execute(select(table)).mappings().all())
        return [dict(row) for row in found]

    async def _read_usdc(self, _address: str) -> int | None:
        if self.usdc is None:
            raise Retryable("no RPC answers")
        return self.usdc

    async def _read_packed(self, signature: str) -> PackedOutflow | None:
        return self.packed.get(signature)

    async def _find_order(self, order: SentOrder) -> bool:
        return order.reference in self.at_circle

    async def _read_treasury(self) -> tuple[int, int]:
        if self.treasury is None:
            raise Retryable("no RPC answers")
        return self.treasury

    async def _read_wires(self) -> list[WireInstructions]:
        if not self.wires:
            raise Retryable("Circle Mint does not answer")
        return self.wires

    def _wake(self) -> None:
        self.woken += 1


CONTENT: dict[str, Any] = {
    "title": "Still life",
    "description": "Oil on canvas",
    "price_cents": 300,
    "editions": 10,
    "teaser_link": "https://res.cloudinary.com/demo/image/upload/still.jpg",
}
EVENT: dict[str, Any] = {
    "id": "evt_1",
    "object": "event",
    "type": "payment_intent.succeeded",
    "created": int(START.timestamp()),
    "livemode": False,
    "data": {"object": {"id": "pi_1"}},
}


def signed_by(secret: str, raw: bytes, at: datetime) -> str:
    """A Stripe-Signature header of that moment."""
    t = int(at.timestamp())
    return f"t={t},v1={hmac.new(secret.encode(), f'{t}.'.encode() + raw, hashlib.sha256).hexdigest()}"


def event(**changes: Any) -> bytes:
    """A Stripe event's body."""
    return orjson.dumps({**EVENT, **changes})


def is_uuid(text: str) -> bool:
    return str(UUID(text)) == text


@asynccontextmanager
async def opened(shop: Shop) -> AsyncIterator[Shop]:
    await shop.open()
    try:
        yield shop
    finally:
        await shop.close()
