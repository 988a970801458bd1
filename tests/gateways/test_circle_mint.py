"""The Circle Mint gateway on the sandbox's Circle Mint: what each call reads, and what each failure means."""

import json
from datetime import UTC, datetime, timedelta
from uuid import UUID

import pytest

from domain.errors import AccessRefused, KeyRefused, OutcomeUnknown, PaymentSystemError, Rejected, Retryable
from gateways.circle_api.rates import Rates
from gateways.circle_mint import MintGateway
from ports.transport import HttpRequest, HttpResponse, TransportError
from sandbox.faults import Fault, Rule
from simulator.wire import ServiceTransport
from tests.gateways.wire import IDS, ScriptedTransport, SkippingClock, answer
from tests.sandbox.circle.world import START_MS
from tests.sandbox.mint.world import API_KEY, PLATFORM, World

API = "https://api-sandbox.circle.test"
START = datetime.fromtimestamp(START_MS / 1000, UTC)
USDC = 10**6
KEY = UUID("4f6f1e2b-9c1a-4d54-8b0e-6a3d51e0c0a7")


@pytest.fixture
def world() -> World:
    return World()


def gateway_to(world: World, key: str = API_KEY) -> MintGateway:
    clock = SkippingClock(lambda seconds: world.pass_ms(round(seconds * 1000)))
    return MintGateway(ServiceTransport({API: world.mint}, sleep=clock.sleep), f"{API}/", key, IDS, clock, Rates.fast())


def body(recipient: str, usd: str) -> dict[str, object]:
    return {
        "destination": {"type": "verified_blockchain", "addressId": recipient},
        "amount": {"amount": usd, "currency": "USD"},
    }


async def test_balance_wires_deposits_and_recipients_are_read_in_base_units(world: World) -> None:
    gateway = gateway_to(world)
    recipient = world.funded("250.10")
    assert await gateway.available() == 250_100_000
    (deposit,) = await gateway.deposits(START - timedelta(days=1))
    assert (deposit.units, deposit.status) == (250_100_000, "complete")
    assert await gateway.deposits(START + timedelta(days=1)) == []
    (found,) = await gateway.recipients()
    assert (found.id, found.address, found.chain, found.is_verified) == (recipient, PLATFORM, "SOL", True)
    (wire,) = await gateway.wire_instructions()
    told = world.mint.books.wires[0]
    assert (wire.tracking_ref, wire.account_number) == (told.tracking_ref, told.account_number)


async def test_a_deposit_in_another_currency_is_none_of_ours_and_hides_no_other(world: World) -> None:
    gateway = gateway_to(world)
    world.funded("250.10")
    (ours,) = await gateway.deposits(START - timedelta(days=1))
    (row,) = world.get("/deposits").data
    euros = {**row, "id": "4f6f1e2b-9c1a-4d54-8b0e-6a3d51e0c0a8", "amount": {"amount": "10.00", "currency": "EUR"}}
    listed = json.dumps({"data": [euros, row]}).encode()
    world.mint.faults.add(Rule("/deposits", Fault.STATUS, status=200, body=listed))
    assert await gateway.deposits(START - timedelta(days=1)) == [ours]


async def test_an_order_is_one_transfer_whatever_is_repeated_and_ends_with_its_signature(world: World) -> None:
    gateway = gateway_to(world)
    recipient = world.funded("300.00")
    first = await gateway.order_transfer(KEY, body(recipient, "100.00"))
    assert (first.units, first.address, first.chain, first.status) == (100 * USDC, PLATFORM, "SOL", "pending")
    world.pass_ms(60_000)
    again = await gateway.order_transfer(KEY, body(recipient, "100.00"))
    assert (again.id, again.is_complete) == (first.id, True)
    assert again.signature is not None and world.node.signature_status(again.signature) is not None
    with pytest.raises(OutcomeUnknown, match="409"):
        await gateway.order_transfer(KEY, body(recipient, "99.00"))


async def test_every_transfer_is_listed_over_several_pages(world: World) -> None:
    gateway = gateway_to(world)
    recipient = world.funded("300.00")
    made = [(await gateway.order_transfer(IDS.uuid(), body(recipient, "1.00"))).id for _ in range(51)]
    assert [one.id async for one in gateway.transfers(START)] == made[::-1]


@pytest.mark.parametrize(
    ("fault", "wanted"),
    [(Fault.LOSE_ANSWER, OutcomeUnknown), (Fault.HTML, OutcomeUnknown), (Fault.CUT_BODY, OutcomeUnknown)],
)
async def test_a_lost_or_broken_answer_leaves_an_order_unknown_and_a_look_retryable(
    world: World, fault: Fault, wanted: type[PaymentSystemError]
) -> None:
    gateway = gateway_to(world)
    recipient = world.funded("300.00")
    world.mint.faults.add(Rule("POST", fault))
    with pytest.raises(wanted):
        await gateway.order_transfer(KEY, body(recipient, "1.00"))
    world.mint.faults.add(Rule("GET", fault))
    with pytest.raises(Retryable):
        await gateway.available()
    assert (await gateway.order_transfer(KEY, body(recipient, "1.00"))).units == USDC
    assert len(world.mint.books.transfers) == 1


@pytest.mark.parametrize(
    ("status", "told", "wanted"),
    [
        (400, {"code": 2, "message": "API parameter invalid"}, Rejected),
        (401, {"code": 401, "message": "Malformed authorization."}, KeyRefused),
        (403, {"code": 3, "message": "Forbidden"}, AccessRefused),
        (404, {"code": 404, "message": "Not found."}, Retryable),
        (409, {"code": 409, "message": "conflict"}, OutcomeUnknown),
        (429, {"code": 5, "message": "API rate limit error"}, Retryable),
        (400, {"code": -1, "message": "Something went wrong."}, OutcomeUnknown),
        (503, b"<html>", OutcomeUnknown),
    ],
)
async def test_a_refused_order_says_what_it_means(status: int, told: object, wanted: type[PaymentSystemError]) -> None:
    def refuse(_: HttpRequest) -> HttpResponse:
        return answer(status, told)

    clock = SkippingClock()
    gateway = MintGateway(ScriptedTransport(refuse), API, API_KEY, IDS, clock, Rates.fast())
    with pytest.raises(PaymentSystemError) as caught:
        await gateway.order_transfer(KEY, body("0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c", "1.00"))
    assert type(caught.value) is wanted
    assert API_KEY not in f"{caught.value} {gateway!r}"


async def test_a_request_that_never_left_did_nothing(world: World) -> None:
    def unreachable(_: HttpRequest) -> TransportError:
        return TransportError("no connection", sent=False)

    gateway = MintGateway(ScriptedTransport(unreachable), API, API_KEY, IDS, SkippingClock(), Rates.fast())
    with pytest.raises(Retryable):
        await gateway.order_transfer(KEY, body("0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c", "1.00"))


async def test_a_wrong_key_is_refused_whatever_is_asked(world: World) -> None:
    with pytest.raises(AccessRefused):
        await gateway_to(world, "SAND_API_KEY:other:key").available()
