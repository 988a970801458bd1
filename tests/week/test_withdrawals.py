"""Cash out: a creator's own USDC leaves his wallet by his PIN alone, once, to the address that he named."""

import json
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from sandbox.faults import Fault, Rule
from tests.week.checker import usdc_of
from tests.week.people import on_virtual_time
from tests.week.test_virtual_week import People
from tests.week.test_wallets_and_payments import has_wallet
from tests.week.virtual_world import VirtualWorld

EXCHANGE = str(Keypair.from_seed(b"e" * 32).pubkey())
ROOT = "/api/wallet/withdrawals/"


async def holder(world: VirtualWorld, name: str, usdc: str = "5.00") -> tuple[str, str]:
    """Somebody with USDC in his own wallet: token, address. From now on Circle waits for PINs."""
    _, token = await People(world).sign_up(name)
    address = (await has_wallet(world, token))["circle_wallet_address"]
    await world.circle_post("/_sandbox/faucet", {"address": address, "usdc": usdc, "sol": "0.05"})
    await world.circle_post("/_sandbox/pin", {"mode": "manual"})
    await world.clock.sleep(30)
    return token, address


async def ask(world: VirtualWorld, token: str, amount: str = "1.25", to: str = EXCHANGE) -> Any:
    return await world.call("POST", ROOT, {"destination_address": to, "amount": amount}, token)


async def give_pin(world: VirtualWorld, token: str, withdrawal_id: int) -> None:
    told = await world.call("POST", f"{ROOT}{withdrawal_id}/challenge/", None, token)
    assert told.status == 200, told
    assert set(told.body) == {"app_id", "user_token", "encryption_key", "challenge_id"}
    await world.circle_post(f"/_sandbox/challenges/{told.body['challenge_id']}/complete", {})


async def becomes(world: VirtualWorld, token: str, withdrawal_id: int, state: str) -> dict[str, Any]:
    shown: dict[str, Any] = {}

    async def holds() -> bool:
        shown.update((await world.call("GET", f"{ROOT}{withdrawal_id}/", token=token)).body)
        return bool(shown["state"] == state)

    await world.until(f"the withdrawal is {state}", holds)
    return shown


@on_virtual_time
async def test_a_withdrawal_is_one_though_an_answer_is_lost_and_moves_by_the_pin_alone(tmp_path: Path) -> None:
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    world.circle.faults.add(Rule("/v1/w3s/user/transactions/transfer", Fault.LOSE_ANSWER))
    lost = await ask(world, token)
    assert (lost.status, lost.body["error"]["code"]) == (503, "circle_unavailable")
    made = await ask(world, token)
    assert (made.status, made.body["state"], made.body["amount"]) == (201, "challenge", "1.25")
    assert len((await world.circle_get("/_sandbox/challenges"))["challenges"]) == 1
    again = await ask(world, token)
    assert again.body["id"] == made.body["id"]
    other = await ask(world, token, "2.00")
    assert (other.status, other.body["error"]["code"]) == (409, "withdrawal_open")
    await world.clock.sleep(60)
    assert (await becomes(world, token, made.body["id"], "challenge"))["signature"] is None
    await give_pin(world, token, made.body["id"])
    done = await becomes(world, token, made.body["id"], "completed")
    assert done["signature"]
    assert usdc_of(world, EXCHANGE) == 1_250_000
    assert (await ask(world, token, "2.00")).body["id"] != made.body["id"]
    await world.close()


@on_virtual_time
async def test_what_can_t_be_withdrawn_is_told_before_any_pin(tmp_path: Path) -> None:
    world = VirtualWorld(tmp_path)
    await world.start()
    token, address = await holder(world, "ada")
    for amount, to, code in (
        ("9.00", EXCHANGE, "amount_too_large"),
        ("0", EXCHANGE, "amount_zero"),
        ("1.00", address, "address_own"),
        ("1.00", "1" * 43, "invalid_address"),
    ):
        refused = await ask(world, token, amount, to)
        assert (refused.status, refused.body["error"]["code"]) == (422, code)
    made = await ask(world, token)
    dropped = await world.call("POST", f"{ROOT}{made.body['id']}/drop/", None, token)
    assert dropped.body["state"] == "dropped"
    assert (await world.call("POST", f"{ROOT}{made.body['id']}/challenge/", None, token)).status == 409
    _, stranger = await People(world).sign_up("bob")
    for method, path in (("GET", ""), ("POST", "challenge/"), ("POST", "drop/")):
        answer = await world.call(method, f"{ROOT}{made.body['id']}/{path}", None, stranger)
        assert answer.status == 404
    assert (await ask(world, stranger)).body["error"]["code"] == "wallet_not_ready"
    await world.close()


@on_virtual_time
async def test_a_platform_that_keeps_the_wallets_says_so(tmp_path: Path) -> None:
    world = VirtualWorld(tmp_path, AGENT_USER_WALLETS="developer")
    await world.start()
    _, token = await People(world).sign_up("ada")
    refused = await ask(world, token)
    assert (refused.status, refused.body["error"]["code"]) == (409, "wallet_kept")
    await world.close()


@on_virtual_time
async def test_a_wish_that_circle_refuses_for_a_frozen_wallet_has_failed_and_says_so(tmp_path: Path) -> None:
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    body = b'{"code": 155501, "message": "The wallet is frozen."}'
    world.circle.faults.add(Rule("/v1/w3s/user/transactions/transfer", Fault.STATUS, 1, status=403, body=body))
    refused = await ask(world, token)
    assert (refused.status, refused.body["state"]) == (201, "failed"), refused
    assert (await ask(world, token, "2.00")).body["state"] == "challenge"
    await world.close()


@on_virtual_time
async def test_a_withdrawal_whose_challenge_expired_is_over_and_one_not_shown_may_have_moved(
    tmp_path: Path,
) -> None:
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    made = (await ask(world, token)).body["id"]
    asked = "GET /v1/w3s/user/challenges/"
    missing = b'{"code":155116,"message":"Cannot find the challenge in the system."}'
    world.circle.faults.add(Rule(asked, Fault.STATUS, status=404, body=missing))
    assert (await world.call("GET", f"{ROOT}{made}/", token=token)).body["state"] == "challenge"
    expired = b'{"code":155121,"message":"The challenge had expired."}'
    world.circle.faults.add(Rule(asked, Fault.STATUS, status=403, body=expired))
    shown = (await world.call("GET", f"{ROOT}{made}/", token=token)).body
    assert (shown["state"], shown["reason"]) == ("failed", "Circle: expired")
    await world.close()


@on_virtual_time
async def test_what_the_pin_was_given_for_is_not_called_dropped(tmp_path: Path) -> None:
    """Its owner saw it dropped while Circle sent it, and could send it once more."""
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    made = (await ask(world, token)).body["id"]
    drop = f"{ROOT}{made}/drop/"
    world.circle.faults.add(Rule("GET /v1/w3s/user/challenges/", Fault.STATUS, status=503))
    unknown = await world.call("POST", drop, None, token)
    assert (unknown.status, unknown.body["error"]["code"]) == (503, "circle_unavailable")
    await give_pin(world, token, made)
    dropped = await world.call("POST", drop, None, token)
    assert (dropped.status, dropped.body["state"]) == (200, "sending")
    assert (await becomes(world, token, made, "completed"))["signature"]
    assert (await world.call("POST", drop, None, token)).body["state"] == "completed"
    assert usdc_of(world, EXCHANGE) == 1_250_000
    await world.close()


@pytest.mark.parametrize(
    ("code", "why"), [(155201, "not enough native token"), (155258, "the asset amount is insufficient")]
)
@on_virtual_time
async def test_a_wish_for_which_his_wallet_lacks_something_has_failed_and_says_what(
    code: int, why: str, tmp_path: Path
) -> None:
    """He was told that Circle does not answer, each time, and could wish for nothing else."""
    world = VirtualWorld(tmp_path)
    await world.start()
    token, _ = await holder(world, "ada")
    body = json.dumps({"code": code, "message": why}).encode()
    world.circle.faults.add(Rule("/v1/w3s/user/transactions/transfer", Fault.STATUS, 1, status=400, body=body))
    refused = await ask(world, token)
    assert (refused.status, refused.body["state"]) == (201, "failed"), refused
    assert why in refused.body["reason"]
    assert (await ask(world, token, "2.00")).body["state"] == "challenge"
    await world.close()
