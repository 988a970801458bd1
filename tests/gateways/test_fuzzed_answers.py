"""Circle's answers mangled at random: a transfer is ordered or unknown and never taken for undone or refused, a read is
what it says or temporary, and nothing but a domain error ever comes out."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domain.errors import OutcomeUnknown, PaymentSystemError, Retryable
from gateways.circle_api import CircleGateway, CircleTransaction, Lane, Rates
from ports.transport import HttpRequest
from tests.gateways.circle_world import gateway_over
from tests.gateways.test_circle_answers import BODY, KEY, PUBLIC_PEM
from tests.gateways.wire import Answer, ScriptedTransport, SkippingClock, answer
from tests.mangled import mangled
from tests.sandbox.circle.world import API_KEY, SECRET, World

EVERYDAY, LONG = 150, 20_000


def good_answers() -> dict[str, Any]:
    """A transfer, its creation, a balance, a wallet and a signature, as Circle gives them."""
    world = World()
    platform = world.platform(usdc=10)
    made = world.transfer(world.order(platform.wallet_id, platform.address, "1"))
    signature = "5VERv8NMvzbJMEkV8xnrLkEaWRtSz9CosKDYjCJjBRnbJLgp8uirBgmQpjKhoR4tjF3ZpRzrFmBV6UjKdiSZkQUW"
    return {
        "submit_transfer": {"data": made.data},
        "sign_transaction": {"data": {"signature": signature, "signedTransaction": "", "txId": signature}},
        "fetch_transaction": {"data": {"transaction": world.transaction(made.data["id"])}},
        "fetch_wallet": world.get(f"/v1/w3s/wallets/{platform.wallet_id}").json,
        "balances": world.get(f"/v1/w3s/wallets/{platform.wallet_id}/balances").json,
    }


GOOD = good_answers()
CALLS: dict[str, Callable[[CircleGateway], Awaitable[Any]]] = {
    "submit_transfer": lambda circle: circle.submit_transfer(KEY, BODY),
    "sign_transaction": lambda circle: circle.sign_transaction("w", b"x", "memo", Lane.PAYOUT),
    "fetch_transaction": lambda circle: circle.fetch_transaction("t"),
    "fetch_wallet": lambda circle: circle.fetch_wallet("w"),
    "balances": lambda circle: circle.balances("w"),
}
"""The first changes something at Circle. A signature is no effect: what is not sent can be signed again."""


def outcome(name: str, status: int, body: bytes) -> Any:
    """What comes out: a value, or the domain error. Anything else that is raised fails the test. What a send looks up
    after its own answer is well."""

    def script(request: HttpRequest) -> Answer:
        if request.url.endswith("/publicKey"):
            return answer(200, PUBLIC_PEM)
        looked_up = name == "submit_transfer" and request.method == "GET"
        return answer(200, GOOD["fetch_transaction"]) if looked_up else answer(status, body)

    async def ask() -> Any:
        circle = gateway_over(ScriptedTransport(script), SkippingClock(), Rates.fast(), API_KEY, SECRET)
        try:
            return await CALLS[name](circle)
        except PaymentSystemError as error:
            return error

    return asyncio.run(ask())


def fuzz(name: str, examples: int) -> None:
    bounds = settings(
        max_examples=examples,
        derandomize=examples == EVERYDAY,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    hold: Any = bounds(
        given(st.sampled_from([200, 201]), mangled(GOOD[name]))(lambda status, body: check(name, status, body))
    )
    hold()


def check(name: str, status: int, body: bytes) -> None:
    found = outcome(name, status, body)
    if isinstance(found, PaymentSystemError):
        assert type(found) is (OutcomeUnknown if name == "submit_transfer" else Retryable), (found, body)
    if isinstance(found, CircleTransaction):
        assert found.id.strip(), body
        assert (found.amount_units(6) or 0) >= 0, body


@pytest.mark.parametrize("name", CALLS)
def test_a_mangled_answer_is_unknown_to_a_send_and_temporary_to_a_read(name: str) -> None:
    assert not isinstance(outcome(name, 200, orjson.dumps(GOOD[name])), Exception)
    fuzz(name, EVERYDAY)


@pytest.mark.soak
@pytest.mark.timeout(0)
@pytest.mark.parametrize("name", CALLS)
def test_mangled_answers_by_the_ten_thousand(name: str) -> None:
    fuzz(name, LONG)
