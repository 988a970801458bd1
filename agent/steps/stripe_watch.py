"""Looks at what Stripe does not tell by itself: whether it still sends us events, as its endpoint is made, and whether
its balance is negative.

The key may lack the right to look at webhook endpoints; then only the balance is known.
"""

from collections.abc import Sequence
from typing import Protocol

import structlog
from sqlalchemy import Connection

from agent.stripe_endpoint import flaw_of
from domain.errors import Rejected
from domain.outcomes import Commit, Done, Outcome, nothing
from gateways.stripe_facts import BalanceFacts, WebhookEndpointFacts
from ports.clock import Clock
from storage.reading.vitals import STRIPE_BALANCE, STRIPE_WEBHOOK
from storage.store import Store
from storage.treasury.chain_rows import record_reading
from storage.work import Claim

log = structlog.get_logger(__name__)


class StripeHealth(Protocol):
    async def balance(self) -> BalanceFacts: ...

    async def webhook_endpoints(self) -> Sequence[WebhookEndpointFacts]: ...


class StripeWatchStep:
    """Kind `stripe_watch`, subject `stripe`. `webhook_url` is the address that Stripe sends our events to."""

    def __init__(self, store: Store, clock: Clock, stripe: StripeHealth, webhook_url: str) -> None:
        self._store, self._clock, self._stripe, self._url = store, clock, stripe, webhook_url

    async def run(self, claim: Claim) -> Outcome:
        balance = await self._stripe.balance()
        cents = balance.available.get("usd", 0) + balance.pending.get("usd", 0)
        if cents < 0:
            log.error("Stripe's balance is below zero: refunds and disputes have taken more than came in", cents=cents)
        is_sent = await self._is_sent()
        if is_sent is False:
            log.error("Stripe sends no events to our webhook: enable its endpoint", url=self._url)
        now = self._clock.now()

        def write(conn: Connection) -> None:
            second = int(now.timestamp())
            record_reading(conn, STRIPE_BALANCE, cents, second, now)
            if is_sent is not None:
                record_reading(conn, STRIPE_WEBHOOK, int(is_sent), second, now)

        return Done(write)

    async def _is_sent(self) -> bool | None:
        """Whether an endpoint of ours is enabled; None where the key may not see, or none has our address (a proxy)."""
        try:
            endpoints = await self._stripe.webhook_endpoints()
        except Rejected as error:
            log.info("webhook endpoints can't be looked at with this key", why=str(error))
            return None
        ours = [one for one in endpoints if one.url.rstrip("/") == self._url.rstrip("/")]
        enabled = [one for one in ours if one.status == "enabled"]
        flaws = [flaw_of(one) for one in enabled]
        if None not in flaws:
            for why, mend in filter(None, flaws):
                log.error("Stripe's webhook endpoint is not as it has to be", why=why, mend=mend)
        return bool(enabled) if ours else None

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
