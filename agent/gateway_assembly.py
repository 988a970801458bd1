"""Builds what speaks to the world outside: settings and ports in, the gateways out."""

from dataclasses import dataclass

from agent.clock_watch import ClockWatch
from config.settings import Settings
from gateways.circle_api import CircleGateway, Rates
from gateways.circle_mint import MintGateway
from gateways.circle_mint.gateway import MINT_RATES
from gateways.key_guard import KeyGuard
from gateways.stripe_api import READS_PER_SECOND, StripeGateway
from indexer.fast_path import FastPath
from indexer.rpc.pool import RpcPool
from metrics import Metrics
from ports.clock import Clock
from ports.executor import Executor
from ports.ids import Ids
from ports.sockets import Sockets
from ports.transport import Transport
from storage.store import Store

SANDBOX_RPC_PER_SECOND = 2_000.0
"""A local node has no limit worth keeping to."""


@dataclass(frozen=True, slots=True)
class Ports:
    """The world the daemon runs in; the simulator brings its own."""

    clock: Clock
    ids: Ids
    executor: Executor
    transport: Transport
    store: Store
    sockets: Sockets | None = None
    """None: a world without WebSockets; signatures are polled."""


@dataclass(frozen=True, slots=True)
class Gateways:
    stripe: StripeGateway
    circle: CircleGateway
    mint: MintGateway
    rpc: RpcPool
    clock: ClockWatch
    """What their answers say of our clock."""

    @property
    def keys(self) -> dict[str, KeyGuard]:
        """Of our keys, by the services' names as metrics call them."""
        return {"stripe": self.stripe.key, "circle": self.circle.key, "circle_mint": self.mint.key}


def build_gateways(settings: Settings, ports: Ports, metrics: Metrics) -> Gateways:
    fast = settings.agent_circle_limits == "fast"
    heard = ClockWatch(ports.transport, ports.clock, metrics.clock_skew)
    return Gateways(
        clock=heard,
        stripe=StripeGateway(
            heard,
            settings.stripe_secret_key.get_secret_value(),
            settings.agent_stripe_api_url,
            ports.clock,
            reads_per_second=0 if fast else READS_PER_SECOND,
        ),
        circle=CircleGateway(
            heard,
            settings.agent_circle_api_url,
            settings.circle_w3s_api_key.get_secret_value(),
            settings.circle_w3s_entity_secret.get_secret_value(),
            ports.ids,
            ports.clock,
            Rates.fast() if fast else Rates(),
        ),
        mint=MintGateway(
            heard,
            settings.circle_mint_url,
            settings.agent_circle_mint_api_key.get_secret_value(),
            ports.ids,
            ports.clock,
            Rates.fast() if fast else MINT_RATES,
        ),
        rpc=RpcPool(
            settings.rpc_urls,
            heard,
            ports.clock,
            weights=settings.rpc_weights,
            requests_per_second=SANDBOX_RPC_PER_SECOND if fast else settings.rpc_rates,
            slot_seconds=settings.agent_slot_ms / 1000,
            observe=metrics.rpc_call,
            disbelieved=metrics.rpc_disbelieved,
        ),
    )


def build_fast_path(settings: Settings, ports: Ports, gateways: Gateways, metrics: Metrics) -> FastPath | None:
    """None without SOLANA_WS_URL: then signatures are polled."""
    if ports.sockets is None or not settings.ws_url:
        return None
    return FastPath(ports.sockets, settings.ws_url, ports.clock, gateways.rpc.pace, observe=metrics.websocket)
