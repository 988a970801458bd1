"""The daemon's life: start order, background, signals, shutdown.

Order: database and its lock, what this installation is, the ports, then the background. Ready means listening with the
database open; what signs or sends still waits for the start gate.
"""

import asyncio
import gc
import signal
from datetime import timedelta

import structlog

from agent.assembly import Ports
from agent.file_limit import connections_for, raise_file_limit
from agent.identity import StartRefused
from agent.notify import ServiceManager
from agent.probe import Probe
from agent.schedule import Schedule, nudges
from agent.startup import Daemon, background, prepare
from agent.web.front import CONNECTIONS_MAX, FrontLimits, WebFront
from agent.web_assembly import build_web
from config.settings import Settings
from domain.errors import LedgerImbalance
from gateways.sockets import AiohttpSockets
from gateways.transport import AiohttpTransport
from metrics import Metrics
from ports.executor import ThreadExecutor
from ports.system import SystemClock, SystemIds
from storage import schema
from storage.errors import StoreBroken
from storage.metered import MeteredStore
from storage.opening import database_path, open_store

log = structlog.get_logger(__name__)

STOP_SECONDS = 8.0
"""Within systemd's and Docker's patience of 10 s and more."""
YOUNG_OBJECTS = 20_000
"""Allocations between two runs of the garbage collector. By default it runs every 700, which is a dozen webhooks."""


def system_ports(settings: Settings, metrics: Metrics) -> Ports:
    """The real world."""
    clock = SystemClock()
    return Ports(
        clock=clock,
        ids=SystemIds(),
        executor=ThreadExecutor(),
        transport=AiohttpTransport(observe=metrics.http_call),
        store=MeteredStore(open_store(settings.database_url.get_secret_value()), clock, metrics.store_used),
        sockets=AiohttpSockets(),
    )


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code: 0 stopped, 1 refused to start or had to stop."""
    metrics = Metrics(services(settings))
    ports = system_ports(settings, metrics)
    metrics.build(schema.head(), ports.store.dialect, "live" if settings.live else "test")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    try:
        daemon = await prepare(settings, ports, metrics)
        return await _serve(daemon, stopping)
    finally:
        async with asyncio.timeout(STOP_SECONDS):
            await ports.transport.close()
            if ports.sockets is not None:
                await ports.sockets.close()
            await ports.store.stop()


def spare_the_collector() -> None:
    """To be called when everything is built: it lives as long as the process, so that the garbage collector need not
    walk through it again. Under load the collector took a tenth of the time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)


async def _serve(daemon: Daemon, stopping: asyncio.Event) -> int:
    settings, ports = daemon.settings, daemon.ports
    probe = Probe(
        ports.store,
        ports.clock,
        daemon.metrics,
        usdc_least=settings.agent_balance_alert_usdc,
        sol_least=settings.agent_balance_alert_lamports,
        wallet_wait=timedelta(days=settings.agent_mint_wait_days),
        database=database_path(settings.database_url.get_secret_value()),
    )
    web = build_web(settings, ports, daemon.gateways, daemon.engine, daemon.metrics, daemon.platform_address, probe)
    limits = FrontLimits(connections_max=connections_for(raise_file_limit(), CONNECTIONS_MAX))
    fronts = [
        WebFront(web.public, *_address(settings.agent_listen), limits),
        WebFront(web.admin, *_address(settings.agent_admin_listen), limits),
    ]
    watched = nudges(direct_alerts=settings.alerts_directly)
    schedule = Schedule(ports.store, ports.clock, daemon.engine.worker.wake, watched)
    manager = ServiceManager(ports.store, ports.clock, daemon.metrics.alive)
    spare_the_collector()
    try:
        for front in fronts:
            await front.start(run_id=ports.ids.token()[:6])
    except OSError as error:
        raise StartRefused(f"AGENT_LISTEN or AGENT_ADMIN_LISTEN: {error.strerror or error}") from error
    log.info("listening", public=settings.agent_listen, admin=settings.agent_admin_listen)
    code = 0
    tasks = [
        asyncio.create_task(background(daemon, schedule.run)),
        asyncio.create_task(probe.run()),
        asyncio.create_task(manager.run()),
    ]
    waiter = asyncio.create_task(_until(stopping))
    try:
        await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                code = _report(task)
    finally:
        manager.stopping()
        for front in fronts:
            await front.stop()
        for task in [waiter, *tasks]:
            task.cancel()
        await asyncio.gather(waiter, *tasks, return_exceptions=True)
        log.info("stopped")
    return code


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def _report(task: asyncio.Task[None]) -> int:
    """Say why the background ended by itself."""
    error = None if task.cancelled() else task.exception()
    for found in _leaves(error):
        if isinstance(found, StartRefused | LedgerImbalance | StoreBroken):
            log.critical("must stop", error=str(found))
        else:
            log.critical("must stop", error=repr(found), exc_info=found)
    return 1


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]


def services(settings: Settings) -> dict[str, str]:
    """Which host is which service, for the metrics' labels."""
    hosts = {settings.agent_stripe_api_url: "stripe", settings.agent_circle_api_url: "circle"}
    hosts |= dict.fromkeys(settings.rpc_urls, "rpc")
    hosts[settings.agent_alert_webhook_url.get_secret_value()] = "chat"
    return {url.split("://", 1)[-1].split("/", 1)[0]: name for url, name in hosts.items()}


def _address(listen: str) -> tuple[str, int]:
    host, port = listen.rsplit(":", 1)
    return host, int(port)
