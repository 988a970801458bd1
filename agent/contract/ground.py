"""What the checks stand on: the daemon's own gateways with test keys, and what earlier checks have found."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from solders.keypair import Keypair

from config.settings import Settings
from domain.keys import uuid4_shaped
from gateways.circle_api import CircleGateway, Rates
from gateways.circle_api.client import DEADLINE_SECONDS, CircleClient
from gateways.circle_mint import MintGateway
from gateways.circle_mint.gateway import MINT_RATES
from gateways.stripe_api import StripeGateway
from indexer.rpc.pool import RpcPool
from ports.clock import Clock
from ports.ids import Ids
from ports.transport import Transport

Ask = Callable[[str], Awaitable[bool]]
"""Puts a request to the person at the terminal; True when it is done, False when nobody is there or will."""


@dataclass(slots=True)
class Found:
    """Handed from check to check; None where the check before did not get that far."""

    app_id: str | None = None
    platform_address: str | None = None
    payment_intent: str | None = None
    charge_id: str | None = None
    holder_id: str | None = None
    holder_address: str | None = None
    nft_mint: str | None = None


@dataclass(frozen=True, slots=True)
class Ground:
    """`client` asks Circle in the raw where an answer's code matters; `hasty` does so without keeping to its rates."""

    settings: Settings
    clock: Clock
    ids: Ids
    stripe: StripeGateway
    circle: CircleGateway
    mint: MintGateway
    client: CircleClient
    hasty: CircleClient
    rpc: RpcPool
    ask: Ask
    found: Found = field(default_factory=Found)

    @property
    def secret(self) -> bytes:
        return self.settings.agent_derivation_secret.get_secret_value().encode()

    @property
    def stranger(self) -> Keypair:
        """A key of nobody's that receives test money: the same in every run, so that its token account is made once."""
        seed = uuid4_shaped("contract", "stranger", self.settings.agent_derivation_secret.get_secret_value())
        return Keypair.from_seed(seed.bytes + seed.bytes)

    async def until(self, ready: Callable[[], Awaitable[bool]], seconds: float, every: float = 0.5) -> bool:
        """Wait for a condition; False when the time is over."""
        end = self.clock.monotonic() + seconds
        while not await ready():
            if self.clock.monotonic() >= end:
                return False
            await self.clock.sleep(every)
        return True


def build_ground(settings: Settings, clock: Clock, ids: Ids, transport: Transport, ask: Ask, rpc: RpcPool) -> Ground:
    """Wire the gateways as the daemon does, at Circle's real rates; but a call that is refused, as those are meant to
    be that are wrong on purpose, keeps no later one back."""
    rates = Rates.fast() if settings.agent_circle_limits == "fast" else Rates()
    api, key = settings.agent_circle_api_url, settings.circle_w3s_api_key.get_secret_value()
    secret = settings.circle_w3s_entity_secret.get_secret_value()
    stripe_key = settings.stripe_secret_key.get_secret_value()
    stripe = StripeGateway(transport, stripe_key, settings.agent_stripe_api_url, clock)
    circle = CircleGateway(transport, api, key, secret, ids, clock, rates)
    mint = MintGateway(
        transport,
        settings.circle_mint_url,
        settings.agent_circle_mint_api_key.get_secret_value(),
        ids,
        clock,
        Rates.fast() if settings.agent_circle_limits == "fast" else MINT_RATES,
    )
    client = CircleClient(transport, api, key, secret, ids, clock, rates, DEADLINE_SECONDS)
    hasty = CircleClient(transport, api, key, secret, ids, clock, Rates.fast(), DEADLINE_SECONDS)
    for guard in (stripe.key, circle.key, mint.key, client.key, hasty.key):
        guard.stay_open()
    return Ground(settings, clock, ids, stripe, circle, mint, client, hasty, rpc, ask)
