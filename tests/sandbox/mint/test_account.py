"""Circle Mint's business account: dollars in, USDC out, and what it refuses."""

import uuid
from typing import Any

import pytest
from solders.keypair import Keypair

from tests.sandbox.mint.world import PLATFORM, ROOT, World

USDC = 10**6
BANK = str(Keypair.from_seed(b"b" * 32).pubkey())
RANDOM_ID = "0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c"


@pytest.mark.parametrize("key", [None, "SAND_API_KEY:other:key", ""])
def test_a_bad_api_key_is_401(world: World, key: str | None) -> None:
    assert world.call("GET", f"{ROOT}/balances", key=key).failure == (401, 401)


def test_a_wire_becomes_a_deposit_and_then_balance(world: World) -> None:
    (wire,) = world.get("/banks/wires").data
    told = world.get(f"/banks/wires/{wire['id']}/instructions").data
    body = {
        "trackingRef": told["trackingRef"],
        "amount": {"amount": "250.10", "currency": "USD"},
        "beneficiaryBank": {"accountNumber": told["beneficiaryBank"]["accountNumber"]},
    }
    assert world.call("POST", "/v1/mocks/payments/wire", body).data["status"] == "pending"
    assert world.get("/balances").data == {
        "available": [{"amount": "0.00", "currency": "USD"}],
        "unsettled": [{"amount": "250.10", "currency": "USD"}],
    }
    world.pass_ms(5_000)
    (deposit,) = world.get("/deposits?type=wire").data
    assert (deposit["status"], deposit["amount"]["amount"]) == ("complete", "250.10")
    assert world.get("/balances").data["available"] == [{"amount": "250.10", "currency": "USD"}]
    assert world.call("POST", "/v1/mocks/payments/wire", body | {"trackingRef": "CIR0000000"}).status == 404


def test_a_transfer_moves_usdc_on_the_chain_and_is_complete_once_that_is_final(world: World) -> None:
    recipient = world.funded("300.00")
    made = world.post("/transfers", world.order(recipient, "250.10"))
    assert (made.status, made.data["status"], made.data["destination"]["address"]) == (201, "pending", PLATFORM)
    assert "transactionHash" not in made.data
    world.pass_ms(60_000)
    shown = world.get(f"/transfers/{made.data['id']}").data
    assert (shown["status"], shown["amount"]["amount"]) == ("complete", "250.10")
    landed = world.node.signature_status(shown["transactionHash"])
    assert landed is not None and landed.err is None
    assert world.usdc_of(PLATFORM) == 250_100_000
    assert world.get("/balances").data["available"][0]["amount"] == "49.90"


def test_what_is_moved_in_the_console_is_listed_like_any_transfer_and_a_key_may_be_exchanged(world: World) -> None:
    world.funded("300.00")
    assert world.control("transfer", usd="100.00").status == 200
    world.pass_ms(1_000)
    assert world.control("transfer", usd="50.00", address=BANK).status == 200
    world.pass_ms(60_000)
    told = [(one["amount"]["amount"], one["destination"]["address"]) for one in world.get("/transfers").data]
    assert told == [("50.00", BANK), ("100.00", PLATFORM)]
    assert (world.usdc_of(PLATFORM), world.usdc_of(BANK)) == (100 * USDC, 50 * USDC)
    world.mint.api_keys = frozenset({"SAND_API_KEY:another:key"})
    assert world.get("/balances").failure == (401, 401)
    assert world.call("GET", f"{ROOT}/balances", key="SAND_API_KEY:another:key").status == 200


def test_the_same_key_makes_one_transfer_and_another_body_is_refused(world: World) -> None:
    recipient = world.funded("300.00")
    order = world.order(recipient, "100.00")
    first, again = world.post("/transfers", order), world.post("/transfers", order)
    assert again.data["id"] == first.data["id"]
    assert world.post("/transfers", world.order(recipient, "100.01", order["idempotencyKey"])).failure == (409, 409)
    world.pass_ms(60_000)
    assert world.usdc_of(PLATFORM) == 100 * USDC
    assert world.post("/transfers", order).data["status"] == "complete"


def test_what_the_balance_or_screening_refuses_fails_with_its_code_and_moves_nothing(world: World) -> None:
    recipient = world.funded("10.00")
    short = world.post("/transfers", world.order(recipient, "10.01")).data["id"]
    world.pass_ms(5_000)
    world.control("switches", deny_transfers=1)
    denied = world.post("/transfers", world.order(recipient, "5.00")).data["id"]
    world.pass_ms(60_000)
    shown = [world.get(f"/transfers/{one}").data for one in (short, denied)]
    assert [(one["status"], one["errorCode"]) for one in shown] == [
        ("failed", "insufficient_funds"),
        ("failed", "transfer_denied"),
    ]
    assert world.usdc_of(PLATFORM) == 0
    assert world.get("/balances").data["available"][0]["amount"] == "10.00"


def test_what_a_fork_has_taken_from_circles_own_wallet_is_there_again_when_it_sends(world: World) -> None:
    recipient = world.control("recipients", address=PLATFORM).json["id"]
    world.control("wire", usd="10.00")
    world.pass_ms(4_000)
    assert world.node.fork(31)
    made = world.post("/transfers", world.order(recipient, "10.00")).data["id"]
    world.pass_ms(200_000)
    assert world.get(f"/transfers/{made}").data["status"] == "complete"
    assert world.usdc_of(PLATFORM) == 10 * USDC


def test_only_verified_recipients_are_listed_and_paid(world: World) -> None:
    body = {"idempotencyKey": world.new_key(), "address": PLATFORM, "chain": "SOL", "description": "platform"}
    added = world.post("/wallets/addresses/recipient", body)
    assert (added.status, added.data["status"]) == (200, "pending_verification")
    assert world.get("/wallets/addresses/recipient").data == []
    assert world.post("/transfers", world.order(added.data["id"], "1.00")).failure == (404, 404)
    world.control("recipients", address=PLATFORM)
    assert [one["id"] for one in world.get("/wallets/addresses/recipient").data] == [added.data["id"]]


@pytest.mark.parametrize(
    ("change", "location", "error"),
    [
        ({"idempotencyKey": "abc"}, "idempotencyKey", "uuid_format"),
        ({"idempotencyKey": str(uuid.uuid5(uuid.NAMESPACE_DNS, "x"))}, "idempotencyKey", "uuid_format"),
        ({"amount": {"amount": "1.001", "currency": "USD"}}, "amount.amount", "number_format"),
        ({"amount": {"amount": "0.00", "currency": "USD"}}, "amount.amount", "number_format"),
        ({"amount": {"amount": "1.00", "currency": "EUR"}}, "amount.currency", "invalid_value"),
        ({"destination": {"type": "blockchain", "addressId": RANDOM_ID}}, "destination.type", "invalid_value"),
        ({"destination": {"type": "verified_blockchain"}}, "destination.addressId", "required"),
    ],
)
def test_a_bad_field_of_a_transfer_is_named(world: World, change: dict[str, Any], location: str, error: str) -> None:
    answer = world.post("/transfers", world.order(RANDOM_ID, "1.00") | change)
    assert (answer.failure, answer.bad_fields) == ((400, 2), {location: error})


def test_lists_are_in_descending_order_and_paged_by_id(world: World) -> None:
    recipient = world.funded("10.00")
    made = []
    for _ in range(3):
        made.append(world.post("/transfers", world.order(recipient, "1.00")).data["id"])
        world.pass_ms(2_000)
    first = [one["id"] for one in world.get("/transfers?pageSize=2").data]
    assert first == [made[2], made[1]]
    assert [one["id"] for one in world.get(f"/transfers?pageSize=2&pageAfter={made[1]}").data] == [made[0]]
    assert world.get("/transfers?pageAfter=x").bad_fields == {"pageAfter": "uuid_format"}


def test_faults_are_the_ones_of_every_service(world: World) -> None:
    recipient = world.funded("10.00")
    world.control("faults/add", fault="status", match="POST /v1/businessAccount/transfers", status=429)
    order = world.order(recipient, "1.00")
    assert world.post("/transfers", order).status == 429
    assert world.get("/transfers").data == []
    assert world.post("/transfers", order).status == 201
