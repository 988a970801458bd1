"""The daemon's life: start order, background, signals, shutdown.

Order: database and its lock, what this installation is, the ports, then the background. Ready means listening with the
database open; what signs or sends still waits for the start gate.
"""

import asyncio
import gc
import os
import signal
import threading
from datetime import timedelta

import structlog

from agent.file_limit import connections_for, raise_file_limit
from agent.gateway_assembly import Ports
from agent.identity import StartRefused
from agent.loop_watch import LoopWatch
from agent.notify import ServiceManager
from agent.probe import Probe
from agent.schedule import Schedule, nudges
from agent.startup import Daemon, background, prepare
from agent.web.callers import TrustedProxies
from agent.web.front import CONNECTIONS_MAX, FrontLimits, WebFront
from agent.web_assembly import build_web
from config.settings import Settings
from domain.errors import LedgerImbalance
from gateways.egress import Egress
from gateways.sockets import AiohttpSockets
from gateways.transport import AiohttpTransport
from metrics import Metrics
from ports.executor import ThreadExecutor
from ports.system import SystemClock, SystemIds
from storage import schema
from storage.engines.metered import MeteredStore
from storage.engines.opening import database_path, open_store
from storage.errors import StoreBroken, StoreReplaced
from storage.reading.probes import Payable

log = structlog.get_logger(__name__)

REQUESTS_STOP_SECONDS, WORK_STOP_SECONDS, REST_STOP_SECONDS = 4.0, 2.0, 3.0
"""For running requests to end, for what runs behind them, and for the database to close: together less than the 10 s
that Docker waits. What does not end in its time is cut off: every step repeats safely."""
LAST_RESORT_SECONDS = 9.5
"""For what can't be cut off from inside: a copy of the database in a thread, a server that does not answer."""
CUT_OFF = 137
"""The exit code of a stop that had to be cut off: as if somebody had killed the process."""
STAY_DOWN = 3
"""The exit code that nobody may answer with a restart: money does not add up, or the database can't be trusted."""
YOUNG_OBJECTS = 20_000
"""Allocations between two runs of the garbage collector. By default it runs every 700, which is a dozen webhooks."""


def system_ports(settings: Settings, metrics: Metrics) -> Ports:
    """The real world."""
    clock, egress = SystemClock(), Egress(outside_addresses(settings))
    return Ports(
        clock=clock,
        ids=SystemIds(),
        executor=ThreadExecutor(),
        transport=AiohttpTransport(observe=metrics.http_call, egress=egress),
        store=MeteredStore(open_store(settings.database_url.get_secret_value()), clock, metrics.store_used),
        sockets=AiohttpSockets(egress),
    )


async def run(settings: Settings) -> int:
    """Run until SIGTERM or SIGINT. Returns the exit code: 0 stopped, 1 refused to start or had to stop, STAY_DOWN."""
    metrics = Metrics(services(settings))
    ports = system_ports(settings, metrics)
    metrics.build(schema.head(), ports.store.dialect, "live" if settings.live else "test")
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        leave_for_good(LAST_RESORT_SECONDS)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        daemon = await prepare(settings, ports, metrics)
        return await _serve(daemon, stopping)
    finally:
        await _close(ports)


def leave_for_good(after_seconds: float) -> None:
    """End the process after that time, whatever it is doing: safe at any point, as `kill -9` is."""
    timer = threading.Timer(after_seconds, os._exit, (CUT_OFF,))
    timer.daemon = True
    timer.start()


async def _close(ports: Ports) -> None:
    try:
        async with asyncio.timeout(REST_STOP_SECONDS):
            await ports.transport.close()
            if ports.sockets is not None:
                await ports.sockets.close()
            await ports.store.stop()
    except TimeoutError:
        log.warning("the database did not close in time; the kernel frees it with the process")


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
        payable=Payable(timedelta(days=settings.agent_hold_days), settings.require_available),
        database=database_path(settings.database_url.get_secret_value()),
        realtime=daemon.engine.realtime.backlog,
    )
    web = build_web(settings, ports, daemon.gateways, daemon.engine, daemon.metrics, daemon.platform_address, probe)
    most = connections_for(raise_file_limit(), CONNECTIONS_MAX)
    limits = FrontLimits(connections_max=most, stop_seconds=REQUESTS_STOP_SECONDS)
    proxies = TrustedProxies(settings.trusted_proxies)
    fronts = [
        WebFront(web.public, *_address(settings.agent_listen), limits, proxies),
        WebFront(web.admin, *_address(settings.agent_admin_listen), limits, proxies),
    ]
    watched = nudges(
        direct_alerts=settings.alerts_directly,
        in_real_time=settings.pays_in_real_time,
        converts=settings.converts,
    )
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
        asyncio.create_task(LoopWatch(ports.clock, daemon.metrics.loop_was_late).run()),
    ]
    waiter = asyncio.create_task(_until(stopping))
    try:
        await asyncio.wait([waiter, *tasks], return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            if task.done():
                code = report(None if task.cancelled() else task.exception())
    finally:
        manager.stopping()
        await asyncio.gather(*(front.stop() for front in fronts))
        for task in [waiter, *tasks]:
            task.cancel()
        _, running = await asyncio.wait([waiter, *tasks], timeout=WORK_STOP_SECONDS)
        log.info("stopped", cut_off=len(running))
    return code


async def _until(event: asyncio.Event) -> None:
    await event.wait()


def report(error: BaseException | None) -> int:
    """Say why the background ended by itself; with this code the process ends."""
    code = 1
    for found in _leaves(error):
        if isinstance(found, LedgerImbalance | StoreBroken) and not isinstance(found, StoreReplaced):
            code = STAY_DOWN
        if isinstance(found, StartRefused | LedgerImbalance | StoreBroken):
            log.critical("must stop", error=str(found))
        else:
            log.critical("must stop", error=repr(found), exc_info=found)
    return code


def _leaves(error: BaseException | None) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for part in error.exceptions for leaf in _leaves(part)]
    return [] if error is None else [error]


def outside_addresses(settings: Settings) -> list[str]:
    """Every address that the daemon itself ever goes to, the database's apart."""
    chat = settings.agent_alert_webhook_url.get_secret_value()
    return [
        settings.agent_stripe_api_url,
        settings.agent_circle_api_url,
        settings.circle_mint_url if settings.converts else "",
        *settings.rpc_urls,
        settings.ws_url,
        chat,
    ]


def services(settings: Settings) -> dict[str, str]:
    """Which host is which service, for the metrics' labels."""
    hosts = {settings.agent_stripe_api_url: "stripe", settings.agent_circle_api_url: "circle"}
    hosts |= dict.fromkeys(settings.rpc_urls, "rpc")
    if settings.converts:
        hosts.setdefault(settings.circle_mint_url, "circle_mint")
    hosts[settings.agent_alert_webhook_url.get_secret_value()] = "chat"
    return {url.split("://", 1)[-1].split("/", 1)[0]: name for url, name in hosts.items()}


def _address(listen: str) -> tuple[str, int]:
    host, port = listen.rsplit(":", 1)
    return host, int(port)
