"""One server in a process of its own: `python -m bench.intake_server noop | bare | DATABASE_URL`.

Prints its port and serves until its input ends. With a database it is the daemon's own web room, wired as in
production (settings, metered store, metrics, front), without the background: what is stored is not worked on.
"""

import asyncio
import sys

import uvloop
from aiohttp import web

from agent.assembly import build_engine
from agent.daemon import services, spare_the_collector, system_ports
from agent.gateway_assembly import build_gateways
from agent.web.front import WebFront
from agent.web_assembly import build_web
from bench.intake_events import WEBHOOK_PATH, WEBHOOK_SECRET
from config.settings import Settings
from metrics import Metrics
from storage import schema

NOOP, BARE = "noop", "bare"
PLATFORM_ADDRESS = "4zMMC9srt5Ri5X14GAgXhaHii3GnPAEERYPJgZJDncDU"
"""Any address: nothing here asks the chain."""


async def serve_noop() -> None:
    """What anybody writes with aiohttp: an application with one route, without middlewares or an access log."""
    app = web.Application()
    app.router.add_post(WEBHOOK_PATH, _do_nothing)
    await _serve(web.AppRunner(app, access_log=None))


async def serve_bare() -> None:
    """The low-level server below applications and routes: the least that aiohttp can do."""
    await _serve(web.ServerRunner(web.Server(_do_nothing, access_log=None)))


async def _do_nothing(request: web.BaseRequest) -> web.Response:
    await request.read()
    return web.Response(body=b'{"received":true}', content_type="application/json")


async def _serve(runner: web.BaseRunner) -> None:
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    await _until_input_ends(runner.addresses[0][1])
    await runner.cleanup()


async def serve_intake(database_url: str) -> None:
    settings = _settings(database_url)
    metrics = Metrics(services(settings))
    ports = system_ports(settings, metrics)
    await ports.store.start()
    await ports.store.write(schema.upgrade)
    gateways = build_gateways(settings, ports, metrics)
    engine = build_engine(settings, ports, gateways, metrics, PLATFORM_ADDRESS)
    app = build_web(settings, ports, gateways, engine, metrics, PLATFORM_ADDRESS)
    front = WebFront(app.public, "127.0.0.1", 0)
    spare_the_collector()
    await front.start(run_id="bench")
    await _until_input_ends(front.port)
    await front.stop()
    await ports.transport.close()
    await ports.store.stop()


def _settings(database_url: str) -> Settings:
    nowhere = "http://127.0.0.1:9"
    return Settings.model_validate(
        {
            "stripe_secret_key": "sk_test_bench",
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "circle_w3s_api_key": "TEST_API_KEY:bench:bench",
            "circle_w3s_entity_secret": "ab" * 32,
            "circle_w3s_platform_wallet_id": "bench",
            "solana_rpc_urls": nowhere,
            "public_base_url": nowhere,
            "database_url": database_url,
            "agent_derivation_secret": "bench" * 8,
            "agent_stripe_api_url": nowhere,
            "agent_circle_api_url": nowhere,
        }
    )


async def _until_input_ends(port: int) -> None:
    print(port, flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()


if __name__ == "__main__":
    plain = {NOOP: serve_noop, BARE: serve_bare}
    uvloop.run(plain[sys.argv[1]]() if sys.argv[1] in plain else serve_intake(sys.argv[1]))
