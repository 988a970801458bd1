"""Sending, simulating and reading transactions over JSON-RPC: legacy, v0 and v1."""

import base64
import struct

import pytest
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit, set_compute_unit_price
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, TransactionConfig, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sandbox.solana_node.execution import decode, price_of
from tests.sandbox.solana.world import SOL, World, memo

LOOKUP_TABLES = Pubkey.from_string("AddressLookupTab1e1111111111111111111111111")
PROCESSED = {"commitment": "processed"}


@pytest.mark.parametrize(("form", "version"), [("legacy", "legacy"), ("v0", 0), ("v1", 1)])
def test_a_token_payment_is_told_in_full_for_every_format(world: World, form: str, version: object) -> None:
    world.node.mint_usdc(world.alice.pubkey(), 5_000_000)
    world.pass_slots(40)
    raw = world.pay_usdc(2_000_000, world.bob.pubkey(), form=form)
    signature = world.send(raw)
    world.pass_slots(40)
    told = world.rpc("getTransaction", signature, {"encoding": "json", "maxSupportedTransactionVersion": 1})
    meta = told["meta"]
    keys = told["transaction"]["message"]["accountKeys"]
    assert (told["version"], meta["err"], meta["fee"]) == (version, None, 5000)
    assert told["blockTime"] == world.rpc("getBlockTime", told["slot"])
    before = {entry["owner"]: entry["uiTokenAmount"]["amount"] for entry in meta["preTokenBalances"]}
    after = {entry["owner"]: entry["uiTokenAmount"]["amount"] for entry in meta["postTokenBalances"]}
    alice, bob = str(world.alice.pubkey()), str(world.bob.pubkey())
    assert (before, after) == ({alice: "5000000"}, {alice: "3000000", bob: "2000000"})
    assert meta["postTokenBalances"][0]["mint"] == str(world.node.usdc_mint)
    assert meta["preBalances"][0] - meta["postBalances"][0] == 5000 + world.node.minimum_rent(165)
    assert [group["index"] for group in meta["innerInstructions"]] == [0]
    assert meta["logMessages"][-1].endswith("success")
    assert len(meta["preBalances"]) == len(meta["postBalances"]) == len(keys)
    assert meta["computeUnitsConsumed"] > 0
    body = world.rpc("getTransaction", signature, {"encoding": "base64", "maxSupportedTransactionVersion": 1})
    assert base64.b64decode(body["transaction"][0]) == raw


@pytest.mark.parametrize("form", ["legacy", "v0"])
def test_while_blocks_are_full_what_bids_too_little_is_taken_and_never_lands(world: World, form: str) -> None:
    world.node.least_price = 1_000
    lost, landed = (
        world.send(world.signed(set_compute_unit_price(price), memo(f"{price}"), form=form)) for price in (999, 1_000)
    )
    world.pass_slots(40)
    statuses = world.rpc("getSignatureStatuses", [lost, landed])["value"]
    assert [one is not None for one in statuses] == [False, True]


def test_a_v1_transaction_bids_by_its_whole_fee(world: World) -> None:
    config = TransactionConfig(priority_fee=50, compute_unit_limit=100_000)
    message = MessageV1.try_compile(world.alice.pubkey(), [memo("v1")], world.blockhash(), config)
    wire = bytes(VersionedTransaction(message, [world.alice]))
    assert price_of(decode(wire, world.node.accounts)) == 500


def test_json_parsed_names_transfers_and_marks_signers(world: World) -> None:
    world.node.mint_usdc(world.alice.pubkey(), 5_000_000)
    world.pass_slots(40)
    signature = world.send(world.signed(world.usdc_step(7, world.alice.pubkey()), memo("hello")))
    world.pass_slots(40)
    message = world.rpc("getTransaction", signature, "jsonParsed")["transaction"]["message"]
    assert message["instructions"][0]["parsed"]["type"] == "transferChecked"
    assert message["instructions"][0]["parsed"]["info"]["tokenAmount"]["uiAmountString"] == "0.000007"
    assert message["instructions"][1]["parsed"] == "hello"
    assert message["accountKeys"][0] | {"pubkey": ""} == {
        "pubkey": "",
        "signer": True,
        "source": "transaction",
        "writable": True,
    }


def test_a_newer_version_than_the_client_reads_is_refused(world: World) -> None:
    signatures = {form: world.send(world.pay(SOL, form=form)) for form in ("legacy", "v0", "v1")}
    world.pass_slots(40)
    assert world.rpc("getTransaction", signatures["legacy"])["meta"]["err"] is None
    for form, asked, named in (("v0", {}, 0), ("v1", {}, 1), ("v1", {"maxSupportedTransactionVersion": 0}, 1)):
        error = world.error("getTransaction", signatures[form], asked)
        assert error["code"] == -32015
        assert error["message"].startswith(f"Transaction version ({named}) is not supported by the requesting client.")


def test_looked_up_addresses_are_told_apart_from_the_static_ones(world: World) -> None:
    table, target = Keypair().pubkey(), world.bob.pubkey()
    header = struct.pack("<IQQBB32sH", 1, 2**64 - 1, 0, 0, 0, b"", 0)
    world.node.place_account(table, Account(SOL, header + bytes(target), LOOKUP_TABLES))
    step = transfer(TransferParams(from_pubkey=world.alice.pubkey(), to_pubkey=target, lamports=SOL // 2))
    message = MessageV0.try_compile(
        world.alice.pubkey(), [step], [AddressLookupTableAccount(table, [target])], world.blockhash()
    )
    signature = world.send(bytes(VersionedTransaction(message, [world.alice])))
    assert world.lamports(world.bob) == SOL // 2
    world.pass_slots(40)
    told = world.rpc("getTransaction", signature, {"encoding": "json", "maxSupportedTransactionVersion": 0})
    assert told["meta"]["loadedAddresses"] == {"writable": [str(target)], "readonly": []}
    assert told["meta"]["postBalances"][-1] == SOL // 2
    assert str(target) not in told["transaction"]["message"]["accountKeys"]
    assert world.rpc("getSignaturesForAddress", str(target))[0]["signature"] == signature


def test_a_transaction_is_not_told_before_its_commitment(world: World) -> None:
    signature = world.send(world.pay(SOL))
    assert world.rpc("getTransaction", signature, {"commitment": "confirmed"}) is None
    world.pass_slots(1)
    assert world.rpc("getTransaction", signature, {"commitment": "confirmed"}) is not None
    assert world.rpc("getTransaction", signature) is None
    error = world.error("getTransaction", signature, {"commitment": "processed"})
    assert error == {"code": -32602, "message": "Method does not support commitment below `confirmed`"}


def test_preflight_words_a_failure_as_a_node_does(world: World) -> None:
    refusal = world.refuse(world.pay(1000 * SOL))
    assert refusal["code"] == -32002
    assert refusal["message"] == (
        "Transaction simulation failed: Error processing Instruction 0: custom program error: 0x1"
    )
    assert refusal["data"]["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert refusal["data"]["logs"][-1].endswith("custom program error: 0x1")
    assert world.lamports(world.bob) == 0


def test_1232_bytes_pass_and_1233_do_not_but_v1_may_have_4096(world: World) -> None:
    def sized(target: int, form: str) -> bytes:
        size = len(world.signed(memo("x" * 200), form=form))
        return world.signed(memo("x" * (200 + target - size)), form=form)

    assert len(sized(1232, "v0")) == 1232
    world.send(sized(1232, "v0"), skipPreflight=True)
    refusal = world.refuse(sized(1233, "v0"))
    assert (refusal["code"], "too large" in refusal["message"]) == (-32602, True)
    assert refusal["message"].endswith("(max: encoded/raw 1644/1232)")
    world.send(sized(1233, "v1"), skipPreflight=True)
    assert world.refuse(sized(4097, "v1"))["code"] == -32602


def test_missing_foreign_and_garbled_signatures_are_refused(world: World) -> None:
    message = Message.new_with_blockhash([world.refund_step()], world.bob.pubkey(), world.blockhash())
    unsigned = VersionedTransaction.populate(message, [Signature.default()])
    foreign = VersionedTransaction.populate(message, [world.alice.sign_message(bytes(message))])
    for transaction in (unsigned, foreign):
        refusal = world.refuse(bytes(transaction), skipPreflight=True)
        assert refusal == {"code": -32003, "message": "Transaction signature verification failure"}


@pytest.mark.parametrize("raw", [b"", b"\x00", b"hello", bytes(300), b"\x01" * 300])
def test_bytes_that_are_no_transaction_are_bad_parameters(world: World, raw: bytes) -> None:
    assert world.refuse(raw)["code"] == -32602


def test_bytes_behind_a_transaction_are_bad_parameters(world: World) -> None:
    assert world.refuse(world.pay(SOL) + b"\x00")["code"] == -32602


def test_a_simulation_changes_nothing_and_can_show_the_accounts_after(world: World) -> None:
    raw = base64.b64encode(world.pay(SOL)).decode()
    shown = {"encoding": "base64", "addresses": [str(world.bob.pubkey())]}
    value = world.rpc("simulateTransaction", raw, {"encoding": "base64", "accounts": shown})["value"]
    assert (value["err"], value["unitsConsumed"], value["accounts"][0]["lamports"]) == (None, 150, SOL)
    assert world.lamports(world.bob) == 0


def test_a_simulation_may_replace_an_expired_blockhash_and_skip_signatures(world: World) -> None:
    message = Message.new_with_blockhash([world.refund_step()], world.alice.pubkey(), world.blockhash())
    unsigned = VersionedTransaction.populate(message, [Signature.default(), Signature.default()])
    raw = base64.b64encode(bytes(unsigned)).decode()
    world.pass_slots(400)
    config = {"encoding": "base64"}
    assert world.rpc("simulateTransaction", raw, config)["value"]["err"] == "BlockhashNotFound"
    value = world.rpc("simulateTransaction", raw, config | {"replaceRecentBlockhash": True})["value"]
    assert value["err"] == {"InstructionError": [0, {"Custom": 1}]}
    assert value["replacementBlockhash"]["blockhash"] == str(world.blockhash())
    assert world.error("simulateTransaction", raw, config | {"sigVerify": True})["code"] == -32003


def test_the_fee_of_a_message_counts_signatures_and_priority(world: World) -> None:
    steps = [set_compute_unit_limit(200_000), set_compute_unit_price(1_000_000), memo("x")]
    message = MessageV0.try_compile(world.alice.pubkey(), steps, [], world.blockhash())
    asked = base64.b64encode(to_bytes_versioned(message)).decode()
    assert world.rpc("getFeeForMessage", asked)["value"] == 5000 + 200_000
    world.pass_slots(400)
    assert world.rpc("getFeeForMessage", asked)["value"] is None


def test_signatures_of_an_address_are_paged_newest_first(world: World) -> None:
    signatures = []
    for index in range(7):
        signatures.append(world.send(world.pay(SOL + index)))
        if index % 2:
            world.pass_slots(1)
    world.pass_slots(40)
    newest_first = signatures[::-1]
    bob = str(world.bob.pubkey())

    def page(**config: object) -> list[str]:
        return [entry["signature"] for entry in world.rpc("getSignaturesForAddress", bob, config)]

    assert page() == newest_first
    assert page(limit=3) == newest_first[:3]
    assert page(limit=3, before=newest_first[2]) == newest_first[3:6]
    assert page(until=newest_first[4]) == newest_first[:4]
    assert page(before=newest_first[1], until=newest_first[5]) == newest_first[2:5]
    assert page(before=str(Signature.default())) == []
    assert world.error("getSignaturesForAddress", bob, {"limit": 1001})["code"] == -32602


def test_signatures_of_an_address_carry_memo_error_and_commitment(world: World) -> None:
    world.send(world.signed(memo("order 17")))
    failed = world.send(world.pay(1000 * SOL), skipPreflight=True)
    world.pass_slots(1)
    alice = str(world.alice.pubkey())
    listed = world.rpc("getSignaturesForAddress", alice, {"commitment": "confirmed"})
    assert (listed[0]["signature"], listed[0]["err"]) == (failed, {"InstructionError": [0, {"Custom": 1}]})
    assert (listed[1]["memo"], listed[1]["confirmationStatus"]) == ("[8] order 17", "confirmed")
    assert failed not in [entry["signature"] for entry in world.rpc("getSignaturesForAddress", alice)]
    tip = world.node.tip()
    assert world.error("getSignaturesForAddress", alice, {"minContextSlot": tip})["code"] == -32016


def test_256_statuses_are_answered_and_257_are_not(world: World) -> None:
    known = world.send(world.pay(SOL))
    values = world.rpc("getSignatureStatuses", [str(Signature.default())] * 255 + [known])["value"]
    assert (len(values), values[0], values[-1]["confirmations"]) == (256, None, 0)
    assert world.error("getSignatureStatuses", [known] * 257)["code"] == -32602


def test_an_airdrop_is_a_transaction_like_any_other(world: World) -> None:
    signatures = {world.rpc("requestAirdrop", str(world.bob.pubkey()), SOL) for _ in range(3)}
    assert len(signatures) == 3
    assert world.rpc("getBalance", str(world.bob.pubkey()), PROCESSED)["value"] == 3 * SOL
