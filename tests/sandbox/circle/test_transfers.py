"""Transfers really happen on the chain, through Circle's states."""

import pytest
from solders.keypair import Keypair

from sandbox.circle_service import Switches
from tests.sandbox.circle.world import SOL, USDC, USDC_MINT, World


def stranger(number: int = 1) -> str:
    return str(Keypair.from_seed(bytes([number]) * 32).pubkey())


def test_a_transfer_goes_through_every_state_and_pays_on_the_chain(world: World) -> None:
    platform = world.platform(usdc=100)
    world.post("/v2/notifications/subscriptions", {"endpoint": "http://127.0.0.1:1/hook"})
    answer = world.transfer(world.order(platform.wallet_id, stranger(), "12.5", refId="payout-1"))
    assert answer.status == 201
    assert answer.data["state"] == "INITIATED"
    world.pass_ms(15_000)
    done = world.transaction(answer.data["id"])
    assert done["state"] == "COMPLETE"
    assert done["refId"] == "payout-1"
    assert done["amounts"] == ["12.5"]
    assert done["networkFee"].startswith("0.0000052")
    assert world.node.signature_status(done["txHash"]) is not None
    assert world.usdc_of(stranger()) == 12_500_000
    assert world.usdc_of(platform.address) == 87_500_000
    states = [note["notification"]["state"] for note in world.notifications("transactions.outbound")]
    assert states == ["INITIATED", "CLEARED", "QUEUED", "SENT", "CONFIRMED", "COMPLETE"]


def test_the_hash_appears_with_sent_and_not_before(world: World) -> None:
    platform = world.platform(usdc=1)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    seen = {}
    for _ in range(100):
        now = world.transaction(sent)
        seen[now["state"]] = "txHash" in now
        world.pass_ms(10)
    assert not seen["INITIATED"]
    assert not seen["QUEUED"]
    assert seen["SENT"]


def test_the_wallet_pays_the_rent_of_a_missing_account_once(world: World) -> None:
    platform = world.platform(usdc=10)
    before = world.lamports_of(platform.address)
    for _ in range(2):
        world.transfer(world.order(platform.wallet_id, stranger(), "1"))
        world.pass_ms(10_000)
    spent = before - world.lamports_of(platform.address)
    assert world.node.minimum_rent(165) < spent < world.node.minimum_rent(165) + 12_000


def test_equal_transfers_at_the_same_moment_are_two_payments(world: World) -> None:
    platform = world.platform(usdc=10)
    for _ in range(3):
        assert world.transfer(world.order(platform.wallet_id, stranger(), "2")).status == 201
    world.pass_ms(15_000)
    assert world.usdc_of(stranger()) == 6 * USDC


def test_more_than_the_balance_is_refused_at_once_counting_what_is_on_its_way(world: World) -> None:
    platform = world.platform(usdc=10)
    assert world.transfer(world.order(platform.wallet_id, stranger(), "6")).status == 201
    assert world.transfer(world.order(platform.wallet_id, stranger(), "4.000001")).failure == (400, 155258)
    assert world.transfer(world.order(platform.wallet_id, stranger(), "4")).status == 201
    world.pass_ms(15_000)
    assert world.usdc_of(stranger()) == 10 * USDC


def test_a_balance_that_has_landed_but_not_been_polled_is_not_counted_twice(world: World) -> None:
    platform = world.platform(usdc=10)
    first = world.transfer(world.order(platform.wallet_id, stranger(), "6")).data["id"]
    while world.transaction(first)["state"] != "SENT":
        world.pass_ms(10)
    world.now_ms += 600
    assert world.transaction(first)["state"] == "SENT"
    assert world.transfer(world.order(platform.wallet_id, stranger(), "4")).status == 201


def test_insufficient_funds_can_fail_later_instead() -> None:
    world = World(switches=Switches(insufficient_async=True))
    platform = world.platform(usdc=1)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "2")).data["id"]
    world.pass_ms(2_000)
    failed = world.transaction(sent)
    assert (failed["state"], failed["errorDetails"]) == ("FAILED", "Insufficient balance")
    assert failed["errorReason"] == "INSUFFICIENT_TOKEN"
    assert "txHash" not in failed


def test_a_wallet_without_sol_fails_with_the_reason(world: World) -> None:
    platform = world.platform(usdc=1, sol=0)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    world.pass_ms(2_000)
    assert world.transaction(sent)["errorReason"] == "INSUFFICIENT_NATIVE_TOKEN"


def test_native_sol_moves_by_an_empty_token_address(world: World) -> None:
    platform = world.platform()
    body = world.signed(
        walletAddress=platform.address,
        blockchain="SOL-DEVNET",
        tokenAddress="",
        destinationAddress=stranger(),
        amounts=[".25"],
        feeLevel="LOW",
    )
    sent = world.transfer(body).data["id"]
    world.pass_ms(10_000)
    assert world.transaction(sent)["state"] == "COMPLETE"
    assert world.lamports_of(stranger()) == SOL // 4


def test_usdc_moves_by_its_mint_address(world: World) -> None:
    platform = world.platform(usdc=1)
    body = world.order(platform.wallet_id, stranger(), "1", tokenAddress=USDC_MINT, blockchain="SOL-DEVNET")
    del body["tokenId"]
    assert world.transfer(body).status == 201


def test_screening_denies_a_listed_address(world: World) -> None:
    platform = world.platform(usdc=1)
    world.call("POST", "/_sandbox/deny", {"address": stranger()}, key=None)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    world.pass_ms(2_000)
    assert world.transaction(sent)["state"] == "DENIED"
    assert world.usdc_of(stranger()) == 0


def test_a_frozen_wallet_sends_nothing(world: World) -> None:
    platform = world.platform(usdc=1)
    frozen = world.call("POST", f"/_sandbox/wallets/{platform.wallet_id}/freeze", {}, key=None)
    assert frozen.json["state"] == "FROZEN"
    assert world.transfer(world.order(platform.wallet_id, stranger(), "1")).failure == (409, 155501)


def test_a_lost_transaction_is_sent_again_with_the_same_bytes(world: World) -> None:
    platform = world.platform(usdc=1)
    world.node.switches.drop_sends = 1
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    world.pass_ms(15_000)
    assert world.transaction(sent)["state"] == "COMPLETE"
    assert world.circle.custody.transfers.signed_again == 0


def test_an_expired_transaction_is_signed_again_and_still_pays_once(world: World) -> None:
    platform = world.platform(usdc=2)
    world.node.switches.drop_sends = 10_000
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    world.pass_ms(1_000)
    first_hash = world.transaction(sent)["txHash"]
    world.node.skip_slots(200)
    world.node.switches.drop_sends = 0
    world.pass_ms(15_000)
    done = world.transaction(sent)
    assert done["state"] == "COMPLETE"
    assert done["txHash"] != first_hash
    assert world.usdc_of(stranger()) == USDC


def test_a_fork_before_confirmation_does_not_lose_or_double_the_payment(world: World) -> None:
    platform = world.platform(usdc=2)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    while world.transaction(sent)["state"] != "SENT":
        world.pass_ms(5)
    world.node.fork(2)
    assert world.usdc_of(stranger()) == 0
    world.pass_ms(20_000)
    assert world.transaction(sent)["state"] == "COMPLETE"
    assert world.usdc_of(stranger()) == USDC


def test_a_transfer_that_fails_on_the_chain_has_a_hash_and_a_fee() -> None:
    world = World(switches=Switches(insufficient_async=True))
    platform = world.platform(usdc=1)
    world.node.switches.land_after_slots = 3
    ids = [world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"] for _ in range(2)]
    world.pass_ms(20_000)
    states = [world.transaction(each) for each in ids]
    assert [each["state"] for each in states] == ["COMPLETE", "FAILED"]
    assert states[1]["errorReason"] == "FAILED_ON_CHAIN"
    assert "txHash" in states[1]
    assert "networkFee" in states[1]


def test_a_deposit_is_listed_inbound_and_notified(world: World) -> None:
    platform = world.platform()
    world.post(
        "/v2/notifications/subscriptions",
        {"endpoint": "http://127.0.0.1:1/hook", "notificationTypes": ["transactions.inbound"]},
    )
    world.call("POST", "/_sandbox/faucet", {"address": platform.address, "usdc": "7.25"}, key=None)
    world.pass_ms(15_000)
    listed = world.get("/v1/w3s/transactions?txType=INBOUND&state=COMPLETE").data["transactions"]
    found = [each for each in listed if each["amounts"] == ["7.25"]]
    assert len(found) == 1
    assert found[0]["walletId"] == platform.wallet_id
    states = [note["notification"]["state"] for note in world.notifications("transactions.inbound")]
    assert states == ["CONFIRMED", "COMPLETE"]


def test_a_payment_between_two_wallets_of_circle_is_one_outbound_and_one_inbound(world: World) -> None:
    platform = world.platform(usdc=3)
    body = world.signed(walletSetId=platform.wallet_set_id, blockchains=["SOL-DEVNET"], count=1)
    other = world.post("/v1/w3s/developer/wallets", body).data["wallets"][0]
    world.transfer(world.order(platform.wallet_id, other["address"], "3"))
    world.pass_ms(15_000)
    arrived = world.get(f"/v1/w3s/transactions?walletIds={other['id']}").data["transactions"]
    assert [(each["transactionType"], each["sourceAddress"]) for each in arrived] == [("INBOUND", platform.address)]
    balances = world.get(f"/v1/w3s/wallets/{other['id']}/balances").data["tokenBalances"]
    assert [(each["amount"], each["token"]["symbol"]) for each in balances] == [("3", "USDC")]


@pytest.mark.parametrize("action", ["cancel", "accelerate"])
def test_neither_cancel_nor_accelerate_works_on_solana(world: World, action: str) -> None:
    platform = world.platform(usdc=1)
    sent = world.transfer(world.order(platform.wallet_id, stranger(), "1")).data["id"]
    answer = world.post(f"/v1/w3s/developer/transactions/{sent}/{action}", world.signed())
    assert answer.failure == (400, 155215)
