"""Webhooks, version 2: subscriptions, signed envelopes, retries (reference/circle.md, section 8)."""

import base64
import heapq
import itertools
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from sandbox.circle_service.settings import WEBHOOK_RETRY_MS, Switches
from sandbox.circle_service.wire import compact, iso, iso_nanos, new_id
from sandbox.service import Clock, Delivery

NIL = "00000000-0000-0000-0000-000000000000"
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
KINDS = {
    "transactions": ("inbound", "outbound"),
    "challenges": (
        "accelerateTransaction",
        "cancelTransaction",
        "changePin",
        "contractExecution",
        "createTransaction",
        "createWallet",
        "initialize",
        "restorePin",
        "setPin",
        "setSecurityQuestions",
    ),
    "contracts": ("eventLog",),
    "modularWallet": ("userOperation", "inboundTransfer", "outboundTransfer"),
    "travelRule": ("statusUpdate", "deny", "approve"),
    "rampSession": ("completed", "depositReceived", "expired", "failed", "kycApproved", "kycRejected", "kycSubmitted"),
}
TYPES = frozenset({"*"} | {f"{kind}.{name}" for kind, names in KINDS.items() for name in ("*", *names)})


@dataclass(slots=True)
class Subscription:
    id: str
    endpoint: str
    types: list[str]
    name: str
    create_ms: int
    update_ms: int
    enabled: bool = True

    @property
    def restricted(self) -> bool:
        return bool(self.types) and "*" not in self.types

    def wants(self, kind: str) -> bool:
        return not self.restricted or kind in self.types or f"{kind.split('.', maxsplit=1)[0]}.*" in self.types

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "name": self.name,
            "endpoint": self.endpoint,
            "enabled": self.enabled,
            "createDate": iso(self.create_ms),
            "updateDate": iso(self.update_ms),
            "notificationTypes": self.types or ["*"],
            "restricted": self.restricted,
        }


@dataclass(slots=True)
class _Message:
    """A delivery with its tries. The bytes and the notificationId stay the same on every try."""

    subscription: Subscription
    method: str
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    tries: int = 0
    born: int = 0
    """Of two, the later one has the greater number."""


def endpoint_allowed(endpoint: str) -> bool:
    """Public HTTPS, as Circle asks for; the sandbox also reaches plain http on loopback."""
    try:
        parts = urlsplit(endpoint)
        host = parts.hostname
    except ValueError:
        return False
    return bool(host) and (parts.scheme == "https" or (parts.scheme == "http" and host in LOOPBACK))


class Signer:
    """Circle's notification key (ECDSA P-256 with SHA-256)."""

    def __init__(self, rng: random.Random, create_ms: int) -> None:
        self._key = ec.derive_private_key(rng.randrange(1, P256_ORDER), ec.SECP256R1())
        self.id = new_id(rng)
        self.create_ms = create_ms

    def view(self) -> dict[str, object]:
        spki = self._key.public_key().public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        return {
            "id": self.id,
            "algorithm": "ECDSA_SHA_256",
            "publicKey": base64.b64encode(spki).decode(),
            "createDate": iso(self.create_ms),
        }

    def sign(self, body: bytes) -> str:
        """base64 of the DER signature; deterministic (RFC 6979), so that a seed reproduces a run."""
        return base64.b64encode(self._key.sign(body, ec.ECDSA(hashes.SHA256(), deterministic_signing=True))).decode()


class Notifier:
    """Queues notifications for every subscription that wants them, and tries each until it is taken or given up."""

    def __init__(self, clock: Clock, rng: random.Random, switches: Switches) -> None:
        self._clock = clock
        self._rng = rng
        self._switches = switches
        self.signer = Signer(rng, clock())
        self.subscriptions: dict[str, Subscription] = {}
        self._due: list[tuple[int, int, _Message]] = []
        self._out: dict[int, _Message] = {}
        self._numbers = itertools.count(1)
        self.on_disturbed: list[Callable[[], None]] = []
        """Called for each that a switch loses, doubles, garbles or lets be overtaken."""
        self._newest = 0
        """Birth of the newest that was handed over."""
        self.given_up = 0

    def subscribe(self, endpoint: str, types: list[str]) -> Subscription:
        """A new subscription, probed with HEAD; a test notification follows the probe's success."""
        now = self._clock()
        made = Subscription(new_id(self._rng), endpoint, types, "", now, now)
        made.name = f"Subscription {len(self.subscriptions) + 1}"
        self.subscriptions[made.id] = made
        self._queue(_Message(made, "HEAD"), 0)
        return made

    def update(self, subscription: Subscription, name: str, *, enabled: bool) -> None:
        subscription.name = name
        subscription.enabled = enabled
        subscription.update_ms = self._clock()
        if enabled:
            self._queue(_Message(subscription, "HEAD", tries=len(WEBHOOK_RETRY_MS)), 0)

    def unsubscribe(self, subscription: Subscription) -> None:
        subscription.enabled = False
        del self.subscriptions[subscription.id]

    def notify(self, kind: str, notification: Mapping[str, object]) -> None:
        for subscription in self.subscriptions.values():
            if subscription.enabled and subscription.wants(kind):
                self._send(subscription, kind, notification, subscription.id, new_id(self._rng))

    def next_due_ms(self) -> int | None:
        return self._due[0][0] if self._due else None

    def take_deliveries(self) -> list[Delivery]:
        now = self._clock()
        ready: list[_Message] = []
        while self._due and self._due[0][0] <= now:
            message = heapq.heappop(self._due)[2]
            if message.subscription.enabled:
                ready.append(message)
        if self._switches.shuffle_notifications:
            self._rng.shuffle(ready)
        return [self._hand_over(message) for message in ready]

    def delivered(self, delivery_id: int, status: int | None) -> None:
        message = self._out.pop(delivery_id, None)
        if message is None:
            return
        if status is not None and 200 <= status < 300:
            if message.method == "HEAD" and message.tries <= len(WEBHOOK_RETRY_MS):
                self._send(message.subscription, "webhooks.test", {"hello": "world"}, NIL, NIL)
        elif message.tries <= len(WEBHOOK_RETRY_MS):
            self._queue(message, WEBHOOK_RETRY_MS[message.tries - 1])
        else:
            self.given_up += 1

    def _send(
        self,
        to: Subscription,
        kind: str,
        notification: Mapping[str, object],
        subscription_id: str,
        notification_id: str,
    ) -> None:
        if self._switches.drop_notifications > 0:
            self._switches.drop_notifications -= 1
            self._disturbed()
            return
        body = compact(
            {
                "subscriptionId": subscription_id,
                "notificationId": notification_id,
                "notificationType": kind,
                "notification": notification,
                "timestamp": iso_nanos(self._clock(), self._rng.randrange(1_000_000)),
                "version": 2,
            }
        )
        message = _Message(to, "POST", self._headers(body), body, born=next(self._numbers))
        self._queue(message, self._held_ms())
        if self._switches.duplicate_notifications > 0:
            self._switches.duplicate_notifications -= 1
            self._disturbed()
            self._queue(_Message(to, "POST", message.headers, body), 0)

    def _headers(self, body: bytes) -> dict[str, str]:
        signed = body
        if self._switches.garble_signatures > 0:
            self._switches.garble_signatures -= 1
            self._disturbed()
            signed = body + b" "
        return {
            "Content-Type": "application/json",
            "X-Circle-Key-Id": self.signer.id,
            "X-Circle-Signature": self.signer.sign(signed),
        }

    def _held_ms(self) -> int:
        most = self._switches.hold_notifications_ms
        return self._rng.randrange(most + 1) if most > 0 else 0

    def _disturbed(self) -> None:
        for hear in self.on_disturbed:
            hear()

    def _queue(self, message: _Message, delay_ms: int) -> None:
        heapq.heappush(self._due, (self._clock() + delay_ms, next(self._numbers), message))

    def _hand_over(self, message: _Message) -> Delivery:
        message.tries += 1
        if message.tries == 1 and 0 < message.born < self._newest:
            self._disturbed()
        self._newest = max(self._newest, message.born)
        number = next(self._numbers)
        self._out[number] = message
        return Delivery(number, message.method, message.subscription.endpoint, message.headers, message.body)
