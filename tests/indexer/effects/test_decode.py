import base64
import copy
import json
import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from chain import programs
from indexer.effects.decode import decode_transaction
from indexer.effects.errors import MalformedAnswer
from indexer.effects.facts import NftMetadata, NftMove, TokenMovement, TransactionFacts
from indexer.effects.shape import guarded
from sandbox.solana_node.token_layouts import TOKEN, associated_token_address
from tests.chain.world import BUYER, PLATFORM, World, a_plan
from tests.indexer.effects.answers import (
    BLOCK_TIME,
    CREATOR,
    CREATOR_ACCOUNT,
    PAID,
    PLATFORM_WALLET,
    SLOT,
    SPONSOR,
    TREASURY,
    USDC,
    Holding,
    Json,
    answer,
    base58,
    compiled,
    memo_instruction,
    run_on_svm,
    transfer_instruction,
)
from tests.sandbox.solana import world as sandbox

VERSIONS = ["legacy", "0", "0 with table", "1"]
ENCODINGS = ["base64", "json"]
OUT = TokenMovement(TREASURY, PLATFORM_WALLET, USDC, programs.TOKEN, 100_000_000, 97_650_000, 6)
IN = TokenMovement(CREATOR_ACCOUNT, CREATOR, USDC, programs.TOKEN, 0, 2_350_000, 6)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("checked", [True, False])
def test_a_usdc_transfer_reads_the_same_in_every_version_and_encoding(
    version: str, encoding: str, checked: bool
) -> None:
    instructions = [transfer_instruction(checked=checked), memo_instruction("purchase-pi_1-distribution é".encode())]
    if not checked and version == "0 with table":
        instructions.append(transfer_instruction())
    facts = decode_transaction(answer(compiled(version, instructions), encoding=encoding))
    assert set(facts.token_movements) == {OUT, IN}
    assert [one.delta for one in facts.token_movements if one.account == TREASURY] == [-2_350_000]
    assert [(one.account, one.delta) for one in facts.lamport_movements] == [(PLATFORM_WALLET, -5000)]
    assert facts.memos == ("purchase-pi_1-distribution é",)
    assert (facts.slot, facts.block_time, facts.fee_lamports) == (SLOT, BLOCK_TIME, 5000)
    assert (facts.fee_payer, facts.signers) == (PLATFORM_WALLET, (PLATFORM_WALLET,))
    assert facts.version == (version if version == "legacy" else int(version[0]))
    assert facts.err is None
    assert facts.nft_mints == ()
    assert {TREASURY, CREATOR_ACCOUNT, programs.TOKEN} <= set(facts.account_keys)


def test_keys_from_lookup_tables_come_after_the_static_ones_writable_first() -> None:
    facts = decode_transaction(answer(compiled("0 with table", [transfer_instruction()])))
    assert facts.account_keys[-2:] == (CREATOR_ACCOUNT, USDC)


def test_accounts_that_exist_only_before_or_only_after_are_movements() -> None:
    opened = Holding(CREATOR_ACCOUNT, CREATOR, None, 2_350_000)
    closed = Holding(TREASURY, PLATFORM_WALLET, 2_350_000, None)
    facts = decode_transaction(answer(compiled("legacy", [transfer_instruction()]), (opened, closed)))
    assert {(one.account, one.before, one.after, one.delta) for one in facts.token_movements} == {
        (CREATOR_ACCOUNT, None, 2_350_000, 2_350_000),
        (TREASURY, 2_350_000, None, -2_350_000),
    }


def test_an_account_that_changes_its_owner_leaves_one_and_reaches_the_other() -> None:
    raw: Any = answer(compiled("legacy", [transfer_instruction()]), (Holding(TREASURY, PLATFORM_WALLET, 7, 7),))
    assert decode_transaction(raw).token_movements == ()
    raw["meta"]["postTokenBalances"][0]["owner"] = CREATOR
    moved = decode_transaction(raw).token_movements
    assert [(one.owner, one.delta) for one in moved] == [(PLATFORM_WALLET, -7), (CREATOR, 7)]


def test_a_failed_transaction_keeps_its_error_and_its_fee() -> None:
    err = {"InstructionError": [0, {"Custom": 1}]}
    unmoved = tuple(Holding(one.account, one.owner, one.before, one.before) for one in PAID)
    facts = decode_transaction(answer(compiled("legacy", [transfer_instruction()]), unmoved, err=err))
    assert facts.err == err
    assert not facts.succeeded
    assert facts.token_movements == ()
    assert facts.fee_lamports == 5000


def test_a_sponsor_is_the_fee_payer() -> None:
    message = compiled("0", [transfer_instruction()], SPONSOR)
    facts = decode_transaction(answer(message, signers=(SPONSOR, PLATFORM)))
    assert facts.fee_payer == str(SPONSOR.pubkey())
    assert facts.signers == (str(SPONSOR.pubkey()), PLATFORM_WALLET)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_the_minted_nft_is_read_from_a_real_run(encoding: str) -> None:
    world, plan = World(), a_plan()
    facts = decode_transaction(run_on_svm(world, world.sign(world.wire(plan)), encoding))
    (made,) = facts.nft_mints
    assert (made.mint, made.program) == (plan.mint_address, programs.TOKEN_2022)
    assert (made.account, made.owner) == (plan.buyer_account, str(BUYER.pubkey()))
    assert made.authority_removed
    assert made.freeze_authority is None
    assert made.metadata_address == plan.mint_address
    assert made.metadata == NftMetadata(plan.name, plan.symbol, plan.uri)


def test_a_memo_said_by_another_program_inside_is_heard() -> None:
    raw: Any = answer(compiled("legacy", [transfer_instruction(), memo_instruction(b"outer")]), encoding="json")
    outer = raw["transaction"]["message"]["instructions"][1]
    raw["meta"]["innerInstructions"] = [{"index": 0, "instructions": [{**outer, "stackHeight": 2}]}]
    assert decode_transaction(raw).memos == ("outer", "outer")


def test_a_program_may_say_ten_kib_inside_a_transaction() -> None:
    raw: Any = answer(compiled("legacy", [transfer_instruction(), memo_instruction(b"outer")]), encoding="json")
    outer = raw["transaction"]["message"]["instructions"]
    long = bytes(range(128)) * 80
    said = [{**one, "data": base58(long), "stackHeight": 2} for one in outer]
    raw["meta"]["innerInstructions"] = [{"index": 0, "instructions": said}]
    facts = decode_transaction(raw)
    assert facts.memos == (long.decode(), "outer")
    assert set(facts.token_movements) == {OUT, IN}


def test_the_answer_for_another_signature_is_refused() -> None:
    raw = answer(compiled("legacy", [transfer_instruction()]))
    signature = decode_transaction(raw).signature
    assert decode_transaction(raw, signature).signature == signature
    with pytest.raises(MalformedAnswer):
        decode_transaction(raw, str(Keypair().sign_message(b"other")))


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("version", [None, "0", 2, -1, True, 0.0, {}])
def test_a_version_that_no_transaction_has_is_refused(version: object, encoding: str) -> None:
    raw = answer(compiled("0", [transfer_instruction()]), encoding=encoding)
    raw["version"] = version
    with pytest.raises(MalformedAnswer):
        decode_transaction(raw)


@pytest.mark.parametrize("version", ["legacy", 1])
def test_a_version_that_the_bytes_do_not_have_is_refused(version: object) -> None:
    raw = answer(compiled("0", [transfer_instruction()]))
    raw["version"] = version
    with pytest.raises(MalformedAnswer):
        decode_transaction(raw)


@pytest.mark.parametrize("key", ["err", "fee", "preBalances", "postBalances", "preTokenBalances", "postTokenBalances"])
@pytest.mark.parametrize("gone", [True, False])
def test_a_missing_or_null_part_is_refused_and_never_read_as_nothing_moved(key: str, gone: bool) -> None:
    raw: Any = answer(compiled("legacy", [transfer_instruction()]))
    raw["meta"][key] = None
    if gone:
        del raw["meta"][key]
    elif key == "err":
        return
    with pytest.raises(MalformedAnswer):
        decode_transaction(raw)


@pytest.mark.parametrize("result", [None, [], "x", 1, {}, {"meta": None}, {"meta": {}, "transaction": ["", "base64"]}])
def test_no_transaction_at_all_is_malformed(result: object) -> None:
    with pytest.raises(MalformedAnswer):
        decode_transaction(result)


GOLDEN = [
    *(
        answer(compiled(version, [transfer_instruction(), memo_instruction(b"m")]), encoding=encoding)
        for version in VERSIONS
        for encoding in ENCODINGS
    ),
    *(run_on_svm(world, world.sign(world.wire(a_plan())), enc) for enc in ENCODINGS for world in [World()]),
]
JUNK: st.SearchStrategy[object] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**70), 2**70),
    st.floats(),
    st.text(max_size=20),
    st.sampled_from(["AQAB", USDC, "base64", "legacy", "²", "1" * 7000, "\ud800"]),
    st.lists(st.integers(), max_size=3),
    st.dictionaries(st.text(max_size=3), st.none(), max_size=2),
)


def _paths(value: object, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    found = [at] if at else []
    children: Any = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        found += _paths(child, (*at, key))
    return found


@settings(max_examples=500)
@given(data=st.data(), which=st.integers(0, len(GOLDEN) - 1))
def test_no_mutated_answer_raises_anything_but_malformed(data: st.DataObject, which: int) -> None:
    raw: Any = copy.deepcopy(GOLDEN[which])
    for _ in range(data.draw(st.integers(1, 3))):
        path = data.draw(st.sampled_from(_paths(raw)))
        parent = raw
        for key in path[:-1]:
            parent = parent[key]
        if data.draw(st.booleans()):
            parent[path[-1]] = data.draw(JUNK)
        elif isinstance(parent, dict) or len(parent) > path[-1]:
            del parent[path[-1]]
    _decode_or_malformed(raw)


@settings(max_examples=400)
@given(data=st.data(), which=st.integers(0, len(GOLDEN) - 1))
def test_no_mutated_bytes_of_the_transaction_raise_anything_but_malformed(data: st.DataObject, which: int) -> None:
    raw: Any = copy.deepcopy(GOLDEN[which])
    if isinstance(raw["transaction"], dict):
        return
    wire = bytearray(base64.b64decode(raw["transaction"][0]))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(wire)))
    for mutated in (wire, wire[:cut], wire + wire[:cut]):
        raw["transaction"][0] = base64.b64encode(bytes(mutated)).decode()
        _decode_or_malformed(raw)


@settings(max_examples=100)
@given(st.recursive(JUNK, lambda inner: st.dictionaries(st.sampled_from(["meta", "transaction", "slot"]), inner)))
def test_no_invented_answer_raises_anything_but_malformed(invented: object) -> None:
    _decode_or_malformed(invented)


def _decode_or_malformed(raw: object) -> None:
    try:
        facts = decode_transaction(raw)
    except MalformedAnswer:
        return
    assert isinstance(facts.slot, int)
    assert all(isinstance(one.delta, int) for one in facts.token_movements)


def test_a_panic_inside_the_rust_library_becomes_a_malformed_answer() -> None:
    with pytest.raises(BaseException, match="unwrap") as panic:
        Pubkey.from_bytes(b"short")
    assert not isinstance(panic.value, Exception), "the trap that the border is there for"
    with pytest.raises(MalformedAnswer):
        guarded(lambda: Pubkey.from_bytes(b"short"), "key", "an address")


def test_an_interrupt_is_not_taken_for_a_bad_answer() -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        guarded(interrupted, "key", "an address")


def test_the_golden_answers_are_json() -> None:
    for one in GOLDEN:
        parsed: Json = json.loads(json.dumps(one))
        assert decode_transaction(parsed) == decode_transaction(one)


def landed(world: sandbox.World, signature: str, encoding: str) -> TransactionFacts:
    """What the sandbox's node answers about a transaction that ran, decoded."""
    world.pass_slots(40)
    config = {"encoding": encoding, "maxSupportedTransactionVersion": 1}
    return decode_transaction(world.rpc("getTransaction", signature, config), signature)


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_an_nft_that_moves_on_is_told_from_one_that_is_made(encoding: str) -> None:
    world = sandbox.World()
    world.node.airdrop(world.bob.pubkey(), sandbox.SOL)
    mint, friend = sandbox.nft_address(world.alice.pubkey()), Keypair.from_seed(bytes([21] * 32)).pubkey()
    made = landed(world, world.send(sandbox.mint_nft(world, world.bob.pubkey())), encoding)
    assert ([one.mint for one in made.nft_mints], made.nft_moves) == ([str(mint)], ())
    moved = landed(world, world.send(sandbox.move_nft(world, mint, world.bob, friend), skipPreflight=True), encoding)
    assert moved.nft_mints == ()
    assert moved.nft_moves == (NftMove(str(mint), str(world.bob.pubkey()), str(friend)),)


@pytest.mark.parametrize("encoding", ENCODINGS)
@pytest.mark.parametrize("form", ["legacy", "v0", "v1"])
def test_usdc_is_read_by_owner_from_real_runs_whether_checked_or_not_and_wherever_it_is_said(
    form: str, encoding: str
) -> None:
    """The token account is made by an inner instruction, the transfer names no mint, a memo stands beside it."""
    world = sandbox.World()
    alice, bob, usdc = world.alice.pubkey(), world.bob.pubkey(), str(world.node.usdc_mint)
    world.node.mint_usdc(alice, 10_000_000)
    source, target = (associated_token_address(one, world.node.usdc_mint) for one in (alice, bob))
    accounts = [AccountMeta(source, False, True), AccountMeta(target, False, True), AccountMeta(alice, True, False)]
    unchecked = Instruction(TOKEN, struct.pack("<BQ", 3, 2_350_000), accounts)
    steps = (sandbox.create_ata(alice, bob, world.node.usdc_mint), unchecked, sandbox.memo("thanks"))
    facts = landed(world, world.send(world.signed(*steps, form=form), skipPreflight=True), encoding)
    assert facts.succeeded
    moved = {(one.owner, one.mint): one.delta for one in facts.token_movements}
    assert moved == {(str(alice), usdc): -2_350_000, (str(bob), usdc): 2_350_000}
    assert {one.decimals for one in facts.token_movements} == {6}
    assert (facts.memos, facts.fee_lamports, facts.nft_moves) == (("thanks",), 5000, ())
    rent = world.node.minimum_rent(165)
    assert {one.account: one.delta for one in facts.lamport_movements} == {str(alice): -rent - 5000, str(target): rent}


@pytest.mark.parametrize("encoding", ENCODINGS)
def test_a_receipt_shows_by_its_seed_and_a_failed_run_moves_nothing(encoding: str) -> None:
    world = sandbox.World()
    alice = world.alice.pubkey()
    made = landed(world, world.send(sandbox.mint_nft(world, world.bob.pubkey())), encoding)
    (allocated,) = made.allocations
    assert (allocated.base, allocated.seed) == (str(alice), sandbox.NFT_SEED)
    assert allocated.address == str(sandbox.nft_address(alice))
    again = landed(world, world.send(sandbox.mint_nft(world, world.bob.pubkey()), skipPreflight=True), encoding)
    assert again.err is not None
    assert (again.token_movements, again.nft_mints, again.nft_moves) == ((), (), ())
    assert again.fee_lamports == 5000
