"""Stripe's and Circle's webhooks: checked, stored, answered 200 only after the commit. Nothing is worked on here."""

import asyncio
import logging
import re
from collections import deque
from collections.abc import Callable
from datetime import datetime
from typing import Any, Protocol

import orjson

from agent.web.bodies import Answer
from agent.web.endpoint import WEBHOOK_MAX_BYTES, Access, Call, Endpoint
from agent.web.messages import WebResponse
from agent.web.metering import WebMetrics
from agent.web.rates import Rate, RateLimit
from agent.web.recurring import Recurring
from agent.web.settings import WebSettings
from domain.errors import OutcomeUnknown, Rejected, RequestError, Retryable
from gateways.bad_signature import BadSignature
from ports.clock import Clock
from storage import inbox
from storage.errors import StoreUnavailable
from storage.inbox import StripeEvent
from storage.store import Store

log = logging.getLogger(__name__)

EVENTS_PER_WRITE = 256
"""Events in one INSERT: enough to share a flush, few enough not to hold up the writes of others."""
WORTH_DIVIDING = 16
"""Events in one INSERT below which a flush of their own costs more than they gain by it."""
WAITING_MAX = 4_000
"""Events taken and not yet stored; beyond it a quick 503 lets Stripe try again."""
WAITING_MAX_BYTES = 64 * 1024 * 1024
WRITES_AT_ONCE = 2
"""Groups handed to the store at once: one is flushed, the next stands right behind it. With one only the database
waits for the loop after each flush; with more the groups get smaller, and each costs as much as a large one."""
GATHERING_TURNS = 3
"""Turns of the loop between the first event and its write: as many as a request takes from the socket to here, so that
all that came in the meantime share a transaction. With nothing else to do they pass in microseconds."""
_ID = re.compile(r"[\x21-\x7e]{1,255}", re.ASCII)
_NOTIFICATION_ID = re.compile(r"[\x21-\x7e]{1,64}", re.ASCII)
_TYPE = re.compile(r"[\x21-\x7e]{1,100}", re.ASCII)
SIGNATURE_INVALID = "signature_invalid"
FORGED_FOR_CIRCLE = Rate(burst=60, per_second=20.0)
"""Checking one costs several times the HTTP around it, and a notification is a hint only: beyond this rate of wrong
ones nothing is checked, and what is Circle's comes again. An HMAC costs less than its HTTP: Stripe's events are always
checked."""
UNREADABLE_TYPE = "unreadable"


class Received(Answer):
    """Stored."""

    received: bool = True


_RECEIVED = WebResponse(200, Received().model_dump_json().encode())

StripeCheck = Callable[[bytes, str | None, datetime], None]
"""Raw body, `Stripe-Signature` header, now. Raises BadSignature unless a configured secret signed it lately."""


class CircleCheck(Protocol):
    """Whether Circle signed a notification."""

    async def verify(self, raw_body: bytes, key_id: str | None, signature: str | None) -> None:
        """Raises BadSignature for a wrong signature or a key that Circle does not know, Retryable when the key can't
        be fetched now."""
        ...


class IntakeBuffer:
    """Gathers events while a write is on its way, and stores them all with the next one.

    Under load the size of a write grows by itself with what arrives during the one before; a lone event waits for
    nobody.
    """

    def __init__(self, store: Store, metrics: WebMetrics, on_stored: Callable[[], None]) -> None:
        self._store = store
        self._metrics = metrics
        self._on_stored = on_stored
        self._waiting: deque[_Waiting] = deque()
        self._bytes = 0
        self._storing = 0
        self._writers: set[asyncio.Task[None]] = set()
        self._starting = False
        self._unstored = Recurring(lambda times, why: log.warning("%d events were not stored: %s", times, why))

    async def put(self, event: StripeEvent) -> None:
        """Return once the event is stored, or was stored before.

        Raises StoreUnavailable when that is not known, RequestError 503 `busy` when too much waits.
        """
        if len(self._waiting) >= WAITING_MAX or self._bytes + len(event.body) > WAITING_MAX_BYTES:
            raise RequestError(503, "busy", "too many events are waiting to be stored")
        stored: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, stored))
        self._bytes += len(event.body)
        self._start()
        await stored

    def _start(self) -> None:
        if not self._starting and len(self._writers) < WRITES_AT_ONCE:
            self._starting = True
            self._writers.add(asyncio.create_task(self._write_all()))

    async def _write_all(self) -> None:
        writer = asyncio.current_task()
        assert writer is not None
        try:
            await self._gather()
            while self._waiting:
                group = self._take(self._share())
                if self._waiting:
                    self._start()
                await self._write(group)
        finally:
            self._writers.discard(writer)  # at once: the next event must not count on a writer that has ended
            if not self._writers:
                _refuse(self._take(len(self._waiting)))

    async def _gather(self) -> None:
        """Let what comes in at the same time join the first write."""
        try:
            for _ in range(GATHERING_TURNS):
                await asyncio.sleep(0)
        finally:
            self._starting = False

    def _share(self) -> int:
        """A part of all events under way for each append that the store can do at once: senders that wait for their
        answers would otherwise all send together, and wait together, with nobody working in the meantime."""
        fair = -(-(len(self._waiting) + self._storing) // self._store.appends_at_once)
        return min(EVENTS_PER_WRITE, max(WORTH_DIVIDING, fair))

    def _take(self, most: int) -> list["_Waiting"]:
        group = [self._waiting.popleft() for _ in range(min(most, len(self._waiting)))]
        self._bytes -= sum(len(event.body) for event, _ in group)
        return group

    async def _write(self, group: list["_Waiting"]) -> None:
        events = [event for event, _ in group]
        self._storing += len(group)
        try:
            new = await self._store.append(lambda conn: inbox.add_stripe_events(conn, events))
        except StoreUnavailable as error:
            self._unstored.happened(str(error), len(group))
            return
        else:
            for _, stored in group:
                if not stored.done():
                    stored.set_result(None)
        finally:
            self._storing -= len(group)
            _refuse(group)
        self._metrics.webhook("stripe", "stored", new)
        self._metrics.webhook("stripe", "duplicate", len(group) - new)
        if new:
            self._on_stored()


_Waiting = tuple[StripeEvent, asyncio.Future[None]]


def _refuse(group: list[_Waiting]) -> None:
    """Tell those without an answer that their event is not known to be stored: the sender tries again."""
    for _, stored in group:
        if not stored.done():
            stored.set_exception(StoreUnavailable("the event is not known to be stored"))


class Webhooks:
    """The two webhook endpoints. A delivery of the right sender is never refused for what it says."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        check_stripe: StripeCheck,
        check_circle: CircleCheck,
        metrics: WebMetrics,
        on_stored: Callable[[], None],
        settings: WebSettings,
    ) -> None:
        self._store = store
        self._clock = clock
        self._check_stripe = check_stripe
        self._check_circle = check_circle
        self._metrics = metrics
        self._on_stored = on_stored
        self._settings = settings
        self._buffer = IntakeBuffer(store, metrics, on_stored)
        self._forged = RateLimit(clock, FORGED_FOR_CIRCLE)

    def endpoints(self) -> list[Endpoint]:
        public, circle = Access.PUBLIC, "/api/circle/webhook/"
        return [
            Endpoint(
                "POST",
                "/api/checkout/webhook/",
                public,
                self.stripe,
                "Stripe's events",
                Received,
                raw=True,
                body_max_bytes=WEBHOOK_MAX_BYTES,
            ),
            Endpoint(
                "POST",
                circle,
                public,
                self.circle,
                "Circle's notifications",
                Received,
                raw=True,
                body_max_bytes=WEBHOOK_MAX_BYTES,
                errors=(429,),
            ),
            Endpoint("HEAD", circle, public, self.circle_looks, "Circle looks whether somebody is here"),
        ]

    async def stripe(self, call: Call) -> WebResponse:
        now, raw = self._clock.now(), call.request.body
        try:
            self._check_stripe(raw, call.request.headers.get("stripe-signature"), now)
            event = self._read_event(raw, now)
        except (BadSignature, Rejected) as error:
            raise self._refused("stripe", error) from None
        try:
            await self._buffer.put(event)
        except (StoreUnavailable, RequestError):
            self._metrics.webhook("stripe", "unavailable", 1)
            raise
        return _RECEIVED

    def _read_event(self, raw: bytes, now: datetime) -> StripeEvent:
        """Only what finding the event again needs; the step that works on it reads it strictly."""
        found = _object(raw)
        event_id, kind = found.get("id"), found.get("type")
        if not isinstance(event_id, str) or _ID.fullmatch(event_id) is None:
            raise Rejected("not_an_event", "the body has no event id")
        if found.get("livemode", self._settings.livemode) is not self._settings.livemode:
            raise Rejected("wrong_mode", f"event {event_id} is of Stripe's other mode")
        account, ours = found.get("account"), self._settings.stripe_account
        if account is not None and account != ours:
            raise Rejected("wrong_account", f"event {event_id} is of another account")
        return StripeEvent(
            event_id=event_id,
            type=kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else UNREADABLE_TYPE,
            stripe_created_at=inbox.event_time(found.get("created"), now),
            body=raw,
            received_at=now,
        )

    async def circle(self, call: Call) -> WebResponse:
        raw, headers = call.request.body, call.request.headers
        self._forged.require("circle")
        try:
            await self._check_circle.verify(raw, headers.get("x-circle-key-id"), headers.get("x-circle-signature"))
            notification_id, kind = _read_notification(raw)
        except (BadSignature, Rejected) as error:
            self._forged.spend("circle")
            raise self._refused("circle", error) from None
        except (Retryable, OutcomeUnknown):
            self._metrics.webhook("circle", "unavailable", 1)
            raise RequestError(503, "key_unavailable", "Circle's key can't be fetched now; send it again") from None
        now = self._clock.now()
        new = await self._store.append(
            lambda conn: inbox.add_circle_notification(conn, notification_id, kind, raw, now)
        )
        self._metrics.webhook("circle", "stored" if new else "duplicate", 1)
        if new:
            self._on_stored()
        return _RECEIVED

    def _refused(self, source: str, error: BadSignature | Rejected) -> RequestError:
        code = error.code if isinstance(error, Rejected) else SIGNATURE_INVALID
        self._metrics.webhook(source, code, 1)
        return RequestError(400, code, str(error))

    async def circle_looks(self, _: Call) -> WebResponse:
        return WebResponse(200)


def _object(raw: bytes) -> dict[str, Any]:
    try:
        found = orjson.loads(raw)
    except orjson.JSONDecodeError:
        raise Rejected("invalid_json", "the body is signed but is not JSON") from None
    if not isinstance(found, dict):
        raise Rejected("not_an_event", "the body is not an object")
    return found


def _read_notification(raw: bytes) -> tuple[str, str]:
    found = _object(raw)
    notification_id, kind = found.get("notificationId"), found.get("notificationType")
    if not isinstance(notification_id, str) or _NOTIFICATION_ID.fullmatch(notification_id) is None:
        raise Rejected("not_an_event", "the body has no notificationId")
    return notification_id, kind if isinstance(kind, str) and _TYPE.fullmatch(kind) else UNREADABLE_TYPE
