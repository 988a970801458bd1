"""Calls that move money leave soon after what they rest on was read, or not at all."""

from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from uuid import UUID

import pytest

from domain.errors import Retryable
from gateways.circle_api import Rates
from gateways.circle_mint import MintGateway
from gateways.stripe_api import StripeGateway
from ports.clock import SEND_WITHIN_SECONDS, SendWindow
from ports.transport import HttpRequest, Transport
from tests.gateways.circle_world import gateway_over
from tests.gateways.wire import IDS, Answer, ScriptedTransport, SkippingClock, answer
from tests.sandbox.circle.world import API_KEY, SECRET, World
from tests.sandbox.stripe.machine import KEY as STRIPE_KEY

KEY = UUID(int=1, version=4)
PUBLIC_PEM = World().get("/v1/w3s/config/entity/publicKey").json


class TwoClocks(SkippingClock):
    """A machine that slept: its date has gone on, what it counts by itself has not."""

    slept = timedelta(0)

    def now(self) -> datetime:
        return super().now() + self.slept


Order = Callable[[Transport, TwoClocks, SendWindow], Awaitable[object]]
ORDERS: dict[str, Order] = {
    "a transfer": lambda transport, clock, window: gateway_over(
        transport, clock, Rates.fast(), API_KEY, SECRET
    ).submit_transfer(KEY, {"walletId": "w", "refId": "r"}, window),
    "a conversion": lambda transport, clock, window: MintGateway(
        transport, "https://api.circle.test/", API_KEY, IDS, clock, Rates.fast()
    ).order_transfer(KEY, {}, window),
    "a refund": lambda transport, clock, window: StripeGateway(
        transport, STRIPE_KEY, "https://api.stripe.test/", clock
    ).create_refund({"payment_intent": "pi_1"}, "refund-1", window),
}


def serves_the_public_key(request: HttpRequest) -> Answer:
    return answer(200, PUBLIC_PEM) if request.url.endswith("/publicKey") else answer(500, {"code": -1})


def posted(transport: ScriptedTransport) -> int:
    return sum(one.method == "POST" for one in transport.sent)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("slept", [False, True], ids=["stopped", "asleep"])
async def test_what_was_held_up_for_long_is_not_sent_any_more(order: str, slept: bool) -> None:
    clock, transport = TwoClocks(), ScriptedTransport(serves_the_public_key)
    window = SendWindow(clock)
    if slept:
        clock.slept = timedelta(seconds=SEND_WITHIN_SECONDS + 1)
    else:
        await clock.sleep(SEND_WITHIN_SECONDS + 1)
    with pytest.raises(Retryable, match="held up"):
        await ORDERS[order](transport, clock, window)
    assert posted(transport) == 0


@pytest.mark.parametrize("order", ORDERS)
async def test_what_took_a_little_longer_is_sent(order: str) -> None:
    clock, transport = TwoClocks(), ScriptedTransport(serves_the_public_key)
    window = SendWindow(clock)
    await clock.sleep(SEND_WITHIN_SECONDS - 1)
    clock.slept = timedelta(seconds=-3600)  # a date that is set back closes nothing
    with pytest.raises(Exception, match=r"500|no whole answer|code -1|unreadable"):
        await ORDERS[order](transport, clock, window)
    assert posted(transport) == 1


async def test_what_waited_too_long_for_its_turn_is_not_sent() -> None:
    """The wait for the rate lies between what was read and the call."""
    clock, transport = TwoClocks(), ScriptedTransport(serves_the_public_key)
    circle = gateway_over(transport, clock, Rates(read=1, write=1), API_KEY, SECRET)
    window = SendWindow(clock)
    for _ in range(int(SEND_WITHIN_SECONDS) + 2):
        with pytest.raises(Exception, match="Circle"):
            await circle.submit_transfer(KEY, {"walletId": "w", "refId": "r"})
    sent = posted(transport)
    with pytest.raises(Retryable, match="held up"):
        await circle.submit_transfer(KEY, {"walletId": "w", "refId": "r"}, window)
    assert posted(transport) == sent
