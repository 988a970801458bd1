"""Finds events again that no webhook brought: at every start and every hour, through Stripe's own list."""

from collections.abc import AsyncIterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Protocol

import orjson
import structlog

from domain.outcomes import Commit, Done, Outcome, nothing
from gateways.stripe_facts import EventPage
from ports.clock import Clock
from storage.inbox import StripeEvent, add_stripe_events
from storage.operation.listings import read_since, read_whole
from storage.store import Store
from storage.work import Claim

log = structlog.get_logger(__name__)

CURSOR = "stripe_events"
OVERLAP = timedelta(hours=6)
"""An event may be listed late, and one that was answered 200 and lost would not be listed as undelivered."""
LONGEST_LOOK_BACK = timedelta(days=29)
"""Stripe lists events for 30 days."""
SWEPT_TYPES = (
    "checkout.session.completed",
    "checkout.session.async_payment_succeeded",
    "checkout.session.async_payment_failed",
    "checkout.session.expired",
    "payment_intent.succeeded",
    "charge.updated",
    "charge.refunded",
    "refund.created",
    "refund.updated",
    "refund.failed",
    "charge.dispute.created",
    "charge.dispute.updated",
    "charge.dispute.funds_withdrawn",
    "charge.dispute.funds_reinstated",
    "charge.dispute.closed",
)
"""Every type that changes something; Stripe's filter takes 20."""


class StripeEvents(Protocol):
    def list_events(self, created_gte: datetime, types: Sequence[str]) -> AsyncIterator[EventPage]: ...


class EventsSweepStep:
    """Kind `events_sweep`, subject `stripe`. Idempotent: an event that is stored already is passed over.

    One of Stripe's other mode is left out, as the webhook refuses it: a test payment must never mint for real.
    """

    def __init__(self, store: Store, clock: Clock, stripe: StripeEvents, livemode: bool) -> None:
        self._store, self._clock, self._stripe, self._livemode = store, clock, stripe, livemode

    async def run(self, claim: Claim) -> Outcome:
        await self.sweep()
        return Done()

    async def sweep(self) -> int:
        """List and store what is missing; returns how many events were new. Raises Retryable."""
        started = self._clock.now()
        known = await self._store.read(lambda conn: read_since(conn, CURSOR, started))
        first = started - LONGEST_LOOK_BACK
        if known < first:
            log.error("events of before are listed no more: `reconcile` tells what they were", read_until=str(known))
        since = max(known - OVERLAP, first)
        found = 0
        async for page in self._stripe.list_events(since, SWEPT_TYPES):
            ours = [raw for raw in page.events if raw.get("livemode", self._livemode) is self._livemode]
            events = [_event(raw, started) for raw in ours]
            found += await self._store.write(lambda conn, events=events: add_stripe_events(conn, events))  # type: ignore[misc]
        await self._store.write(lambda conn: read_whole(conn, CURSOR, started, self._clock.now()))
        if found:
            log.warning("events found that no webhook brought", events=found)
        return found

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def _event(raw: dict[str, Any], now: datetime) -> StripeEvent:
    created = datetime.fromtimestamp(int(raw["created"]), UTC)
    return StripeEvent(str(raw["id"]), str(raw["type"]), created, orjson.dumps(raw), now)
