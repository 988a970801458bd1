"""Wires the web room: the two ports' routers from the gateways and the engine."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial

from agent.assembly import Engine
from agent.clock_watch import ClockWatch
from agent.gateway_assembly import Gateways, Ports
from agent.probe import Probe
from agent.reading_assembly import payout_way
from agent.step_assembly import split_rule
from agent.waking_store import WakingStore
from agent.web.admin.money import ReadTreasury
from agent.web.app import Outside, WebApp
from agent.web.conversion_rules import ConversionRules
from agent.web.passwords import PasswordCost
from agent.web.settings import WebSettings
from agent.web.shelves import ReadUsdc
from chain.addresses import ata, check_payout_owner
from config.settings import Settings
from domain.errors import Retryable
from gateways import stripe_signature
from gateways.circle_api import CircleGateway
from gateways.circle_signature import NotificationVerifier
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from metrics import Metrics
from storage.engines.opening import database_path
from storage.payouts.upkeep import Payer
from storage.recovery.adoption_by_hand import SentOrder


def build_web(
    settings: Settings,
    ports: Ports,
    gateways: Gateways,
    engine: Engine,
    metrics: Metrics,
    platform_address: str,
    probe: Probe | None = None,
) -> WebApp:
    """Both routers; served by `WebFront`, or called directly by the simulator. `probe` looks again at a scrape."""
    own = {platform_address, ata(platform_address, settings.usdc_mint), settings.usdc_mint}
    outside = Outside(
        stripe=gateways.stripe,
        circle=gateways.circle,
        check_stripe=partial(_check_stripe, settings.webhook_secrets),
        check_circle=NotificationVerifier(gateways.circle.notification_public_key, ports.clock),
        check_address=partial(check_payout_owner, forbidden=own),
        read_usdc=_usdc_reader(gateways.rpc, settings.usdc_mint),
        read_treasury=_treasury_reader(gateways.rpc, settings.usdc_mint, platform_address),
        read_packed=ReadBack(gateways.rpc, platform_address, settings.usdc_mint).packed_outflow,
        find_order=partial(_is_at_circle, gateways.circle),
        payer=Payer(settings.circle_w3s_platform_wallet_id, platform_address),
        usdc_account=ata(platform_address, settings.usdc_mint),
        read_wires=gateways.mint.wire_instructions,
        planner=engine.planner,
        metrics=metrics,
        render_metrics=_scraper(metrics, probe),
        on_work=engine.worker.wake,
        on_act=engine.gate.look_soon,
        database=database_path(settings.database_url.get_secret_value()),
        indexer=engine.index,
        trouble=partial(_trouble, engine, gateways),
        refused_keys=partial(_refused_keys, gateways),
        realtime=engine.realtime.backlog,
    )
    store = WakingStore(ports.store, engine.worker.wake)
    return WebApp(store, ports.clock, ports.ids, ports.executor, outside, web_settings(settings))


async def _is_at_circle(circle: CircleGateway, order: SentOrder) -> bool:
    """Circle has no filter by reference."""
    async for page in circle.list_transactions(order.wallet_id, order.since):
        if any(one.ref_id == order.reference and one.id not in order.others for one in page.transactions):
            return True
    return False


def _scraper(metrics: Metrics, probe: Probe | None) -> Callable[[], Awaitable[bytes]]:
    async def as_it_stands() -> bytes:
        return metrics.render()

    return as_it_stands if probe is None else probe.scrape


def web_settings(settings: Settings) -> WebSettings:
    return WebSettings(
        public_base_url=settings.public_base_url.rstrip("/"),
        livemode=settings.live,
        token_lifetime=timedelta(days=settings.agent_session_days),
        split=split_rule(settings),
        nft_symbol=settings.agent_nft_symbol,
        network_cost_cents=settings.agent_network_cost_cents,
        refuse_unprofitable=settings.agent_refuse_unprofitable,
        password_cost=PasswordCost(settings.agent_argon2_memory_kib, settings.agent_argon2_iterations),
        admin_hosts=settings.admin_hosts,
        user_wallets=settings.agent_user_wallets,
        usdc_token_id=settings.usdc_token_id,
        circle_pin_url=settings.agent_circle_pin_url.rstrip("/"),
        admin_url=settings.agent_admin_url,
        console_hours=settings.agent_console_hours,
        least_usdc=settings.agent_balance_alert_usdc,
        least_lamports=settings.agent_balance_alert_lamports,
        mint_wait=timedelta(days=settings.agent_mint_wait_days),
        conversion=ConversionRules(
            settings.converts,
            settings.agent_cap_conversion,
            settings.agent_cap_conversion_day,
            settings.agent_approvers,
        ),
        payouts=payout_way(settings),
    )


def _trouble(engine: Engine, gateways: Gateways) -> list[str]:
    """What watchers are told: the chain's state, and what waits; an endpoint's address is nobody's business."""
    waits = [] if engine.gate.is_open else ["nothing is signed or sent yet: the start gate waits"]
    keys = [f"{service} refuses our key: what needs it waits" for service in _refused_keys(gateways)]
    return [*engine.chain.trouble_without_addresses(), *waits, *_trouble_with_clock(gateways.clock), *keys]


def _refused_keys(gateways: Gateways) -> list[str]:
    """Services that do not take our key."""
    return [key.service for key in gateways.keys.values() if key.is_refused]


def _trouble_with_clock(clock: ClockWatch) -> list[str]:
    """Until somebody has told the time, the start gate is what is waited for."""
    if clock.trusted or not clock.has_heard:
        return []
    return [f"the machine's clock is {abs(clock.skew_seconds):.0f} s off: nothing is signed or sent by it"]


def _check_stripe(secrets: tuple[str, ...], raw_body: bytes, header: str | None, now: datetime) -> None:
    stripe_signature.verify(raw_body, header, secrets, now)


def _usdc_reader(rpc: RpcPool, usdc_mint: str) -> ReadUsdc:
    async def read(owner: str) -> int | None:
        """A wallet's finalized USDC; None when the chain can't be read now: never an invented 0."""
        try:
            return (await rpc.get_token_amount(ata(owner, usdc_mint))).amount
        except Retryable:
            return None

    return read


def _treasury_reader(rpc: RpcPool, usdc_mint: str, platform_address: str) -> ReadTreasury:
    async def read() -> tuple[int, int]:
        """The platform wallet's finalized USDC (base units) and lamports. Raises Retryable."""
        usdc = await rpc.get_token_amount(ata(platform_address, usdc_mint))
        return usdc.amount, (await rpc.get_balance(platform_address)).amount

    return read
