"""User-controlled wallets: tokens, PIN challenges, and what a user may see."""

from typing import Any

import pytest

from sandbox.circle_service import Switches
from tests.sandbox.circle.world import World

INITIALIZE = "/v1/w3s/user/initialize"


def sign_up(world: World, user_id: str = "user-1") -> str:
    """A new user's token."""
    assert world.post("/v1/w3s/users", {"userId": user_id}).status == 201
    return token_of(world, user_id)


def token_of(world: World, user_id: str) -> str:
    return str(world.post("/v1/w3s/users/token", {"userId": user_id}).data["userToken"])


def setup_body(world: World, **more: Any) -> dict[str, Any]:
    return {"idempotencyKey": world.new_key(), "blockchains": ["SOL-DEVNET"], "accountType": "EOA"} | more


def test_the_pin_is_entered_a_moment_later_and_the_wallet_appears(world: World) -> None:
    world.post("/v2/notifications/subscriptions", {"endpoint": "http://localhost:1/x"})
    token = sign_up(world)
    challenge = world.post(INITIALIZE, setup_body(world), x_user_token=token).data["challengeId"]
    shown = world.get(f"/v1/w3s/user/challenges/{challenge}", x_user_token=token).data["challenge"]
    assert (shown["status"], shown["type"]) == ("PENDING", "INITIALIZE")
    assert world.get("/v1/w3s/users/user-1").data["user"]["pinStatus"] == "UNSET"
    world.pass_ms(1_000)
    wallets = world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"]
    assert [(each["custodyType"], each["userId"]) for each in wallets] == [("ENDUSER", "user-1")]
    assert world.get("/v1/w3s/user", x_user_token=token).data["pinStatus"] == "ENABLED"
    note = world.notifications("challenges.initialize")[0]["notification"]
    assert note == {
        "id": challenge,
        "userId": "user-1",
        "type": "INITIALIZE",
        "status": "COMPLETE",
        "correlationIds": [wallets[0]["id"]],
        "errorCode": 0,
        "errorMessage": "",
    }
    assert world.get(f"/v1/w3s/wallets/{wallets[0]['id']}").data["wallet"]["userId"] == "user-1"


def test_in_manual_mode_only_the_private_control_completes_a_challenge(world: World) -> None:
    world.call("POST", "/_sandbox/pin", {"mode": "manual"}, key=None)
    token = sign_up(world)
    challenge = world.post(INITIALIZE, setup_body(world), x_user_token=token).data["challengeId"]
    world.pass_ms(60_000)
    assert world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"] == []
    open_ones = world.call("GET", "/_sandbox/challenges", key=None).json["challenges"]
    assert [each["id"] for each in open_ones] == [challenge]
    done = world.call("POST", f"/_sandbox/challenges/{challenge}/complete", {}, key=None).json
    assert done["status"] == "COMPLETE"
    assert len(world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"]) == 1


def test_known_users_and_second_initializations_are_409(world: World) -> None:
    token = sign_up(world)
    assert world.post("/v1/w3s/users", {"userId": "user-1"}).failure == (409, 155101)
    body = setup_body(world)
    first = world.post(INITIALIZE, body, x_user_token=token)
    world.pass_ms(1_000)
    again = world.post(INITIALIZE, body, x_user_token=token)
    assert (first.status, again.status) == (201, 200)
    assert again.data == first.data
    assert world.post(INITIALIZE, setup_body(world), x_user_token=token).failure == (409, 155106)


def test_the_second_of_two_open_initializations_fails_and_makes_no_wallet(world: World) -> None:
    token = sign_up(world)
    for _ in range(2):
        world.post(INITIALIZE, setup_body(world), x_user_token=token)
    world.pass_ms(1_000)
    challenges = world.get("/v1/w3s/user/challenges?order=ASC", x_user_token=token).data["challenges"]
    assert [each["status"] for each in challenges] == ["COMPLETE", "FAILED"]
    assert challenges[1]["errorCode"] == 155106
    assert len(world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"]) == 1


@pytest.mark.parametrize("user_id", ["", "four", "x" * 51])
def test_user_ids_have_bounds(world: World, user_id: str) -> None:
    assert world.post("/v1/w3s/users", {"userId": user_id}).failure == (400, 2)


def test_tokens_expire_after_an_hour_and_must_be_known(world: World) -> None:
    token = sign_up(world)
    assert world.get("/v1/w3s/user").failure == (401, 155103)
    assert world.get("/v1/w3s/user", x_user_token="a.b.c").failure == (403, 155105)
    world.pass_ms(3_599_000)
    assert world.get("/v1/w3s/user", x_user_token=token).status == 200
    world.pass_ms(1_000)
    assert world.get("/v1/w3s/user", x_user_token=token).failure == (403, 155104)
    assert world.get("/v1/w3s/user", x_user_token=token_of(world, "user-1")).status == 200
    assert world.get("/v1/w3s/user", x_user_token=token).failure == (403, 155104)


def test_an_unknown_user_has_no_token(world: World) -> None:
    assert world.post("/v1/w3s/users/token", {"userId": "nobody-1"}).failure == (404, 155102)
    assert world.get("/v1/w3s/users/nobody-1").failure == (404, 155102)


def test_a_user_sees_only_his_own_wallets(world: World) -> None:
    tokens = [sign_up(world, f"user-{number}") for number in range(2)]
    for token in tokens:
        world.post(INITIALIZE, setup_body(world), x_user_token=token)
    world.pass_ms(1_000)
    own = world.get("/v1/w3s/wallets", x_user_token=tokens[0]).data["wallets"][0]["id"]
    assert world.get(f"/v1/w3s/wallets/{own}", x_user_token=tokens[0]).status == 200
    assert world.get(f"/v1/w3s/wallets/{own}", x_user_token=tokens[1]).failure == (404, 156001)
    assert len(world.get("/v1/w3s/wallets").data["wallets"]) == 2


def test_a_user_pays_by_a_challenge(world: World) -> None:
    token = sign_up(world)
    platform = world.platform()
    world.post(INITIALIZE, setup_body(world), x_user_token=token)
    world.pass_ms(1_000)
    wallet = world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"][0]
    world.call("POST", "/_sandbox/faucet", {"address": wallet["address"], "usdc": "3", "sol": "1"}, key=None)
    world.pass_ms(10_000)
    order = world.order(wallet["id"], platform.address, "3")
    del order["entitySecretCiphertext"]
    challenge = world.post("/v1/w3s/user/transactions/transfer", order, x_user_token=token).data["challengeId"]
    world.pass_ms(15_000)
    shown = world.get(f"/v1/w3s/user/challenges/{challenge}", x_user_token=token).data["challenge"]
    paid = world.transaction(shown["correlationIds"][0])
    assert (paid["state"], paid["userId"]) == ("COMPLETE", "user-1")
    assert world.usdc_of(platform.address) == 3_000_000


def test_a_user_signs_by_a_challenge_whose_result_goes_to_the_users_client() -> None:
    world = World(switches=Switches(auto_pin_ms=10))
    token = sign_up(world)
    world.post(INITIALIZE, setup_body(world), x_user_token=token)
    world.pass_ms(100)
    wallet = world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"][0]
    body = {"walletId": wallet["id"], "message": "hello"}
    challenge = world.post("/v1/w3s/user/sign/message", body, x_user_token=token).data["challengeId"]
    world.pass_ms(100)
    shown = world.call("GET", f"/_sandbox/challenges/{challenge}", key=None).json
    assert shown["result"]["signature"].startswith("0x")


def test_the_developer_cannot_move_a_users_wallet(world: World) -> None:
    token = sign_up(world)
    world.post(INITIALIZE, setup_body(world), x_user_token=token)
    world.pass_ms(1_000)
    wallet = world.get("/v1/w3s/wallets", x_user_token=token).data["wallets"][0]
    assert world.transfer(world.order(wallet["id"], wallet["address"], "1")).failure == (404, 156001)
    body = {"walletId": wallet["id"], "message": "hi", "entitySecretCiphertext": world.seal()}
    assert world.post("/v1/w3s/developer/sign/message", body).failure == (404, 156001)
