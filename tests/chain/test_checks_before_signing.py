import dataclasses

import pytest
from hypothesis import given
from hypothesis import strategies as st
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from chain.nft import ComputeBudget, NftPlan, Token2022Nft, assert_mint_matches
from chain.nft_build import build_mint, mint_instructions
from chain.transactions import blockhash_of, message_bytes, read_transaction, signature_of, with_signature
from domain.errors import Misuse, Rejected
from tests.chain.world import BUYER, PLATFORM, STRANGER, World, a_plan

BLOCKHASH = "9sHcv6xwn9YkB8nxTUGKDwPwNnmqVp5oAXxU8Fdkm4J6"
CEILING = 4_000_000
PLAN = a_plan()
WIRE = build_mint(
    PLAN,
    blockhash=BLOCKHASH,
    rent_lamports=3_695_760,
    mint_lamports_now=0,
    budget=ComputeBudget(100_000, 500),
)
MESSAGE_START = 65


def test_our_own_mint_is_accepted() -> None:
    assert_mint_matches(WIRE, PLAN, CEILING)
    Token2022Nft().verify(WIRE, PLAN, CEILING)


def test_lamports_above_the_ceiling_are_refused() -> None:
    spent = 3_695_760 + 5000 + 50
    assert_mint_matches(WIRE, PLAN, spent)
    with pytest.raises(Rejected) as refused:
        assert_mint_matches(WIRE, PLAN, spent - 1)
    assert refused.value.code == "mint_above_ceiling"


@given(at=st.integers(MESSAGE_START, len(WIRE) - 1), flip=st.integers(1, 255))
def test_any_altered_byte_of_the_message_is_refused(at: int, flip: int) -> None:
    altered = bytearray(WIRE)
    altered[at] ^= flip
    budget, lamports, blockhash = _free_ranges()
    if at in blockhash or at in budget or at in lamports:
        return  # these are bounded by the ceiling and the expiry, not by the plan
    with pytest.raises(Rejected):
        assert_mint_matches(bytes(altered), PLAN, CEILING)


@pytest.mark.parametrize("field", ["seed", "platform_wallet", "buyer", "name", "symbol", "uri"])
def test_a_plan_that_differs_in_one_field_does_not_match(field: str) -> None:
    values = {
        "seed": "aa" * 16,
        "platform_wallet": str(STRANGER.pubkey()),
        "buyer": str(STRANGER.pubkey()),
        "name": "Sunset #7",
        "symbol": "XYZ",
        "uri": "ipfs://other",
    }
    kept = {one.name: getattr(PLAN, one.name) for one in dataclasses.fields(PLAN) if one.name != "mint_address"}
    other = NftPlan.derived(**{**kept, field: values[field]})
    with pytest.raises(Rejected) as refused:
        assert_mint_matches(WIRE, other, CEILING)
    assert refused.value.code == "mint_mismatch"


def test_an_added_transfer_or_a_left_out_step_is_refused() -> None:
    instructions = mint_instructions(PLAN, 3_695_760, None)
    theft = transfer(TransferParams(from_pubkey=PLATFORM.pubkey(), to_pubkey=STRANGER.pubkey(), lamports=1))
    for altered in ([*instructions, theft], [theft, *instructions], instructions[:-1], [], instructions[::-1]):
        with pytest.raises(Rejected):
            assert_mint_matches(_wire_of(altered), PLAN, CEILING)


def test_a_second_signer_is_refused() -> None:
    extra = transfer(TransferParams(from_pubkey=STRANGER.pubkey(), to_pubkey=BUYER.pubkey(), lamports=1))
    with pytest.raises(Rejected):
        assert_mint_matches(_wire_of([*mint_instructions(PLAN, 1, None), extra]), PLAN, CEILING)


@given(st.binary(max_size=300))
def test_bytes_that_are_no_transaction_are_refused(noise: bytes) -> None:
    for call in (message_bytes, read_transaction, lambda wire: assert_mint_matches(wire, PLAN, CEILING)):
        try:
            call(noise)
        except Rejected:
            continue


def test_a_true_signature_lands_in_its_slot() -> None:
    signature = PLATFORM.sign_message(message_bytes(WIRE))
    signed = with_signature(WIRE, str(PLATFORM.pubkey()), str(signature))
    assert signed[1:65] == bytes(signature)
    assert signed[MESSAGE_START:] == WIRE[MESSAGE_START:]
    assert signature_of(signed) == str(signature)
    assert blockhash_of(signed) == BLOCKHASH
    VersionedTransaction.from_bytes(signed).verify_and_hash_message()


def test_a_signature_over_other_bytes_or_by_another_key_is_refused() -> None:
    other = message_bytes(World().wire(a_plan(seed="0" * 32)))
    wallet = str(PLATFORM.pubkey())
    wrong = [
        str(PLATFORM.sign_message(other)),
        str(STRANGER.sign_message(message_bytes(WIRE))),
        str(Signature.default()),
        "not base58 0OIl",
        "",
    ]
    for signature in wrong:
        with pytest.raises(Rejected) as refused:
            with_signature(WIRE, wallet, signature)
        assert refused.value.code == "invalid_signature"


def test_a_wallet_that_is_no_signer_is_refused() -> None:
    signature = str(STRANGER.sign_message(message_bytes(WIRE)))
    with pytest.raises(Rejected) as refused:
        with_signature(WIRE, str(STRANGER.pubkey()), signature)
    assert refused.value.code == "not_a_signer"


def test_an_unsigned_transaction_has_no_name_yet() -> None:
    with pytest.raises(Misuse):
        signature_of(WIRE)


def test_a_fee_sponsor_beside_the_wallet_keeps_his_signature() -> None:
    sponsor = Keypair.from_seed(bytes([9] * 32))
    pay = transfer(TransferParams(from_pubkey=PLATFORM.pubkey(), to_pubkey=BUYER.pubkey(), lamports=1))
    message = MessageV0.try_compile(
        sponsor.pubkey(), [pay], [], VersionedTransaction.from_bytes(WIRE).message.recent_blockhash
    )
    wire = bytes(VersionedTransaction.populate(message, [Signature.default()] * 2))
    for key in (PLATFORM, sponsor):
        wire = with_signature(wire, str(key.pubkey()), str(key.sign_message(to_bytes_versioned(message))))
    VersionedTransaction.from_bytes(wire).verify_and_hash_message()
    assert signature_of(wire) == str(sponsor.sign_message(to_bytes_versioned(message)))


def _wire_of(instructions: list[Instruction]) -> bytes:
    blockhash = VersionedTransaction.from_bytes(WIRE).message.recent_blockhash
    message = MessageV0.try_compile(PLATFORM.pubkey(), instructions, [], blockhash)
    empty = [Signature.default()] * message.header.num_required_signatures
    return bytes(VersionedTransaction.populate(message, empty))


def _free_ranges() -> tuple[range, range, range]:
    """Where the wire holds the budget's figures, the lamports and the blockhash."""
    limit = WIRE.index(b"\x02" + (100_000).to_bytes(4, "little")) + 1
    price = WIRE.index(b"\x03" + (500).to_bytes(8, "little")) + 1
    lamports = WIRE.index((3_695_760).to_bytes(8, "little"))
    blockhash = WIRE.index(bytes(Pubkey.from_string(BLOCKHASH)))
    return range(limit, price + 8), range(lamports, lamports + 8), range(blockhash, blockhash + 32)
