"""The process that faces the internet alone: it checks and stores Stripe's webhooks, and has no key that moves money.

The daemon works on what it stores, from the same PostgreSQL. Whoever takes this process over can add events that Stripe
never signed, and nothing else: its database role may only insert into the inbox, and no key of Stripe's or Circle's is
in its memory, its environment or its files.
"""

import asyncio
import signal
from datetime import datetime
from functools import partial

import structlog

from agent.identity import StartRefused
from agent.web.access import Gatekeeper
from agent.web.endpoint import Endpoint
from agent.web.front import FrontLimits, WebFront
from agent.web.health import Vitals
from agent.web.intake import Webhooks
from agent.web.metering import NoMetrics
from agent.web.rates import Rate
from agent.web.router import Router
from agent.web.settings import WebSettings
from config.intake_access import IntakeAccess
from gateways import stripe_signature
from gateways.bad_signature import BadSignature
from ports.system import SystemClock, SystemIds
from storage import schema
from storage.engines.opening import open_store
from storage.store import Store

log = structlog.get_logger(__name__)

SERVED = "/api/checkout/webhook/"
STOP_SECONDS = 4.0
NOBODY = Rate(burst=1, per_second=1.0)
"""No endpoint of this process knows a token."""


class _NoCircle:
    """Circle's notifications go to the daemon: their keys are fetched with its API key."""

    async def verify(self, raw_body: bytes, key_id: str | None, signature: str | None) -> None:
        raise BadSignature("not taken here")


def endpoints(access: IntakeAccess, store: Store, clock: SystemClock) -> list[Endpoint]:
    """Stripe's webhook, and whether this process lives."""
    check = partial(_check, access.webhook_secrets)
    settings = WebSettings(public_base_url="", livemode=access.live)
    webhooks = Webhooks(store, clock, check, _NoCircle(), NoMetrics(), lambda: None, settings)
    stripe = [one for one in webhooks.endpoints() if one.path == SERVED]
    return [*stripe, *Vitals(store, lambda: []).endpoints()]


async def run(access: IntakeAccess) -> int:
    """Serve until SIGTERM or SIGINT. Raises StorageError or StartRefused."""
    clock, store, stopping = SystemClock(), open_store(access.database_url), asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await store.start()
    host, port = access.listen.rsplit(":", 1)
    router = Router(endpoints(access, store, clock), Gatekeeper(store, clock, NOBODY), NoMetrics())
    front = WebFront(router, host, int(port), FrontLimits(stop_seconds=STOP_SECONDS))
    try:
        await store.read(schema.check)
        try:
            await front.start(run_id=SystemIds().token()[:6])
        except OSError as error:
            raise StartRefused(f"AGENT_LISTEN: {error.strerror or error}") from error
        log.info("listening", public=access.listen)
        await stopping.wait()
    finally:
        await front.stop()
        await store.stop()
    return 0


def _check(secrets: tuple[str, ...], raw_body: bytes, header: str | None, now: datetime) -> None:
    stripe_signature.verify(raw_body, header, secrets, now)
