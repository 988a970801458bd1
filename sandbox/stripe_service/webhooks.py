"""Webhook endpoints and the way of an event to them: signatures, retries, and switches that disturb the delivery."""

import hashlib
import heapq
import hmac
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count

import orjson

from sandbox.service import Clock, Delivery
from sandbox.stripe_service.books import Json
from sandbox.stripe_service.timing import Timing

HTTP_OK = range(200, 300)


def signature_header(secrets: list[str], timestamp: int, body: bytes) -> str:
    """`Stripe-Signature`: one v1 for every active secret. The key is the whole secret, `whsec_` included."""
    signed = str(timestamp).encode() + b"." + body
    marks = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in secrets]
    return ",".join([f"t={timestamp}", *(f"v1={mark}" for mark in marks)])


@dataclass(slots=True)
class Switches:
    """Disturbances of the delivery; shares are between 0 and 1, drawn anew for each event or try."""

    duplicates: float = 0.0
    """Share of events delivered twice to an endpoint."""
    shuffle_ms: int = 0
    """Every first try is held back by a random part of this, so that events overtake one another."""
    drop: float = 0.0
    """Share of tries that never reach the endpoint (they count as unanswered)."""
    tries_max: int | None = None
    """Give up after so many tries instead of after three days; with `drop = 1` an event is lost but for the list."""
    delay_ms: dict[str, int] = field(default_factory=dict)
    """Event type → how long its first try is held back."""
    created_step_seconds: int = 1
    """`created` of events is rounded down to this step: 60 makes ties the rule."""
    timestamp_offset_seconds: int = 0
    """Added to the signed timestamp: -600 is too old, 600 lies in the future."""
    bad_signatures: float = 0.0
    """Share of tries whose signature does not fit."""


@dataclass(slots=True)
class Endpoint:
    id: str
    url: str
    enabled_events: list[str]
    api_version: str | None
    secret: str
    created: int
    livemode: bool
    description: str | None = None
    metadata: dict[str, str] = field(default_factory=dict)
    status: str = "enabled"
    rolled: list[tuple[str, int]] = field(default_factory=list)
    """Earlier secrets and until when (ms) they sign too."""

    def wants(self, event_type: str) -> bool:
        return self.status == "enabled" and ("*" in self.enabled_events or event_type in self.enabled_events)

    def secrets(self, now_ms: int) -> list[str]:
        return [self.secret, *(old for old, until in self.rolled if now_ms < until)]


@dataclass(slots=True)
class Event:
    """One event as it was frozen at its creation, and the endpoints that have not taken it yet."""

    id: str
    body: Json
    waiting: set[str] = field(default_factory=set)

    def render(self, api_version: str | None = None) -> Json:
        """As an endpoint sees it (its own API version), or as the API answers it now."""
        shown = {**self.body, "pending_webhooks": len(self.waiting)}
        return shown if api_version is None else {**shown, "api_version": api_version}


@dataclass(slots=True)
class Dispatch:
    event: Event
    endpoint_id: str
    first_ms: int
    tries: int = 0
    is_copy: bool = False
    """A duplicate on purpose: tried once, its outcome changes nothing."""


class PostOffice:
    """Holds what is to be delivered, hands it over when due, tries again when it was not taken."""

    def __init__(self, clock: Clock, rng: random.Random, timing: Timing) -> None:
        self._clock = clock
        self._rng = rng
        self._timing = timing
        self.switches = Switches()
        self.on_disturbed: list[Callable[[], None]] = []
        """Called for each delivery that a switch loses, doubles, holds back or signs wrongly."""
        self.endpoints: dict[str, Endpoint] = {}
        self._due: list[tuple[int, int, Dispatch]] = []
        self._order = count()
        self._outbox: list[Dispatch] = []
        self._numbers = count(1)
        self._under_way: dict[int, Dispatch] = {}

    def post(self, event: Event) -> None:
        """Send a new event to every endpoint that is subscribed to its type."""
        for endpoint in self.endpoints.values():
            if endpoint.wants(event.body["type"]):
                event.waiting.add(endpoint.id)
                self._schedule(event, endpoint.id)

    def resend(self, event: Event, endpoint_id: str) -> None:
        """Deliver once more, whatever became of it before."""
        self._push(self._clock(), Dispatch(event, endpoint_id, self._clock()))

    def _schedule(self, event: Event, endpoint_id: str) -> None:
        now = self._clock()
        held_ms = self.switches.delay_ms.get(event.body["type"], 0)
        first_ms = held_ms + self._jitter()
        if first_ms > 0:
            self._disturbed()
        self._push(now + first_ms, Dispatch(event, endpoint_id, now))
        if self._chance(self.switches.duplicates):
            self._disturbed()
            self._push(now + held_ms + self._jitter(), Dispatch(event, endpoint_id, now, is_copy=True))

    def _push(self, due_ms: int, dispatch: Dispatch) -> None:
        heapq.heappush(self._due, (due_ms, next(self._order), dispatch))

    def _jitter(self) -> int:
        return self._rng.randrange(self.switches.shuffle_ms + 1) if self.switches.shuffle_ms > 0 else 0

    def _chance(self, share: float) -> bool:
        return share > 0 and self._rng.random() < share

    def collect(self, now_ms: int) -> None:
        """Move what is due by `now_ms` into the outbox."""
        while self._due and self._due[0][0] <= now_ms:
            self._outbox.append(heapq.heappop(self._due)[2])

    def next_ms(self) -> int | None:
        if self._outbox:
            return self._clock()
        return self._due[0][0] if self._due else None

    def take(self) -> list[Delivery]:
        """The outbox as HTTP requests, each signed now: a retry carries a fresh timestamp."""
        outbox, self._outbox = self._outbox, []
        return [delivery for dispatch in outbox if (delivery := self._hand_over(dispatch)) is not None]

    def _hand_over(self, dispatch: Dispatch) -> Delivery | None:
        endpoint = self.endpoints.get(dispatch.endpoint_id)
        if endpoint is None or endpoint.status != "enabled":
            return None
        dispatch.tries += 1
        number = next(self._numbers)
        self._under_way[number] = dispatch
        if self._chance(self.switches.drop):
            self._disturbed()
            self.delivered(number, None)
            return None
        body = orjson.dumps(dispatch.event.render(endpoint.api_version or ""), option=orjson.OPT_INDENT_2)
        return Delivery(number, "POST", endpoint.url, self._headers(endpoint, body), body)

    def _headers(self, endpoint: Endpoint, body: bytes) -> dict[str, str]:
        now_ms = self._clock()
        timestamp = now_ms // 1000 + self.switches.timestamp_offset_seconds
        signed = body
        if self._chance(self.switches.bad_signatures):
            self._disturbed()
            signed = body + b" "
        return {
            "content-type": "application/json; charset=utf-8",
            "user-agent": "Stripe/1.0 (+https://stripe.com/docs/webhooks)",
            "stripe-signature": signature_header(endpoint.secrets(now_ms), timestamp, signed),
        }

    def _disturbed(self) -> None:
        for hear in self.on_disturbed:
            hear()

    def delivered(self, delivery_id: int, status: int | None) -> None:
        """Book the outcome of one try. Only a 2xx counts as taken; a redirect does not."""
        dispatch = self._under_way.pop(delivery_id, None)
        if dispatch is None:
            return
        if status is not None and status in HTTP_OK:
            dispatch.event.waiting.discard(dispatch.endpoint_id)
        elif not dispatch.is_copy and dispatch.endpoint_id in dispatch.event.waiting:
            self._retry(dispatch)

    def _retry(self, dispatch: Dispatch) -> None:
        due_ms = self._clock() + self._timing.retry_gap_ms(dispatch.tries)
        too_often = self.switches.tries_max is not None and dispatch.tries >= self.switches.tries_max
        if not too_often and due_ms <= dispatch.first_ms + self._timing.retry_for_ms:
            self._push(due_ms, dispatch)
