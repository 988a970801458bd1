"""From settings and ports to a built daemon, and its background: shared by the real process and the simulator."""

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from agent import identity
from agent.assembly import Engine, build_engine
from agent.contract.report import require_contract_report
from agent.gateway_assembly import Gateways, Ports, build_gateways
from agent.identity import StartRefused
from agent.key_watch import KeyWatch
from config.settings import Settings
from domain.errors import Rejected, Retryable
from domain.waits import look_again_after
from indexer.guard import PASSING
from metrics import Metrics
from storage import schema
from storage.operation import stopped
from storage.operation.set_back import bring_back
from storage.people.tokens import end_others_of_settings, ensure_admin_token
from storage.people.users import ensure_invite
from storage.recovery.restoring import take_up
from storage.work import release_all

log = structlog.get_logger(__name__)

FIRST_CONTACT_TRIES = 10
FIRST_CONTACT_WAIT_SECONDS = 1.0
"""At the very first start Circle must be reached once, to learn the platform wallet's address."""
CHECK_AGAIN_LEAST, CHECK_AGAIN_MOST = timedelta(seconds=1), timedelta(seconds=30)
"""Between tries to check the outside world: each is some twenty calls, to services that may be down for hours."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A built daemon, before or while it runs."""

    settings: Settings
    ports: Ports
    gateways: Gateways
    engine: Engine
    metrics: Metrics
    platform_address: str


async def prepare(settings: Settings, ports: Ports, metrics: Metrics) -> Daemon:
    """Open the database, check what this installation is, build everything. Raises StartRefused or StorageError."""
    require_contract_report(settings)
    await ports.store.start()
    await ports.store.write(schema.ready)
    await _take_up(ports)
    if ports.store.one_process:
        await ports.store.write(release_all)
    secret = settings.agent_derivation_secret.get_secret_value().encode()
    await identity.begin(ports.store, ports.clock, secret, settings.genesis_hash)
    gateways = build_gateways(settings, ports, metrics)
    address = await _first_contact(settings, ports, gateways)
    engine = build_engine(settings, ports, gateways, metrics, address)
    await _let_in(settings, ports)
    return Daemon(settings, ports, gateways, engine, metrics, address)


async def _take_up(ports: Ports) -> None:
    now = ports.clock.now()

    def begin(conn: Connection) -> list[str] | None:
        bring_back(conn, now)
        stopped.look_again(conn, now)
        return take_up(conn, now)

    ended = await ports.store.write(begin)
    if ended is not None:
        log.warning("the database is a copy that was put in place", ended_tokens_of=ended)


async def _first_contact(settings: Settings, ports: Ports, gateways: Gateways) -> str:
    tries = 0
    while True:
        try:
            return await identity.platform_address(
                ports.store,
                ports.clock,
                gateways.circle,
                settings.circle_w3s_platform_wallet_id,
                settings.blockchain,
            )
        except Retryable as error:
            tries += 1
            if tries == FIRST_CONTACT_TRIES:
                raise StartRefused(
                    f"AGENT_CIRCLE_API_URL: Circle can't be reached at the first start: {error}"
                ) from error
            await ports.clock.sleep(FIRST_CONTACT_WAIT_SECONDS)


async def _let_in(settings: Settings, ports: Ports) -> None:
    """The tokens and the invite codes that the settings name."""
    now = ports.clock.now()
    token = settings.agent_admin_token.get_secret_value()
    scraper = settings.agent_metrics_token.get_secret_value()
    await ports.store.write(lambda conn: let_tokens_in(conn, token, scraper, now))
    for code in settings.invite_codes:
        await ports.store.write(lambda conn, code=code: ensure_invite(conn, code, None, now, "settings"))  # type: ignore[misc]


def let_tokens_in(conn: Connection, token: str, scraper: str, now: datetime) -> None:
    """Make the operator's and the scraper's tokens of the settings valid, and end those that stood there before."""
    for text, role, name in ((token, "approver", "settings"), (scraper, "viewer", "metrics")):
        end_others_of_settings(conn, text, now, name)
        if text:
            ensure_admin_token(conn, text, now, role, name)


async def check_world(daemon: Daemon) -> None:
    """Hold wallet and chain against the settings. Raises StartRefused when they differ, Retryable while unreachable."""
    settings, ports = daemon.settings, daemon.ports
    await identity.confirm_wallet(
        ports.store, ports.clock, daemon.gateways.circle, settings.circle_w3s_platform_wallet_id, settings.blockchain
    )
    try:
        facts = await daemon.engine.chain.check()
    except Rejected as error:
        if error.code in PASSING:
            raise Retryable(str(error)) from error
        raise StartRefused(str(error)) from error
    log.info("chain checked", slot=facts.finalized_slot, slot_seconds=round(facts.slot_seconds, 3))


async def background(daemon: Daemon, schedule: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Everything that runs until cancelled. Raises what must stop the daemon."""
    engine = daemon.engine
    keys = KeyWatch(daemon.ports.clock, daemon.gateways.keys, daemon.metrics.key_refused)
    async with asyncio.TaskGroup() as group:
        group.create_task(keys.run())
        group.create_task(engine.worker.run())
        group.create_task(engine.tracker.run())
        group.create_task(engine.follower.run())
        group.create_task(engine.chain.run())
        group.create_task(engine.nfts.run())
        group.create_task(engine.backfill.run())
        group.create_task(_open_gate(daemon))
        group.create_task(schedule())


async def _open_gate(daemon: Daemon) -> None:
    clock = daemon.ports.clock
    begun = clock.monotonic()
    while True:
        try:
            await check_world(daemon)
            await daemon.engine.formats.probe()
            break
        except Retryable as error:
            if daemon.engine.gate.waits_for != str(error):  # one line for each reason, not one a second
                log.warning("the outside world can't be checked yet", why=str(error))
            daemon.engine.gate.waits_for = str(error)
            taken = timedelta(seconds=clock.monotonic() - begun)
            await clock.sleep(look_again_after(taken, CHECK_AGAIN_LEAST, CHECK_AGAIN_MOST).total_seconds())
    await daemon.engine.gate.run()
    daemon.metrics.gate_open(True)
