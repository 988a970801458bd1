"""Signing without broadcasting (reference/circle.md, section 5). No idempotency keys here."""

import base64
import binascii
from collections.abc import Callable

from sandbox.circle_service.calls import Call, Reply, require_blockchain
from sandbox.circle_service.custody import Custody
from sandbox.circle_service.errors import bad_field, invalid, not_hex, unsupported_blockchain
from sandbox.circle_service.solana import NotSignable, countersign, parse_wire
from sandbox.circle_service.transfer_api import check_wallet_reference, find_wallet
from sandbox.circle_service.users import EndUser
from sandbox.circle_service.wallets import Wallet

Work = Callable[[Wallet], dict[str, object]]


def sign_transaction(custody: Custody, call: Call) -> Reply:
    return _sign_as_developer(custody, call, read_transaction(custody, call))


def sign_message(custody: Custody, call: Call) -> Reply:
    return _sign_as_developer(custody, call, read_message(call))


def sign_other(_custody: Custody, _call: Call) -> Reply:
    """sign/typedData is for EVM chains, sign/delegateAction for NEAR."""
    raise unsupported_blockchain()


def read_transaction(custody: Custody, call: Call) -> Work:
    """What signs the request's rawTransaction: base64 of the whole wire transaction with its signature slots."""
    raw = call.fields.text("rawTransaction")
    if raw is None:
        call.fields.fail("rawTransaction", "required", "may not be empty")
    wire = _decode_base64(raw or "")
    if wire is None:
        call.fields.fail("rawTransaction", "invalid_value", "is not base64")

    def work(wallet: Wallet) -> dict[str, object]:
        try:
            transaction = parse_wire(wire or b"", allow_v1=custody.switches.sign_v1)
            signature, signed = countersign(wallet.keypair, transaction)
        except NotSignable as error:
            raise invalid([bad_field("rawTransaction", raw, "invalid_value", str(error))]) from error
        return {"signature": str(signature), "signedTransaction": base64.b64encode(bytes(signed)).decode()}

    return work


def read_message(call: Call) -> Work:
    """What signs the request's message: its UTF-8 bytes, or the bytes of its 0x hex. The signature is hex with 0x."""
    message = call.fields.text("message", required=True) or ""
    if call.fields.boolean("encodedByHex"):
        data = _decode_hex(message)
    else:
        data = message.encode()
    return lambda wallet: {"signature": "0x" + bytes(wallet.keypair.sign_message(data)).hex()}


def read_wallet(custody: Custody, call: Call, user: EndUser | None) -> Wallet:
    """The wallet that shall sign: by walletId, or by walletAddress and blockchain."""
    wallet_id, address = call.fields.uuid("walletId"), call.fields.text("walletAddress")
    blockchain = call.fields.text("blockchain")
    call.fields.text("memo")
    check_wallet_reference(call.fields, "walletAddress")
    call.fields.done()
    if blockchain is not None:
        require_blockchain(call, blockchain, custody.blockchain)
    return find_wallet(custody, wallet_id, address, None if user is None else user.id)


def _sign_as_developer(custody: Custody, call: Call, work: Work) -> Reply:
    ciphertext = custody.read_ciphertext(call)
    wallet = read_wallet(custody, call, None)
    custody.entity.check(ciphertext or "")
    wallet.must_be_developers()
    wallet.must_be_live()
    return Reply(200, work(wallet))


def _decode_base64(text: str) -> bytes | None:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None


def _decode_hex(text: str) -> bytes:
    if not text.startswith("0x"):
        raise not_hex()
    try:
        return bytes.fromhex(text[2:])
    except ValueError as error:
        raise not_hex() from error
