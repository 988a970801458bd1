"""What the Circle gateway makes of answers that the sandbox does not give."""

import asyncio
from typing import Any
from uuid import UUID

import orjson
import pytest

from domain.errors import AccessRefused, KeyRefused, KeySpent, OutcomeUnknown, PaymentSystemError, Rejected, Retryable
from gateways.circle_api import CircleGateway, Lane, Rates, UserToken
from gateways.circle_api.error_codes import ACCOUNT_WIDE, VERDICTS, Verdict
from ports.transport import HttpRequest, TransportError
from simulator.wire import ServiceTransport
from tests.gateways.circle_world import API, gateway_over, gateway_to
from tests.gateways.wire import Answer, ScriptedTransport, SkippingClock, TamperingTransport, answer
from tests.sandbox.circle.world import API_KEY, RSA_PEM, SECRET, USDC_ID, World

KEY = UUID(int=1, version=4)
WRONG_VALUES: tuple[Any, ...] = (None, 1.5, True, [], {}, [1], -1, "x", "9" * 400, "", " ")
BODY = {"walletId": "w", "refId": "r"}
PUBLIC_PEM = World().get("/v1/w3s/config/entity/publicKey").json


def scripted(found: Answer) -> CircleGateway:
    """Everything but the public key is answered with `found`."""

    def script(request: HttpRequest) -> Answer:
        return answer(200, PUBLIC_PEM) if request.url.endswith("/publicKey") else found

    return gateway_over(ScriptedTransport(script), SkippingClock(), Rates.fast(), API_KEY, SECRET)


async def failures(found: Answer) -> tuple[PaymentSystemError, PaymentSystemError]:
    """What a transfer raises, and what a read raises."""
    with pytest.raises(PaymentSystemError) as sending:
        await scripted(found).submit_transfer(KEY, BODY)
    with pytest.raises(PaymentSystemError) as reading:
        await scripted(found).fetch_transaction("t")
    return sending.value, reading.value


@pytest.mark.parametrize("code", sorted(VERDICTS))
async def test_each_listed_code_says_what_to_do(code: int) -> None:
    verdict = VERDICTS[code][0]
    sending, reading = await failures(answer(400, {"code": code, "message": "no"}))
    for failure in (sending, reading):
        if verdict is Verdict.LATER:
            assert type(failure) is Retryable
        else:
            assert isinstance(failure, Rejected)
            assert failure.code == str(code)
    assert isinstance(sending, AccessRefused) == (verdict is Verdict.ACCESS)
    assert isinstance(reading, AccessRefused) == (code in ACCOUNT_WIDE)


@pytest.mark.parametrize(
    ("status", "code"),
    [
        *((400, code) for code in (-1, 999999, 155215, 155264, 156004)),
        *((409, 156021), (404, -1), (408, 999999)),
        *((500, 155219), (503, 2), (500, -1)),
    ],
)
async def test_every_other_code_and_every_server_error_is_unknown_to_a_send(status: int, code: int) -> None:
    sending, reading = await failures(answer(status, {"code": code, "message": "no"}))
    assert type(sending) is OutcomeUnknown
    assert type(reading) is Retryable


async def test_a_key_that_was_used_is_told_from_what_is_merely_unknown() -> None:
    sending, reading = await failures(answer(403, {"code": 156020, "message": "Please use a new idempotency key."}))
    assert type(sending) is KeySpent
    assert type(reading) is Retryable


@pytest.mark.parametrize("status", [401, 403])
async def test_an_unlisted_refusal_of_access_pauses_the_sends(status: int) -> None:
    for failure in await failures(answer(status, {"code": 777, "message": "no"})):
        assert isinstance(failure, AccessRefused)
        assert failure.code == str(status)


@pytest.mark.parametrize("body", [b"<html>slow down</html>", b'{"code":5,"message":"API rate limit error"}'])
async def test_429_is_taken_back_later_as_asked(body: bytes) -> None:
    for failure in await failures(answer(429, body, {"retry-after": "30"})):
        assert isinstance(failure, Retryable)
        assert failure.retry_after_seconds == 30.0


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"null", b"[]", b"{}", b"<html>", b"\xff", b"[" * 100_000),
        *(b'{"data":null}', b'{"data":[]}', b'{"data":{}}', b'{"data":{"id":NaN}}'),
        *(b'{"data":{"id":5,"transaction":5}}', b'{"data":{"id":"","transaction":{}}}'),
    ],
)
@pytest.mark.parametrize("status", [200, 201, 302, 400, 500])
async def test_an_answer_that_is_no_answer_is_unknown_to_a_send(status: int, body: bytes) -> None:
    sending, reading = await failures(answer(status, body))
    assert type(sending) is OutcomeUnknown
    assert type(reading) is Retryable


@pytest.mark.parametrize(("sent", "kind"), [(False, Retryable), (True, OutcomeUnknown)])
async def test_no_answer_is_unknown_unless_surely_nothing_was_sent(sent: bool, kind: type[Exception]) -> None:
    sending, reading = await failures(TransportError("reset", sent=sent))
    assert type(sending) is kind
    assert type(reading) is Retryable


async def test_a_send_whose_public_key_can_not_be_fetched_has_not_happened() -> None:
    for found in (TransportError("reset", sent=True), answer(200, {"data": {"publicKey": "no PEM"}})):
        transport = ScriptedTransport(lambda _request, found=found: found)  # type: ignore[misc]
        circle = gateway_over(transport, SkippingClock(), Rates.fast(), API_KEY, SECRET)
        with pytest.raises(Retryable):
            await circle.submit_transfer(KEY, BODY)
        assert [request.method for request in transport.sent] == ["GET"]


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        *(("CANCELED", "CANCELLED"), ("CANCELLED", "CANCELLED"), ("WAITING", "UNKNOWN:WAITING"), ("STUCK", "STUCK")),
        ("WAITING_FOR_A_SECOND_LOOK", "UNKNOWN:WAITING_FOR_A_SE"),
    ],
)
async def test_states_are_read_under_one_spelling_and_new_ones_are_tolerated(
    world: World, theirs: str, ours: str
) -> None:
    platform = world.platform(usdc=10)
    made = world.transfer(world.order(platform.wallet_id, platform.address, "1")).data["id"]
    inner = ServiceTransport({API: world.circle})
    tampered = TamperingTransport(
        inner, lambda _request, got: answer(got.status, got.body.replace(b"INITIATED", theirs.encode()))
    )
    circle = gateway_over(tampered, SkippingClock(), Rates.fast(), API_KEY, SECRET)
    found = await circle.fetch_transaction(made)
    assert (found.state, found.is_terminal) == (ours, ours == "CANCELLED")


async def test_no_changed_field_of_a_transaction_raises_anything_but_a_domain_error(world: World) -> None:
    platform = world.platform(usdc=10)
    made = world.transfer(world.order(platform.wallet_id, platform.address, "1")).data["id"]
    whole: dict[str, Any] = world.transaction(made)
    refused = set()
    for name in whole:
        for wrong in WRONG_VALUES:
            try:
                read = await scripted(answer(200, {"data": {"transaction": whole | {name: wrong}}})).fetch_transaction(
                    "t"
                )
            except Retryable:
                refused.add(name)
            else:
                assert read.amount_units(6) in (1_000_000, None)
                assert read.id.strip() and read.state.strip()
    assert {"id", "state", "createDate", "updateDate", "amounts", "walletId", "refId", "transactionType"} <= refused


async def test_a_strangers_token_of_any_form_does_not_hide_our_balance(world: World) -> None:
    platform = world.platform(usdc=10)
    path = f"/v1/w3s/wallets/{platform.wallet_id}/balances"
    found = world.get(path).json
    spam = {"amount": "9" * 40, "token": {"id": "s", "isNative": False, "decimals": 255, "tokenAddress": "spam"}}
    found["data"]["tokenBalances"].insert(0, spam)
    balances = await scripted(answer(200, found)).balances(platform.wallet_id)
    assert {balance.token_id: balance.units for balance in balances}["s"] is None
    assert {balance.token_id: balance.units for balance in balances}[USDC_ID] == 10_000_000


async def test_a_list_that_does_not_move_on_ends_the_listing(world: World) -> None:
    made = (await gateway_to(world)[0].create_wallet_set(KEY, "x")).id
    wallet = await gateway_to(world)[0].create_wallet(UUID(int=2, version=4), made, "SOL-DEVNET", "r", "n")
    found = world.get(f"/v1/w3s/wallets/{wallet.id}").data["wallet"]
    with pytest.raises(Retryable):
        await scripted(answer(200, {"data": {"wallets": [found] * 50}})).list_wallets(ref_id="r")


async def test_a_mint_does_not_queue_behind_all_payouts() -> None:
    def script(request: HttpRequest) -> Answer:
        return answer(200, PUBLIC_PEM if request.url.endswith("/publicKey") else {"data": {"signature": "1" * 64}})

    transport = ScriptedTransport(script)
    circle = gateway_over(transport, SkippingClock(), Rates(), API_KEY, SECRET)
    payouts = [circle.sign_transaction("w", b"x", "payout", Lane.PAYOUT) for _ in range(30)]
    await asyncio.gather(*payouts, circle.sign_transaction("w", b"x", "mint", Lane.MINT))
    memos = [orjson.loads(request.body)["memo"] for request in transport.sent if request.body]
    assert len(memos) == 31
    assert memos.index("mint") < 10


async def test_an_id_from_outside_can_not_become_another_path(world: World) -> None:
    circle, transport = gateway_to(world)
    with pytest.raises(PaymentSystemError):
        await circle.fetch_wallet("../config/entity?x=1#y")
    assert transport.sent[0].url == f"{API}/v1/w3s/wallets/..%2Fconfig%2Fentity%3Fx%3D1%23y"


async def test_no_secret_shows_in_an_error() -> None:
    def echo(request: HttpRequest) -> Answer:
        if request.url.endswith("/publicKey"):
            return answer(200, PUBLIC_PEM)
        bad = {"location": "entitySecretCiphertext", "invalidValue": request.body.decode(), "message": "bad"}
        return answer(400, {"code": 2, "message": "API parameter invalid", "errors": [bad]})

    circle = gateway_over(ScriptedTransport(echo), SkippingClock(), Rates.fast(), API_KEY, SECRET)
    with pytest.raises(Rejected) as refusal:
        await circle.submit_transfer(KEY, BODY)
    assert str(refusal.value).endswith("API parameter invalid [entitySecretCiphertext] (HTTP 400, code 2)")
    assert refusal.value.__cause__ is None
    assert orjson.loads(orjson.dumps(str(refusal.value))) and RSA_PEM.decode() not in str(refusal.value)


async def test_after_a_refusal_of_the_key_nothing_is_sent_until_the_call_that_asks_for_it_is_answered() -> None:
    found: list[Answer] = [answer(401, {"code": 401, "message": "no"})]
    transport = ScriptedTransport(lambda _request: found[0])
    circle = gateway_over(transport, SkippingClock(), Rates.fast(), API_KEY, SECRET)
    for _ in range(3):
        with pytest.raises(KeyRefused, match="no"):
            await circle.fetch_transaction("t")
    assert len(transport.sent) == 1
    for still in (found[0], answer(503, {"code": -1, "message": "away"}), TransportError("reset", sent=True)):
        found[0] = still
        assert not await circle.key.is_taken()
        with pytest.raises(KeyRefused):
            circle.require_key()
    found[0] = answer(403, {"code": 3, "message": "no right to that"})
    assert await circle.key.is_taken()
    circle.require_key()
    assert len(transport.sent) == 5
    with pytest.raises(AccessRefused):
        await circle.fetch_transaction("t")
    assert len(transport.sent) == 6


@pytest.mark.parametrize("code", [155103, 777])
async def test_a_user_s_token_that_is_refused_stops_nobody_else(code: int) -> None:
    transport = ScriptedTransport(lambda _request: answer(401, {"code": code, "message": "no"}))
    circle = gateway_over(transport, SkippingClock(), Rates.fast(), API_KEY, SECRET)
    with pytest.raises(PaymentSystemError):
        await circle.user_transaction(UserToken("user", "key"), "t")
    circle.require_key()
