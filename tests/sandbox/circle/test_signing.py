"""sign/transaction and sign/message: whole wire transactions in, one signature filled in."""

import base64
from typing import Any

import pytest
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import Message, MessageV0, MessageV1, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from sandbox.circle_service import Switches
from tests.sandbox.circle.world import World

SIGN = "/v1/w3s/developer/sign/transaction"
OTHER = Keypair.from_seed(bytes([3]) * 32)


def message_of(version: str, payer: Pubkey, *instructions: Instruction, blockhash: Hash | None = None) -> Any:
    recent = blockhash or Hash.default()
    match version:
        case "legacy":
            return Message.new_with_blockhash(list(instructions), payer, recent)
        case "v0":
            return MessageV0.try_compile(payer, list(instructions), [], recent)
        case _:
            return MessageV1.try_compile(payer, list(instructions), recent)


def pay(payer: Pubkey, to: Pubkey, lamports: int = 1_000_000) -> Instruction:
    return transfer(TransferParams(from_pubkey=payer, to_pubkey=to, lamports=lamports))


def encode(transaction: VersionedTransaction) -> str:
    return base64.b64encode(bytes(transaction)).decode()


def sign(world: World, wallet_id: str, raw: str) -> Any:
    body = {"walletId": wallet_id, "rawTransaction": raw, "entitySecretCiphertext": world.seal(), "memo": "mint"}
    return world.post(SIGN, body)


@pytest.mark.parametrize("version", ["legacy", "v0", "v1"])
def test_a_signed_transaction_lands_on_the_chain(world: World, version: str) -> None:
    platform = world.platform()
    payer = Pubkey.from_string(platform.address)
    message = message_of(version, payer, pay(payer, OTHER.pubkey()), blockhash=world.node.latest_blockhash()[0])
    answer = sign(world, platform.wallet_id, encode(VersionedTransaction.populate(message, [Signature.default()])))
    signed = base64.b64decode(answer.data["signedTransaction"])
    signature = Signature.from_string(answer.data["signature"])
    assert signature.verify(payer, to_bytes_versioned(message))
    assert world.node.send_raw(signed) == str(signature)
    assert world.lamports_of(str(OTHER.pubkey())) == 1_000_000


@pytest.mark.parametrize("version", ["legacy", "v0", "v1"])
def test_other_signatures_are_kept(world: World, version: str) -> None:
    platform = world.platform()
    wallet = Pubkey.from_string(platform.address)
    message = message_of(version, OTHER.pubkey(), pay(OTHER.pubkey(), wallet), pay(wallet, OTHER.pubkey()))
    theirs = OTHER.sign_message(to_bytes_versioned(message))
    answer = sign(
        world, platform.wallet_id, encode(VersionedTransaction.populate(message, [theirs, Signature.default()]))
    )
    signed = VersionedTransaction.from_bytes(base64.b64decode(answer.data["signedTransaction"]))
    assert signed.signatures == [theirs, Signature.from_string(answer.data["signature"])]


def test_a_wallet_that_is_no_signer_is_refused(world: World) -> None:
    platform = world.platform()
    message = message_of("v0", OTHER.pubkey(), pay(OTHER.pubkey(), Pubkey.from_string(platform.address)))
    raw = encode(VersionedTransaction.populate(message, [Signature.default()]))
    assert sign(world, platform.wallet_id, raw).bad_fields == {"rawTransaction": "invalid_value"}


@pytest.mark.parametrize("raw", ["", "@@@", "AQAB", base64.b64encode(b"\xff" * 300).decode()])
def test_bytes_that_are_no_transaction_are_refused(world: World, raw: str) -> None:
    platform = world.platform()
    assert sign(world, platform.wallet_id, raw).failure == (400, 2)


def test_bytes_behind_the_transaction_are_refused(world: World) -> None:
    platform = world.platform()
    payer = Pubkey.from_string(platform.address)
    message = message_of("v0", payer, pay(payer, OTHER.pubkey()))
    wire = bytes(VersionedTransaction.populate(message, [Signature.default()])) + b"\0"
    assert sign(world, platform.wallet_id, base64.b64encode(wire).decode()).failure == (400, 2)


def test_version_1_can_be_switched_off() -> None:
    world = World(switches=Switches(sign_v1=False))
    platform = world.platform()
    payer = Pubkey.from_string(platform.address)
    message = message_of("v1", payer, pay(payer, OTHER.pubkey()))
    raw = encode(VersionedTransaction.populate(message, [Signature.default()]))
    assert sign(world, platform.wallet_id, raw).failure == (400, 2)


def test_signing_needs_the_secret_and_a_live_wallet(world: World) -> None:
    platform = world.platform()
    payer = Pubkey.from_string(platform.address)
    message = message_of("v0", payer, pay(payer, OTHER.pubkey()))
    raw = encode(VersionedTransaction.populate(message, [Signature.default()]))
    body = {"walletId": platform.wallet_id, "rawTransaction": raw}
    assert world.post(SIGN, body).bad_fields == {"entitySecretCiphertext": "required"}
    assert world.post(SIGN, body | {"entitySecretCiphertext": world.seal("cd" * 32)}).failure == (400, 156013)
    world.call("POST", f"/_sandbox/wallets/{platform.wallet_id}/freeze", {}, key=None)
    assert world.post(SIGN, body | {"entitySecretCiphertext": world.seal()}).failure == (409, 155501)


def test_messages_are_signed_as_text_or_hex(world: World) -> None:
    platform = world.platform()
    path = "/v1/w3s/developer/sign/message"

    def ask(**more: Any) -> Any:
        reference = {"walletAddress": platform.address, "blockchain": "SOL-DEVNET"}
        return world.post(path, {"entitySecretCiphertext": world.seal()} | reference | more)

    for message, data, as_hex in (("hello", b"hello", False), ("0xabcd", b"\xab\xcd", True)):
        signature = Signature.from_bytes(bytes.fromhex(ask(message=message, encodedByHex=as_hex).data["signature"][2:]))
        assert signature.verify(Pubkey.from_string(platform.address), data)
    assert ask(message="abcd", encodedByHex=True).failure == (409, 156023)
    assert ask(message="0xabc", encodedByHex=True).failure == (409, 156023)
