"""Circle and its chain behind a real socket, in a thread of its own: the official SDK is synchronous."""

import asyncio
import random
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from aiohttp import web

from sandbox.circle_service import CircleService, Platform, setup_platform
from sandbox.front import Front
from sandbox.solana_node import SolanaNode
from tests.sandbox.circle.world import API_KEY, RSA_PEM, SECRET, SOL, USDC

START_SECONDS_MAX = 20


@dataclass(slots=True)
class Received:
    """One webhook as it came in."""

    headers: dict[str, str]
    body: bytes


@dataclass(slots=True)
class Server:
    url: str = ""
    hook_url: str = ""
    platform: Platform | None = None
    received: list[Received] = field(default_factory=list)
    probes: int = 0


def unix_ms() -> int:
    return time.time_ns() // 1_000_000


@contextmanager
def running() -> Iterator[Server]:
    server = Server()
    started, loop = threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()
    thread = threading.Thread(target=lambda: loop.run_until_complete(_serve(server, started, stop)), daemon=True)
    thread.start()
    try:
        assert started.wait(START_SECONDS_MAX)
        yield server
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(START_SECONDS_MAX)
        loop.close()


async def _serve(server: Server, started: threading.Event, stop: asyncio.Event) -> None:
    node = SolanaNode(unix_ms, random.Random(1), slot_ms=20, finality_slots=8)
    circle = CircleService(
        clock=unix_ms,
        rng=random.Random(2),
        chain=node,
        api_keys=frozenset({API_KEY}),
        entity_secret=SECRET,
        rsa_pem=RSA_PEM,
    )
    server.platform = setup_platform(circle, lamports=SOL, usdc_base_units=1_000 * USDC)
    front = Front(circle, unix_ms, "127.0.0.1", 0)
    hook = await _hook(server)
    await front.start()
    server.url = f"http://127.0.0.1:{front.port}"
    started.set()
    await stop.wait()
    await front.stop()
    await hook.cleanup()


async def _hook(server: Server) -> web.AppRunner:
    """Where notifications arrive."""

    async def receive(request: web.Request) -> web.Response:
        if request.method == "HEAD":
            server.probes += 1
        else:
            headers = {name.lower(): value for name, value in request.headers.items()}
            server.received.append(Received(headers, await request.read()))
        return web.Response()

    app = web.Application()
    app.router.add_route("*", "/hook", receive)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    server.hook_url = f"http://127.0.0.1:{runner.addresses[0][1]}/hook"
    return runner
