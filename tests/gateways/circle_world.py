"""The Circle gateway on the sandbox's Circle; waiting moves the world's time."""

from gateways.circle_api import CircleGateway, Rates
from ports.clock import Clock
from ports.transport import Transport
from simulator.wire import ServiceTransport
from tests.gateways.wire import IDS, SkippingClock
from tests.sandbox.circle.world import API_KEY, SECRET, World

API = "https://api.circle.test"


def gateway_over(transport: Transport, clock: Clock, rates: Rates, key: str, secret: str) -> CircleGateway:
    return CircleGateway(transport, f"{API}/", key, secret, IDS, clock, rates)


def gateway_to(
    world: World, rates: Rates | None = None, *, key: str = API_KEY, secret: str = SECRET
) -> tuple[CircleGateway, ServiceTransport]:
    clock = SkippingClock(lambda seconds: world.pass_ms(round(seconds * 1000)))
    transport = ServiceTransport({API: world.circle}, sleep=clock.sleep)
    return gateway_over(transport, clock, rates or Rates.fast(), key, secret), transport
