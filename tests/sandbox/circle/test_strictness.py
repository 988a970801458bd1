"""What Circle refuses, with its codes; and what the same key does twice."""

import base64
import uuid
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.token.associated import get_associated_token_address

from sandbox.circle_service import Switches
from sandbox.service import Request
from tests.sandbox.circle.world import API_KEY, SECRET, USDC_ID, USDC_MINT, Answer, World

SETS = "/v1/w3s/developer/walletSets"
WALLETS = "/v1/w3s/developer/wallets"
RANDOM_ID = "0f6b3d1c-2a54-4c8e-9b7f-1d2e3f4a5b6c"


def token_account_of(owner: str) -> str:
    """The owner's USDC account: an address that is on no curve."""
    usdc = Pubkey.from_string(USDC_MINT)
    return str(get_associated_token_address(Pubkey.from_string(owner), usdc))


PAYEE = str(Keypair.from_seed(bytes([9]) * 32).pubkey())


@pytest.mark.parametrize(
    ("key", "code"),
    [
        (None, 401),
        ("TEST_API_KEY:only-two", 401),
        ("TEST_API_KEY:a:b:c", 401),
        ("SOME_KEY:id:secret", 156007),
        ("TEST_API_KEY:other:key", 401),
    ],
)
def test_a_bad_api_key_is_401(world: World, key: str | None, code: int) -> None:
    assert world.call("GET", "/v1/w3s/wallets", key=key).failure == (401, code)


def test_ping_needs_no_key_and_has_no_envelope(world: World) -> None:
    assert world.call("GET", "/ping", key=None).json == {"message": "pong"}


def test_the_request_id_is_echoed_or_made(world: World) -> None:
    assert world.get("/v1/w3s/wallets", x_request_id="mine").headers["x-request-id"] == "mine"
    assert uuid.UUID(world.get("/v1/w3s/wallets").headers["x-request-id"])


@pytest.mark.parametrize("key", ["abc", str(uuid.UUID(RANDOM_ID)).replace("-", ""), str(uuid.UUID(int=0))])
def test_an_idempotency_key_must_be_a_uuid(world: World, key: str) -> None:
    answer = world.post(SETS, world.signed(idempotencyKey=key))
    assert answer.failure == (400, 2)
    error = answer.json["errors"][0]
    assert (error["error"], error["location"], error["invalidValue"]) == ("uuid_format", "idempotencyKey", key)
    assert error["message"] == f"'idempotencyKey' field is not in the correct UUID format (was {key})"


def test_version_5_keys_are_refused_unless_switched_off(world: World) -> None:
    key = str(uuid.uuid5(uuid.NAMESPACE_DNS, "a purchase"))
    assert world.post(SETS, world.signed(idempotencyKey=key)).bad_fields == {"idempotencyKey": "uuid_format"}
    lenient = World(switches=Switches(strict_uuid4=False))
    assert lenient.post(SETS, lenient.signed(idempotencyKey=key)).status == 201


def test_missing_fields_are_named_together(world: World) -> None:
    answer = world.post(WALLETS, {})
    assert set(answer.bad_fields) == {"idempotencyKey", "entitySecretCiphertext", "walletSetId", "blockchains"}


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"[" * 100_000])
def test_a_broken_body_is_400(world: World, body: bytes) -> None:
    request = Request("POST", SETS, "", {"authorization": f"Bearer {API_KEY}"}, body)
    assert Answer(world.circle.handle(request)).failure == (400, 2)


def test_a_ciphertext_is_good_for_one_request(world: World) -> None:
    sealed = world.seal()
    assert world.post(SETS, world.signed(entitySecretCiphertext=sealed)).status == 201
    assert world.post(SETS, world.signed(entitySecretCiphertext=sealed)).failure == (400, 156004)


def test_a_retry_with_the_same_key_needs_a_fresh_ciphertext_too(world: World) -> None:
    body = world.signed(name="ops")
    assert world.post(SETS, body).status == 201
    assert world.post(SETS, body).failure == (400, 156004)
    again = world.post(SETS, body | {"entitySecretCiphertext": world.seal()})
    assert again.status == 200


@pytest.mark.parametrize("sealed", ["not base64!", base64.b64encode(b"x" * 256).decode(), "AAAA"])
def test_an_undecryptable_ciphertext_is_156013(world: World, sealed: str) -> None:
    assert world.post(SETS, world.signed(entitySecretCiphertext=sealed)).failure == (400, 156013)


def test_another_secret_is_156013(world: World) -> None:
    assert world.post(SETS, world.signed(entitySecretCiphertext=world.seal("cd" * 32))).failure == (400, 156013)


def test_the_secret_can_be_registered_once() -> None:
    world = World(secret=None)
    assert world.post(SETS, world.signed()).failure == (403, 156016)
    path = "/v1/w3s/config/entity/entitySecret"
    assert base64.b64decode(world.post(path, {"entitySecretCiphertext": world.seal(SECRET)}).data["recoveryFile"])
    assert world.post(SETS, world.signed()).status == 201
    assert world.post(path, {"entitySecretCiphertext": world.seal(SECRET)}).failure == (409, 156015)


def test_the_same_key_and_payload_give_the_same_resource(world: World) -> None:
    body = world.signed(name="ops")
    first = world.post(SETS, body)
    second = world.post(SETS, body | {"entitySecretCiphertext": world.seal()})
    assert (first.status, second.status) == (201, 200)
    assert first.json == second.json
    assert len(world.get("/v1/w3s/walletSets").data["walletSets"]) == 1


def test_the_same_key_with_another_payload_is_156020(world: World) -> None:
    body = world.signed(name="ops")
    world.post(SETS, body)
    changed = body | {"entitySecretCiphertext": world.seal(), "name": "other"}
    assert world.post(SETS, changed).failure == (403, 156020)


def test_another_payload_can_return_the_original_by_a_switch() -> None:
    world = World(switches=Switches(replay_returns_original=True))
    body = world.signed(name="ops")
    first = world.post(SETS, body)
    second = world.post(SETS, body | {"entitySecretCiphertext": world.seal(), "name": "other"})
    assert (second.status, second.json) == (200, first.json)


def test_keys_are_scoped_to_the_endpoint(world: World) -> None:
    key = world.new_key()
    set_id = world.post(SETS, world.signed(idempotencyKey=key)).data["walletSet"]["id"]
    body = world.signed(idempotencyKey=key, walletSetId=set_id, blockchains=["SOL-DEVNET"])
    assert world.post(WALLETS, body).status == 201


def test_a_replayed_transfer_shows_the_current_state_and_pays_once(world: World) -> None:
    platform = world.platform(usdc=5)
    body = world.order(platform.wallet_id, PAYEE, "2")
    first = world.transfer(body).data
    world.pass_ms(15_000)
    again = world.transfer(body | {"entitySecretCiphertext": world.seal()})
    assert again.status == 200
    assert again.data == {"id": first["id"], "state": "COMPLETE"}
    assert world.usdc_of(PAYEE) == 2_000_000


def test_a_refused_request_does_not_use_up_its_key(world: World) -> None:
    platform = world.platform(usdc=1)
    body = world.order(platform.wallet_id, PAYEE, "2")
    assert world.transfer(body).failure == (400, 155258)
    world.call("POST", "/_sandbox/faucet", {"address": platform.address, "usdc": "5"}, key=None)
    world.pass_ms(5_000)
    assert world.transfer(body | {"entitySecretCiphertext": world.seal()}).status == 201


def test_wallet_creation_checks_chain_type_and_metadata(world: World) -> None:
    set_id = world.post(SETS, world.signed()).data["walletSet"]["id"]

    def create(**more: Any) -> tuple[int, int]:
        return world.post(
            WALLETS, world.signed(**({"walletSetId": set_id, "blockchains": ["SOL-DEVNET"]} | more))
        ).failure

    assert create(blockchains=["SOL"]) == (400, 156006)
    assert create(blockchains=["ETH-SEPOLIA"]) == (400, 156027)
    assert create(blockchains=["DOGE"]) == (400, 156017)
    assert create(accountType="SCA") == (400, 155507)
    assert create(metadata=[{"name": "a"}, {"name": "b"}]) == (400, 155503)
    assert create(walletSetId=RANDOM_ID) == (404, 156005)
    assert create(count=201) == (400, 2)


def test_a_transfer_is_checked_field_by_field(world: World) -> None:
    platform = world.platform(usdc=5)
    good = world.order(platform.wallet_id, PAYEE, "1")

    def send(**more: Any) -> tuple[int, int]:
        body = good | {"idempotencyKey": world.new_key(), "entitySecretCiphertext": world.seal()} | more
        return world.transfer({name: value for name, value in body.items() if value is not None}).failure

    assert send(destinationAddress="not an address") == (400, 155219)
    assert send(destinationAddress=token_account_of(platform.address)) == (400, 155219)
    assert send(walletId=RANDOM_ID) == (404, 156001)
    assert send(tokenId=RANDOM_ID) == (404, 156002)
    assert send(tokenId=str(uuid.UUID(int=0))) == (400, 2)
    assert send(tokenId=None) == (400, 155228)
    assert send(walletAddress=platform.address, blockchain="SOL-DEVNET") == (400, 155244)
    assert send(amounts=["1", "1"]) == (400, 155221)
    assert send(amounts=[]) == (400, 2)
    assert send(feeLevel="") == (400, 2)
    assert send(priorityFee="10") == (400, 155234)
    assert send(blockchain="SOL") == (400, 156006)
    for amount in ("0", "-1", "1e3", "0.0000001", "one", "", ".", "1" * 30, "１"):
        assert send(amounts=[amount]) == (400, 155224), amount


def test_neither_fee_level_nor_gas_is_two_errors(world: World) -> None:
    platform = world.platform(usdc=5)
    body = world.order(platform.wallet_id, PAYEE, "1")
    del body["feeLevel"]
    assert world.transfer(body).bad_fields == {"gasLimit": "invalid_value", "gasPrice": "invalid_value"}
    assert world.transfer(world.signed(**body, gasLimit="100000", priorityFee="50")).status == 201


def test_ids_in_paths_must_be_uuids_and_known(world: World) -> None:
    assert world.get("/v1/w3s/wallets/abc").failure == (400, 156009)
    assert world.get(f"/v1/w3s/wallets/{RANDOM_ID}").failure == (404, 156001)
    assert world.get(f"/v1/w3s/transactions/{RANDOM_ID}").failure == (404, 156003)
    assert world.get(f"/v1/w3s/tokens/{RANDOM_ID}").failure == (404, 156002)
    assert world.get(f"/v1/w3s/tokens/{USDC_ID}").data["token"]["decimals"] == 6
    assert world.get("/v1/w3s/nothing").status == 404


def test_addresses_are_validated(world: World) -> None:
    path = "/v1/w3s/transactions/validateAddress"
    assert world.post(path, {"address": PAYEE, "blockchain": "SOL-DEVNET"}).data == {"isValid": True}
    assert world.post(path, {"address": "x", "blockchain": "SOL-DEVNET"}).data == {"isValid": False}


def test_real_limits_answer_429_per_class_of_call_and_recover() -> None:
    world = World(limits="real")
    gets = [world.get("/v1/w3s/wallets").status for _ in range(21)]
    assert gets == [200] * 20 + [429]
    assert world.get("/v1/w3s/wallets").json == {"code": 5, "message": "API rate limit error"}
    users = [world.post("/v1/w3s/users", {"userId": f"user-{number}"}).status for number in range(6)]
    assert users == [201] * 5 + [429]
    assert world.call("PUT", f"/v1/w3s/wallets/{RANDOM_ID}", {}).failure == (429, 5)
    tokens = [world.post("/v1/w3s/users/token", {"userId": "user-1"}).status for _ in range(11)]
    assert tokens == [200] * 10 + [429]
    world.pass_ms(200)
    assert world.post("/v1/w3s/users", {"userId": "user-again"}).status == 201
    assert world.circle.rates.refused == 5


def test_the_same_seed_gives_the_same_wallets_and_ids() -> None:
    one, two, other = World(seed=1).platform(), World(seed=1).platform(), World(seed=2).platform()
    assert one == two
    assert one.address != other.address


def test_polling_does_not_change_the_wallets_that_a_seed_makes() -> None:
    quiet, busy = World(seed=1), World(seed=1)
    for _ in range(5):
        busy.get("/v1/w3s/wallets")
    assert quiet.platform() == busy.platform()
