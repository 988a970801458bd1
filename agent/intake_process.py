"""The process that faces the internet alone: it checks and stores Stripe's webhooks, and has no key that moves money.

The daemon works on what it stores, from the same PostgreSQL. Whoever takes this process over can add events that Stripe
never signed, and nothing else: its database role may only insert into the inbox, and no key of Stripe's or Circle's is
in its memory, its environment or its files.
"""

import asyncio
import signal
from dataclasses import replace
from datetime import datetime
from functools import partial

import structlog
from pydantic import BaseModel

from agent.identity import StartRefused
from agent.loop_watch import LoopWatch
from agent.notify import ALIVE_EVERY_SECONDS, ServiceChannel
from agent.web.access import Gatekeeper
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.front import FrontLimits, WebFront
from agent.web.health import Vitals, metrics_endpoint
from agent.web.intake import Webhooks
from agent.web.messages import WebResponse
from agent.web.metering import NoMetrics
from agent.web.rates import Rate
from agent.web.router import HostAllowList, Router
from agent.web.settings import WebSettings
from config.intake_access import IntakeAccess
from gateways import stripe_signature
from gateways.bad_signature import BadSignature
from metrics import IntakeMetrics
from ports.clock import Clock
from ports.system import SystemClock, SystemIds
from storage import schema
from storage.engines.metered import MeteredStore
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


def endpoints(access: IntakeAccess, store: Store, clock: Clock, metrics: IntakeMetrics) -> list[Endpoint]:
    """Stripe's webhook, and whether this process lives."""
    check = partial(_check, access.webhook_secrets)
    settings = WebSettings(public_base_url="", livemode=access.live)
    webhooks = Webhooks(store, clock, check, _NoCircle(), metrics, lambda: None, settings)
    stripe = [_timed(one, clock, metrics) for one in webhooks.endpoints() if one.path == SERVED]
    return [*stripe, *Vitals(store, lambda: []).endpoints()]


def _timed(endpoint: Endpoint, clock: Clock, metrics: IntakeMetrics) -> Endpoint:
    async def handler(call: Call) -> BaseModel | WebResponse | None:
        begun = clock.monotonic()
        try:
            return await endpoint.handler(call)
        finally:
            metrics.delivery_answered(clock.monotonic() - begun)

    return replace(endpoint, handler=handler)


async def run(access: IntakeAccess) -> int:
    """Serve until SIGTERM or SIGINT. Raises StorageError or StartRefused."""
    clock, metrics, stopping, channel = SystemClock(), IntakeMetrics(), asyncio.Event(), ServiceChannel()
    store = MeteredStore(open_store(access.database_url, any_server=True), clock, metrics.store_used)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    await store.start()
    gatekeeper = Gatekeeper(store, clock, NOBODY)
    front = _front(Router(endpoints(access, store, clock, metrics), gatekeeper, metrics), access.listen)
    scraped = _front(_scraped(metrics, gatekeeper, access), access.metrics_listen) if access.metrics_listen else None
    try:
        await store.read(schema.check)
        metrics.build(schema.head(), store.dialect, "live" if access.live else "test")
        await _listen(access, front, scraped)
        channel.ready()
        async with asyncio.TaskGroup() as group:
            watches = [
                group.create_task(LoopWatch(clock, metrics.loop_was_late).run()),
                group.create_task(_live(channel, clock)),
            ]
            await stopping.wait()
            channel.stopping()
            for watch in watches:
                watch.cancel()
    finally:
        await front.stop()
        if scraped is not None:
            await scraped.stop()
        await store.stop()
    return 0


def _front(router: Router, listen: str) -> WebFront:
    host, port = listen.rsplit(":", 1)
    return WebFront(router, host, int(port), FrontLimits(stop_seconds=STOP_SECONDS))


async def _live(channel: ServiceChannel, clock: Clock) -> None:
    """As long as the loop turns: a start anew mends one that hangs, and does not bring back a database."""
    while True:
        channel.alive()
        await clock.sleep(ALIVE_EVERY_SECONDS)


def _scraped(metrics: IntakeMetrics, gatekeeper: Gatekeeper, access: IntakeAccess) -> Router:
    """Without a token: what this process counts says nothing of anybody, and it may read no token."""

    async def render() -> bytes:
        return metrics.render()

    return Router(
        [metrics_endpoint(render, Access.PUBLIC)], gatekeeper, NoMetrics(), HostAllowList(access.metrics_hosts)
    )


async def _listen(access: IntakeAccess, front: WebFront, scraped: WebFront | None) -> None:
    """Taking webhooks matters more than being watched: a port for the scraper that can't be had ends nothing."""
    ids = SystemIds()
    try:
        await front.start(ids.token()[:6])
    except OSError as error:
        raise StartRefused(f"AGENT_LISTEN: {error.strerror or error}") from error
    if scraped is not None:
        try:
            await scraped.start(ids.token()[:6])
        except OSError as error:
            log.warning("nobody can scrape: AGENT_INTAKE_METRICS_LISTEN", why=error.strerror or str(error))
    log.info("listening", public=access.listen, metrics=access.metrics_listen)


def _check(secrets: tuple[str, ...], raw_body: bytes, header: str | None, now: datetime) -> None:
    stripe_signature.verify(raw_body, header, secrets, now)
