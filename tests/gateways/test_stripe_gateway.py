"""The Stripe gateway against the sandbox's Stripe, and against answers that nobody should send."""

import asyncio
import copy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson
import pytest

from domain.errors import KeySpent, Misuse, OutcomeUnknown, PaymentSystemError, Rejected, Retryable
from gateways.stripe_api import StripeGateway
from gateways.stripe_client import API_VERSION
from gateways.stripe_facts import SessionFacts
from ports.transport import HttpRequest, HttpResponse, Transport, TransportError
from sandbox.faults import Fault, Rule
from sandbox.stripe_service.limits import RateLimits
from simulator.wire import ServiceTransport
from tests.gateways.wire import Answer, ScriptedTransport, SkippingClock, TamperingTransport, answer
from tests.sandbox.stripe.machine import KEY, Machine

API = "https://api.stripe.test"
WRONG_VALUES: tuple[Any, ...] = (None, 1.5, "x", True, [], {}, [1], -1, "9" * 400)
EPOCH = datetime(2026, 11, 1, tzinfo=UTC)
PARAMS: dict[str, Any] = {
    "mode": "payment",
    "line_items": [
        {
            "quantity": 1,
            "price_data": {"currency": "usd", "unit_amount": 300, "product_data": {"name": "Still life #7"}},
        }
    ],
    "client_reference_id": "intent-1",
    "metadata": {"content_id": "5"},
    "payment_intent_data": {"metadata": {"content_id": "5"}},
    "success_url": "https://shop.example/ok?sid={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.example/back",
    "allowed_payment_method_types": ["card"],
}


def gateway(transport: Transport, key: str = KEY) -> StripeGateway:
    return StripeGateway(transport, key, f"{API}/", SkippingClock())


def scripted(status: int, body: object, **headers: str) -> StripeGateway:
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return gateway(ScriptedTransport(lambda _request: answer(status, body, named)))


async def test_reads_in_any_number_leave_a_buyers_session_the_room_that_it_needs(machine: Machine) -> None:
    """Of a flash sale each fee is asked for twice or more; a test account has 25 requests a second for everything."""

    def pass_(seconds: float) -> None:
        machine.run(round(seconds * 1000))

    clock = SkippingClock(pass_)
    limits = machine.service.limits = RateLimits()
    stripe = StripeGateway(ServiceTransport({API: machine.service}), KEY, API, clock)

    async def buyers() -> None:
        for number in range(40):
            await clock.sleep(0.25)
            await stripe.create_checkout_session(PARAMS, f"key-{number}")

    await asyncio.gather(buyers(), *(stripe.balance() for _ in range(300)))
    assert limits.refused == 0
    for _ in range(100):
        machine.send("GET", "/v1/balance")
    assert limits.refused > 50, "the sandbox's Stripe keeps count"


@pytest.fixture
def machine() -> Machine:
    return Machine(restricted_keys={"rk_test_reader": {"charge": "read"}})


@pytest.fixture
def transport(machine: Machine) -> ServiceTransport:
    return ServiceTransport({API: machine.service})


@pytest.fixture
def stripe(transport: ServiceTransport) -> StripeGateway:
    return gateway(transport)


async def paid(stripe: StripeGateway, machine: Machine, reference: str = "intent-1") -> str:
    """A session that has been paid by card; the payment intent's id."""
    session = await stripe.create_checkout_session({**PARAMS, "client_reference_id": reference}, f"key-{reference}")
    machine.controls.pay(session.id)
    intent = (await stripe.fetch_checkout_session(session.id)).payment_intent
    assert intent is not None
    return intent


async def test_a_session_is_made_once_for_a_key_and_read_back(
    stripe: StripeGateway, transport: ServiceTransport
) -> None:
    made = await stripe.create_checkout_session(PARAMS, "key-1")
    again = await stripe.create_checkout_session(PARAMS, "key-1")
    assert made == again == await stripe.fetch_checkout_session(made.id)
    assert (made.status, made.payment_status, made.payment_intent) == ("open", "unpaid", None)
    assert (made.amount_total, made.currency, made.client_reference_id) == (300, "usd", "intent-1")
    assert made.metadata == {"content_id": "5"}
    assert made.url is not None and made.url.startswith("https://")
    assert made.expires_at - made.created == timedelta(hours=24)
    headers = {name.lower(): value for name, value in transport.sent[0].headers.items()}
    assert (headers["stripe-version"], headers["idempotency-key"]) == (API_VERSION, "key-1")
    assert "telemetry" not in repr(headers)


async def test_a_key_reused_with_other_parameters_is_our_own_mistake(stripe: StripeGateway) -> None:
    await stripe.create_checkout_session(PARAMS, "key-1")
    with pytest.raises(Misuse):
        await stripe.create_checkout_session({**PARAMS, "client_reference_id": "other"}, "key-1")


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.HTML, Fault.CUT_BODY, Fault.LOSE_REQUEST])
async def test_a_lost_answer_to_a_creation_is_unknown_and_its_repetition_makes_no_second_one(
    stripe: StripeGateway, machine: Machine, fault: Fault
) -> None:
    machine.service.faults.add(Rule("POST /v1/checkout/sessions", fault))
    with pytest.raises(OutcomeUnknown):
        await stripe.create_checkout_session(PARAMS, "key-1")
    made = await stripe.create_checkout_session(PARAMS, "key-1")
    assert len(machine.ok("GET", "/v1/checkout/sessions")["data"]) == 1
    assert made == await stripe.find_checkout_session("intent-1", EPOCH)


@pytest.mark.parametrize("status", [500, 400])
async def test_an_error_that_stripe_repeats_for_its_key_tells_that_no_repetition_will_help(
    status: int, stripe: StripeGateway, machine: Machine
) -> None:
    """A refusal whose code we don't know is kept like an error within."""
    unheard = b'{"error":{"type":"invalid_request_error","code":"new_since_then","message":"Not now."}}'
    rule = Rule("POST /v1/checkout/sessions", Fault.STATUS, status=status, body=unheard)
    machine.controls.add_fault(rule, inside=True)
    with pytest.raises(OutcomeUnknown) as first:
        await stripe.create_checkout_session(PARAMS, "key-1")
    assert not isinstance(first.value, KeySpent)
    with pytest.raises(KeySpent):
        await stripe.create_checkout_session(PARAMS, "key-1")
    assert (await stripe.create_checkout_session(PARAMS, "key-2")).status == "open"


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.HTML, Fault.CUT_BODY, Fault.LOSE_REQUEST, Fault.STATUS])
async def test_a_read_that_fails_in_any_way_is_tried_again_later(
    stripe: StripeGateway, machine: Machine, fault: Fault
) -> None:
    intent = await paid(stripe, machine)
    machine.service.faults.add(Rule("GET /v1/payment_intents", fault))
    with pytest.raises(Retryable):
        await stripe.fetch_payment_intent(intent)
    assert (await stripe.fetch_payment_intent(intent)).status == "succeeded"


async def test_a_late_answer_past_the_deadline_is_unknown(machine: Machine) -> None:
    clock = SkippingClock()
    stripe = gateway(ServiceTransport({API: machine.service}, sleep=clock.sleep))
    machine.service.faults.add(Rule("POST /v1/checkout", Fault.LATE, delay_ms=60_000))
    with pytest.raises(OutcomeUnknown):
        await stripe.create_checkout_session(PARAMS, "key-1")
    assert clock.monotonic() == 30.0


async def test_a_host_that_is_not_there_was_sent_nothing() -> None:
    with pytest.raises(Retryable):
        await gateway(ServiceTransport({})).create_checkout_session(PARAMS, "key-1")


async def test_the_fee_comes_later_than_the_payment(stripe: StripeGateway, machine: Machine) -> None:
    intent = await stripe.fetch_payment_intent(await paid(stripe, machine))
    assert (intent.status, intent.amount, intent.amount_received, intent.currency) == ("succeeded", 300, 300, "usd")
    assert (intent.livemode, intent.metadata) == (False, {"content_id": "5"})
    assert intent.latest_charge is not None
    unpriced = await stripe.fetch_charge_with_fee(intent.latest_charge)
    assert (unpriced.payment_intent, unpriced.balance_transaction) == (intent.id, None)
    machine.run(1_000)
    priced = (await stripe.fetch_charge_with_fee(intent.latest_charge)).balance_transaction
    assert priced is not None
    assert (priced.amount, priced.fee, priced.net, priced.currency) == (300, 39, 261, "usd")
    assert priced.available_on > EPOCH


async def test_a_session_is_found_by_its_payment(stripe: StripeGateway, machine: Machine) -> None:
    intent = await paid(stripe, machine)
    found = await stripe.find_session_by_payment_intent(intent)
    assert found is not None
    assert (found.payment_status, found.payment_intent, found.url) == ("paid", intent, None)


async def test_an_old_session_is_found_by_our_reference_among_many(stripe: StripeGateway, machine: Machine) -> None:
    await stripe.create_checkout_session(PARAMS, "key-1")
    for _ in range(130):
        machine.open_session()
    found = await stripe.find_checkout_session("intent-1", EPOCH)
    assert found is not None and found.client_reference_id == "intent-1"
    assert await stripe.find_checkout_session("intent-2", EPOCH) is None
    assert await stripe.find_checkout_session("intent-1", found.created + timedelta(seconds=1)) is None


async def test_an_open_session_can_be_closed_and_a_closed_one_refuses(stripe: StripeGateway) -> None:
    made = await stripe.create_checkout_session(PARAMS, "key-1")
    assert (await stripe.expire_checkout_session(made.id, "key-2")).status == "expired"
    with pytest.raises(Rejected):
        await stripe.expire_checkout_session(made.id, "key-3")


async def test_a_refund_is_made_once_and_found_by_its_reference(stripe: StripeGateway, machine: Machine) -> None:
    intent = await paid(stripe, machine)
    params = {"payment_intent": intent, "amount": 100, "metadata": {"refund_uuid": "u1"}}
    machine.service.faults.add(Rule("POST /v1/refunds", Fault.LOSE_ANSWER))
    with pytest.raises(OutcomeUnknown):
        await stripe.create_refund(params, "refund-1")
    made = await stripe.create_refund(params, "refund-1")
    assert (made.amount, made.currency, made.payment_intent, made.status) == (100, "usd", intent, "succeeded")
    await stripe.create_refund({**params, "metadata": {"refund_uuid": "u2"}}, "refund-2")
    assert await stripe.find_refund(intent, {"refund_uuid": "u1"}) == await stripe.fetch_refund(made.id)
    assert await stripe.find_refund(intent, {"refund_uuid": "u3"}) is None
    assert [refund.amount for refund in await stripe.list_refunds(intent)] == [100, 100]


async def test_a_refund_of_more_than_is_left_is_refused_for_good(stripe: StripeGateway, machine: Machine) -> None:
    intent = await paid(stripe, machine)
    await stripe.create_refund({"payment_intent": intent}, "refund-1")
    with pytest.raises(Rejected) as refusal:
        await stripe.create_refund({"payment_intent": intent}, "refund-2")
    assert refusal.value.code == "charge_already_refunded"


async def test_events_come_in_pages_newest_first_and_a_broken_listing_goes_on(
    stripe: StripeGateway, machine: Machine
) -> None:
    for number in range(30):
        await paid(stripe, machine, f"intent-{number}")
    types = ["payment_intent.succeeded", "checkout.session.completed", "charge.updated", "payment_intent.created"]
    machine.run(2_000)
    pages = [page async for page in stripe.list_events(EPOCH, types)]
    events = [event for page in pages for event in page.events]
    assert [len(page.events) for page in pages] == [100, 20]
    assert {event["type"] for event in events} == set(types)
    assert len({event["id"] for event in events}) == 120
    assert [event["created"] for event in events] == sorted((event["created"] for event in events), reverse=True)
    assert orjson.loads(orjson.dumps(events[0])) == machine.ok("GET", f"/v1/events/{events[0]['id']}")
    rest = [page async for page in stripe.list_events(EPOCH, types, starting_after=pages[0].next_cursor)]
    assert rest == pages[1:]
    assert pages[-1].next_cursor is None


async def test_more_event_types_than_stripe_takes_are_our_own_mistake(stripe: StripeGateway) -> None:
    with pytest.raises(Misuse):
        await anext(stripe.list_events(EPOCH, ["charge.updated"] * 21))


async def test_a_list_that_does_not_move_on_ends_the_listing() -> None:
    event = {"object": "event", "id": "evt_1", "type": "x", "created": 1, "livemode": False, "data": {"object": {}}}
    stripe = scripted(200, {"object": "list", "data": [event], "has_more": True})
    with pytest.raises(Retryable):
        _ = [page async for page in stripe.list_events(EPOCH, ["x"])]


async def test_balance_and_account_tell_whose_key_it_is(stripe: StripeGateway, machine: Machine) -> None:
    await paid(stripe, machine)
    machine.run(1_000)
    balance = await stripe.balance()
    assert (balance.pending["usd"], balance.available.get("usd", 0), balance.livemode) == (261, 0, False)
    account = await stripe.account()
    assert (account.id, account.livemode) == (machine.service.account_id, False)


async def test_an_unknown_key_and_a_missing_right_are_refused_with_codes_of_their_own(
    transport: ServiceTransport,
) -> None:
    for key, code in (("sk_test_unknown_0123456789", "stripe_unauthorized"), ("rk_test_reader", "stripe_forbidden")):
        with pytest.raises(Rejected) as refusal:
            await gateway(transport, key).create_checkout_session(PARAMS, "key-1")
        assert refusal.value.code == code
        assert "0123456789" not in str(refusal.value)


ERRORS = [
    # status, type, code, what a call with an effect raises, what a read raises
    (400, "invalid_request_error", None, "invalid_request", "invalid_request"),
    (400, "invalid_request_error", "parameter_missing", "parameter_missing", "parameter_missing"),
    (400, "invalid_request_error", "never_heard_of", OutcomeUnknown, Retryable),
    (400, "api_error", None, OutcomeUnknown, Retryable),
    (400, "idempotency_error", None, Misuse, Misuse),
    (400, "invalid_request_error", "rate_limit", Retryable, Retryable),
    (402, "card_error", "card_declined", "card_declined", "card_declined"),
    (404, "invalid_request_error", "resource_missing", "resource_missing", "resource_missing"),
    (405, "invalid_request_error", None, OutcomeUnknown, Retryable),
    (409, "idempotency_error", "idempotency_key_in_use", OutcomeUnknown, Retryable),
    (418, "invalid_request_error", "resource_missing", OutcomeUnknown, Retryable),
    (429, "invalid_request_error", "lock_timeout", Retryable, Retryable),
    (500, "api_error", None, OutcomeUnknown, Retryable),
    (503, "invalid_request_error", "resource_missing", OutcomeUnknown, Retryable),
]


@pytest.mark.parametrize(("status", "kind", "code", "creating", "reading"), ERRORS)
async def test_each_kind_of_error_says_what_to_do(
    status: int, kind: str, code: str | None, creating: Any, reading: Any
) -> None:
    error = {"type": kind, "message": "no", **({} if code is None else {"code": code})}
    stripe = scripted(status, {"error": error}, retry_after="7")
    for call, wanted in (
        (stripe.create_checkout_session(PARAMS, "k"), creating),
        (stripe.fetch_payment_intent("pi_1"), reading),
    ):
        with pytest.raises(PaymentSystemError) as failure:
            await call
        if isinstance(wanted, str):
            assert isinstance(failure.value, Rejected) and failure.value.code == wanted
        else:
            assert type(failure.value) is wanted
        if isinstance(failure.value, Retryable):
            assert failure.value.retry_after_seconds == 7.0


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'"x"', b"{}", b"<html>", b'{"object":"checkout.session"}', b"\xff", b"[" * 100_000, b"NaN"],
)
@pytest.mark.parametrize("status", [200, 302, 500])
async def test_an_answer_that_is_no_answer_is_unknown(status: int, body: bytes) -> None:
    stripe = scripted(status, body)
    with pytest.raises(OutcomeUnknown):
        await stripe.create_refund({"payment_intent": "pi_1"}, "k")
    with pytest.raises(Retryable):
        await stripe.fetch_charge_with_fee("ch_1")
    with pytest.raises(Retryable):
        await stripe.balance()


async def test_no_changed_field_of_an_answer_goes_unnoticed_or_raises_anything_else(
    machine: Machine, transport: ServiceTransport
) -> None:
    """Every field that becomes a fact, in turn, with every wrong type: a domain error, or a value of the right type."""
    whole = await gateway(transport).create_checkout_session(PARAMS, "key-1")
    body: dict[str, Any] = machine.ok("GET", f"/v1/checkout/sessions/{whole.id}")
    refused = set()
    for name in body:
        for wrong in WRONG_VALUES:
            changed = copy.copy(body)
            changed[name] = wrong
            try:
                read = await scripted(200, changed).create_checkout_session(PARAMS, "key-1")
            except OutcomeUnknown:
                refused.add(name)
            else:
                assert isinstance(read, SessionFacts)
                assert type(read.amount_total) in (int, type(None))
    assert {
        "id",
        "object",
        "livemode",
        "created",
        "expires_at",
        "amount_total",
        "metadata",
        "payment_intent",
    } <= refused


async def test_a_balance_transaction_whose_parts_do_not_add_up_is_not_believed(
    machine: Machine, transport: ServiceTransport
) -> None:
    tampered = TamperingTransport(transport, lambda _request, received: received)
    stripe = gateway(tampered)
    intent = await stripe.fetch_payment_intent(await paid(stripe, machine))
    machine.run(1_000)
    tampered.tamper = lambda _request, received: replaced(received, b'"fee": 39', b'"fee": 38')
    with pytest.raises(Retryable):
        await stripe.fetch_charge_with_fee(str(intent.latest_charge))


async def test_no_secret_shows_in_a_repr_or_an_error(transport: ServiceTransport) -> None:
    canary = "sk_test_canary0123456789"
    stripe = gateway(transport, canary)
    assert canary not in repr(stripe) + repr(vars(stripe))
    scripts: list[Callable[[HttpRequest], Answer]] = [
        lambda request: answer(400, {"error": {"type": "api_error", "message": "no"}, "echo": dict(request.headers)}),
        lambda request: answer(200, {"echo": dict(request.headers), "client_secret": canary}),
        lambda request: TransportError("reset", sent=True),
    ]
    for script in scripts:
        with pytest.raises(PaymentSystemError) as failure:
            await gateway(ScriptedTransport(script), canary).create_refund({"payment_intent": "pi_1"}, "k")
        assert canary not in str(failure.value) + repr(failure.value)
        assert failure.value.__cause__ is None or canary not in repr(failure.value.__cause__)


def replaced(received: HttpResponse, before: bytes, after: bytes) -> HttpResponse:
    return HttpResponse(received.status, received.headers, received.body.replace(before, after))
