"""The sandbox's Stripe on a real socket, the official SDK as its client, and a shop that listens for webhooks."""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field

import pytest
import stripe
from aiohttp import web

from sandbox.front import Front
from sandbox.stripe_service import FAST, Controls, StripeService

SECRET_KEY = "sk_test_sandbox_conformance"
READER_KEY = "rk_test_sandbox_reader"


@dataclass
class Shop:
    """Listens for webhooks: checks each by the official SDK, answers by its list of statuses, then 200."""

    url: str = ""
    secret: str = ""
    statuses: list[int] = field(default_factory=list)
    taken: list[stripe.Event] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    """Signature headers of the tries that were answered with an error."""
    changed: asyncio.Event = field(default_factory=asyncio.Event)

    async def hook(self, request: web.Request) -> web.Response:
        raw, header = await request.read(), request.headers["Stripe-Signature"]
        event = stripe.Webhook.construct_event(raw, header, self.secret)
        status = self.statuses.pop(0) if self.statuses else 200
        if status == 200:
            self.taken.append(event)
        else:
            self.refused.append(header)
        self.changed.set()
        return web.Response(status=status)

    def types(self) -> list[str]:
        return [event.type for event in self.taken]

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(60):
            while not holds():
                self.changed.clear()
                await self.changed.wait()


@dataclass
class Town:
    """Everything a conformance test needs."""

    service: StripeService
    controls: Controls
    front: Front
    url: str
    client: stripe.StripeClient
    shop: Shop
    http: stripe.AIOHTTPClient

    def client_with(self, key: str, retries: int = 0) -> stripe.StripeClient:
        addresses: stripe.BaseAddresses = {"api": self.url}  # type: ignore[name-defined]
        return stripe.StripeClient(key, http_client=self.http, base_addresses=addresses, max_network_retries=retries)


@pytest.fixture
async def town() -> AsyncIterator[Town]:
    stripe.enable_telemetry = False

    def clock() -> int:
        return time.time_ns() // 1_000_000

    service = StripeService(
        clock,
        random.Random(11),
        secret_keys=(SECRET_KEY,),
        restricted_keys={READER_KEY: {"event": "read"}},
        timing=FAST,
    )
    front = Front(service, clock, "127.0.0.1", 0)
    await front.start()
    url = service.public_url = f"http://127.0.0.1:{front.port}"
    shop = Shop()
    app = web.Application()
    app.router.add_post("/hook", shop.hook)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    shop.url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    http = stripe.AIOHTTPClient(timeout=60)
    town = Town(service, service.controls, front, url, stripe.StripeClient(SECRET_KEY), shop, http)
    town.client = town.client_with(SECRET_KEY)
    yield town
    await http.close_async()  # type: ignore[no-untyped-call]
    await front.stop()
    await runner.cleanup()
