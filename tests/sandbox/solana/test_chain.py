"""The chain as a state machine: commitment, blockhashes, forks, lag, loss. No sockets."""

import pytest

from sandbox.solana_node import Commitment, Endpoint, Landed, NodeError
from tests.sandbox.solana.world import SOL, World


def test_a_payment_climbs_from_processed_over_confirmed_to_finalized(world: World) -> None:
    signature = world.send(world.pay(SOL))
    seen = []
    for slots in (0, 1, 31):
        world.pass_slots(slots)
        levels = tuple(world.lamports(world.bob, level) for level in Commitment)
        seen.append((world.status(signature)["confirmationStatus"], levels))
    assert seen == [
        ("processed", (SOL, 0, 0)),
        ("confirmed", (SOL, SOL, 0)),
        ("finalized", (SOL, SOL, SOL)),
    ]


def test_each_commitment_shows_the_balance_as_of_its_own_slot(world: World) -> None:
    for _ in range(3):
        world.send(world.pay(SOL))
        world.pass_slots(1)
    finalized_of_each_slot = []
    for _ in range(34):
        finalized_of_each_slot.append(world.lamports(world.bob, Commitment.FINALIZED) // SOL)
        world.pass_slots(1)
    assert finalized_of_each_slot == [0] * 29 + [1, 2, 3, 3, 3]


def test_the_answer_tells_the_slot_it_was_computed_at(world: World) -> None:
    tip = world.rpc("getSlot", {"commitment": "processed"})
    assert [
        world.rpc("getBalance", str(world.alice.pubkey()), {"commitment": level})["context"]["slot"]
        for level in ("processed", "confirmed", "finalized")
    ] == [tip, tip - 1, tip - 32]


def test_with_equal_depths_confirmed_and_finalized_are_one() -> None:
    world = World(confirmed_slots=1, finality_slots=1)
    signature = world.send(world.pay(SOL))
    world.pass_slots(1)
    assert world.status(signature)["confirmationStatus"] == "finalized"


def test_the_same_bytes_run_once_however_often_they_are_sent(world: World) -> None:
    raw = world.pay(SOL)
    signature = world.send(raw)
    assert [world.send(raw, skipPreflight=True) for _ in range(3)] == [signature] * 3
    world.pass_slots(1)
    assert world.send(raw, skipPreflight=True) == signature
    assert world.lamports(world.bob) == SOL
    refusal = world.refuse(raw, preflightCommitment="processed")
    assert (refusal["code"], refusal["data"]["err"]) == (-32002, "AlreadyProcessed")
    assert refusal["message"] == "Transaction simulation failed: This transaction has already been processed"


def test_a_blockhash_is_good_for_150_blocks_and_not_one_more(world: World) -> None:
    blockhash, last_valid = world.node.latest_blockhash(Commitment.PROCESSED)
    late, too_late = world.pay(1 * SOL, blockhash=blockhash), world.pay(2 * SOL, blockhash=blockhash)
    world.pass_slots(150)
    assert world.rpc("getBlockHeight", {"commitment": "processed"}) == last_valid
    assert world.rpc("isBlockhashValid", str(blockhash), {"commitment": "processed"})["value"] is True
    world.send(late, skipPreflight=True)
    world.pass_slots(1)
    assert world.rpc("isBlockhashValid", str(blockhash), {"commitment": "processed"})["value"] is False
    refusal = world.refuse(too_late, preflightCommitment="processed")
    assert (refusal["code"], refusal["data"]["err"]) == (-32002, "BlockhashNotFound")
    assert refusal["message"] == "Transaction simulation failed: Blockhash not found"
    assert world.status(world.send(too_late, skipPreflight=True), search=True) is None
    assert world.lamports(world.bob) == SOL


def test_preflight_does_not_know_a_blockhash_newer_than_its_own_bank(world: World) -> None:
    blockhash, _ = world.node.latest_blockhash(Commitment.PROCESSED)
    raw = world.pay(SOL, blockhash=blockhash)
    assert world.refuse(raw)["data"]["err"] == "BlockhashNotFound"
    assert world.send(raw, preflightCommitment="processed")


def test_preflight_runs_on_the_state_of_its_commitment(world: World) -> None:
    world.send(world.pay(SOL))
    refund = world.signed(world.refund_step(), by=world.bob)
    refusal = world.refuse(refund, preflightCommitment="finalized")
    assert refusal["data"]["err"] == "AccountNotFound"
    assert world.lamports(world.bob) == SOL
    world.send(refund, preflightCommitment="processed")
    assert world.lamports(world.bob) == SOL // 2 - 5000


def test_skipping_slots_expires_what_was_signed(world: World) -> None:
    raw = world.pay(SOL)
    world.node.skip_slots(200)
    assert world.status(world.send(raw, skipPreflight=True), search=True) is None
    assert world.refuse(raw)["data"]["err"] == "BlockhashNotFound"


def test_a_fork_takes_back_balances_statuses_and_lists_and_the_bytes_may_land_again(world: World) -> None:
    kept = world.send(world.pay(SOL))
    world.pass_slots(5)
    raw = world.pay(2 * SOL)
    signature = world.send(raw)
    world.pass_slots(2)
    dropped = world.node.fork(4)
    assert [landed.signature for landed in dropped] == [signature]
    assert world.lamports(world.bob) == SOL
    assert world.status(signature, search=True) is None
    assert [landed.signature for landed in world.node.transactions_of(world.bob.pubkey())] == [kept]
    assert world.send(raw) == signature
    assert world.lamports(world.bob) == 3 * SOL
    assert [landed.signature for landed in world.node.transactions_of(world.bob.pubkey())] == [signature, kept]


def test_a_fork_undoes_token_accounts_down_to_their_absence(world: World) -> None:
    world.node.mint_usdc(world.alice.pubkey(), 1_000_000)
    world.pass_slots(3)
    world.node.fork(4)
    assert world.node.token_accounts(world.alice.pubkey()) == []
    assert world.rpc("getTokenSupply", str(world.node.usdc_mint), {"commitment": "processed"})["value"]["amount"] == "0"
    world.node.mint_usdc(world.alice.pubkey(), 2_000_000)
    assert len(world.node.token_accounts(world.alice.pubkey())) == 1


def test_a_transaction_signed_on_the_dead_branch_can_never_land(world: World) -> None:
    world.pass_slots(1)
    raw = world.pay(SOL, blockhash=world.node.latest_blockhash(Commitment.PROCESSED)[0])
    world.node.fork(1)
    assert world.refuse(raw, preflightCommitment="processed")["data"]["err"] == "BlockhashNotFound"


def test_the_network_itself_can_carry_dropped_transactions_over(world: World) -> None:
    dropped: list[Landed] = []
    world.node.on_dropped.append(dropped.append)
    signature = world.send(world.pay(SOL))
    world.node.fork(1, reland_after_slots=3)
    assert (len(dropped), world.lamports(world.bob)) == (1, 0)
    world.pass_slots(3)
    assert world.lamports(world.bob) == SOL
    assert world.status(signature)["slot"] == dropped[0].slot + 3


def test_a_fork_never_reaches_finalized_slots(world: World) -> None:
    with pytest.raises(ValueError, match="finalized"):
        world.node.fork(33)


def test_a_late_transaction_lands_in_its_own_slot_even_when_nobody_looked(world: World) -> None:
    world.node.switches.land_after_slots = 20
    signature = world.send(world.pay(SOL))
    sent_at = world.node.tip()
    assert world.status(signature) is None
    world.node.switches.land_after_slots = 0
    world.now_ms += 100 * 10
    assert world.status(signature)["slot"] == sent_at + 20
    assert world.status(signature)["confirmationStatus"] == "finalized"


def test_a_transaction_that_lands_after_its_blockhash_expired_does_not_land(world: World) -> None:
    world.node.switches.land_after_slots = 160
    signature = world.send(world.pay(SOL))
    world.pass_slots(200)
    assert world.status(signature, search=True) is None
    assert world.lamports(world.bob) == 0


def test_a_dropped_send_answers_a_signature_and_nothing_happens_until_sent_again(world: World) -> None:
    world.node.switches.drop_sends = 1
    raw = world.pay(SOL)
    signature = world.send(raw)
    assert world.status(signature, search=True) is None
    assert world.send(raw) == signature
    assert world.status(signature)["err"] is None


def test_a_lagging_endpoint_answers_as_of_its_own_slot_and_the_other_does_not(world: World) -> None:
    world.node.endpoints["/rpc2"] = Endpoint(lag_slots=10)
    signature = world.send(world.pay(SOL))
    world.pass_slots(2)
    level = {"commitment": "processed"}
    bob = str(world.bob.pubkey())
    assert world.rpc("getBalance", bob, level)["value"] == SOL
    assert world.rpc("getBalance", bob, level, path="/rpc2")["value"] == 0
    assert world.rpc("getSlot", level) - world.rpc("getSlot", level, path="/rpc2") == 10
    assert world.status(signature, path="/rpc2") is None
    error = world.error("getBalance", bob, level | {"minContextSlot": world.node.tip()}, path="/rpc2")
    assert error == {
        "code": -32016,
        "message": "Minimum context slot has not been reached",
        "data": {"contextSlot": world.node.tip() - 10},
    }
    world.pass_slots(8)
    assert world.rpc("getBalance", bob, level, path="/rpc2")["value"] == SOL


def test_an_endpoint_far_behind_calls_itself_unhealthy(world: World) -> None:
    world.node.endpoints["/rpc2"] = Endpoint(lag_slots=140)
    assert world.rpc("getHealth") == "ok"
    error = world.error("getHealth", path="/rpc2")
    assert (error["code"], error["data"]) == (-32005, {"numSlotsBehind": 140})


def test_an_endpoint_can_hide_a_signature_and_lie_about_a_method(world: World) -> None:
    signature = world.send(world.pay(SOL))
    world.pass_slots(40)
    bob = str(world.bob.pubkey())
    world.node.endpoints["/rpc2"] = Endpoint(hides={signature}, lies={"getBalance": lambda _: "garbage"})
    assert world.status(signature, path="/rpc2", search=True) is None
    assert world.rpc("getTransaction", signature, path="/rpc2") is None
    assert world.rpc("getSignaturesForAddress", bob, path="/rpc2") == []
    assert world.rpc("getBalance", bob, path="/rpc2") == "garbage"
    assert world.status(signature)["confirmationStatus"] == "finalized"


def test_statuses_are_forgotten_after_150_slots_without_a_history_search(world: World) -> None:
    signature = world.send(world.pay(SOL))
    world.pass_slots(150)
    assert world.status(signature) is not None
    world.pass_slots(1)
    assert world.status(signature) is None
    assert world.status(signature, search=True)["confirmationStatus"] == "finalized"


def test_a_purged_status_cache_forgets_at_once_and_a_node_without_history_for_good(world: World) -> None:
    signature = world.send(world.pay(SOL))
    world.node.purge_status_cache()
    assert world.status(signature) is None
    assert world.status(signature, search=True) is not None
    world.node.endpoints["/"] = Endpoint(keeps_history=False)
    assert world.status(signature, search=True) is None


def test_a_node_that_prunes_its_ledger_tells_where_it_begins_and_forgets_what_was_before(world: World) -> None:
    old, address = world.send(world.pay(SOL)), str(world.alice.pubkey())
    world.pass_slots(100)
    first = world.rpc("getSlot")
    assert world.rpc("getFirstAvailableBlock") == 0
    world.node.endpoints["/"] = Endpoint(ledger_from=first)
    new = world.send(world.pay(SOL))
    world.pass_slots(40)
    assert [one["signature"] for one in world.rpc("getSignaturesForAddress", address)] == [new]
    assert world.status(old, search=True) is None
    assert world.rpc("getFirstAvailableBlock") == first
    assert world.rpc("getBlockTime", first) > 0
    assert world.error("getBlockTime", first - 1)["code"] == -32001
    world.node.endpoints["/"] = Endpoint(keeps_history=False)
    assert world.rpc("getFirstAvailableBlock") == world.node.tip() - 150


def test_a_failing_transaction_that_skips_preflight_lands_with_its_error_and_pays_the_fee(world: World) -> None:
    before = world.lamports(world.alice)
    signature = world.send(world.pay(1000 * SOL), skipPreflight=True)
    assert world.status(signature)["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert world.lamports(world.alice) == before - 5000


def test_who_cannot_pay_the_fee_leaves_no_trace(world: World) -> None:
    raw = world.signed(world.refund_step(), by=world.bob)
    assert world.status(world.send(raw, skipPreflight=True), search=True) is None


def test_listeners_hear_of_every_landing_with_its_token_changes(world: World) -> None:
    heard: list[Landed] = []
    world.node.on_transaction.append(heard.append)
    world.node.mint_usdc(world.alice.pubkey(), 5_000_000)
    world.send(world.pay_usdc(2_000_000, world.bob.pubkey()), preflightCommitment="processed")
    changes = {change.owner: change.delta for change in heard[-1].token_changes()}
    assert changes == {str(world.alice.pubkey()): -2_000_000, str(world.bob.pubkey()): 2_000_000}
    assert len(heard) == 2


def test_the_rent_can_be_changed_and_binds(world: World) -> None:
    before = world.node.minimum_rent(165)
    world.node.set_rent(3480)
    assert world.node.minimum_rent(165) == world.rpc("getMinimumBalanceForRentExemption", 165) < before


def test_an_error_reaches_a_caller_in_the_same_process_as_a_node_error(world: World) -> None:
    with pytest.raises(NodeError) as refused:
        world.node.send_raw(world.pay(1000 * SOL))
    assert refused.value.code == -32002


def test_two_nodes_with_one_seed_are_equal() -> None:
    one, two = World(), World()
    assert one.node.faucet == two.node.faucet
    assert one.blockhash() == two.blockhash()
    assert one.send(one.pay(SOL)) == two.send(two.pay(SOL))


def test_slots_get_longer_and_shorter_from_the_next_one_on(world: World) -> None:
    before, at = world.node.tip(), world.now_ms
    world.node.slots.set_slot_ms(100)
    world.pass_slots(10)  # of 10 ms each
    assert world.node.tip() == before + 1
    world.node.slots.set_slot_ms(5)
    world.now_ms += 10 + 50
    assert world.node.tip() == before + 2 + 10
    assert [world.node.slots.starts_ms(slot) - at for slot in (before, before + 1, before + 2)] == [0, 10, 110]
