"""Wire transactions of any version: taken apart, signed from outside, checked against their own bytes.

Everything here is about bytes that we made ourselves, or that a signer gave back for them; answers of RPC nodes are
read in `indexer.effects`.
"""

from dataclasses import dataclass

from solders.hash import Hash
from solders.instruction import Instruction
from solders.message import (
    MessageAddressTableLookup,
    MessageV0,
    MessageV1,
    TransactionConfig,
    to_bytes_versioned,
)
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from chain import programs
from chain.addresses import parse_address
from domain.errors import Misuse, Rejected

_EMPTY_SIGNATURE = Signature.default()


@dataclass(frozen=True, slots=True)
class PlainInstruction:
    """One top-level instruction with its accounts resolved to addresses."""

    program: str
    accounts: tuple[str, ...]
    data: bytes


@dataclass(frozen=True, slots=True)
class PlainTransaction:
    """What a wire transaction says. `version` is "legacy", 0 or 1; `account_keys` are the static ones, `loaded_count`
    the number of addresses that it takes from lookup tables."""

    version: str | int
    signers: tuple[str, ...]
    signatures: tuple[str, ...]
    blockhash: str
    account_keys: tuple[str, ...]
    lookup_tables: int
    loaded_count: int
    instructions: tuple[PlainInstruction, ...]


def unsigned_v0(payer: str, instructions: list[Instruction], blockhash: str) -> bytes:
    """The wire bytes of a v0 transaction with empty signature slots.

    Raises `Rejected("transaction_too_large")` above 1232 bytes, `Rejected("invalid_blockhash")`.
    """
    message = MessageV0.try_compile(parse_address(payer), instructions, [], _parse_blockhash(blockhash))
    signatures = [_EMPTY_SIGNATURE] * message.header.num_required_signatures
    wire = bytes(VersionedTransaction.populate(message, signatures))
    if len(wire) > programs.TRANSACTION_LIMIT_BYTES:
        raise Rejected(
            "transaction_too_large", f"{len(wire)} bytes, and {programs.TRANSACTION_LIMIT_BYTES} is the limit"
        )
    return wire


def unsigned_v1(payer: str, instructions: list[Instruction], blockhash: str, config: TransactionConfig) -> bytes:
    """The wire bytes of a v1 transaction with empty signature slots.

    Raises `Rejected("transaction_too_large")` above 4096 bytes or 64 addresses, `Rejected("invalid_blockhash")`.
    """
    message = MessageV1.try_compile(parse_address(payer), instructions, _parse_blockhash(blockhash), config)
    addresses = len(message.account_keys)
    if addresses > programs.TRANSACTION_V1_LIMIT_ADDRESSES:
        raise Rejected(
            "transaction_too_large",
            f"{addresses} addresses, and {programs.TRANSACTION_V1_LIMIT_ADDRESSES} is the limit",
        )
    signatures = [_EMPTY_SIGNATURE] * message.header.num_required_signatures
    wire = bytes(VersionedTransaction.populate(message, signatures))
    if len(wire) > programs.TRANSACTION_V1_LIMIT_BYTES:
        raise Rejected(
            "transaction_too_large", f"{len(wire)} bytes, and {programs.TRANSACTION_V1_LIMIT_BYTES} is the limit"
        )
    return wire


def v1_config(wire: bytes) -> TransactionConfig | None:
    """The inline configuration of a v1 transaction; None for other versions.

    Raises `Rejected("malformed_transaction")`.
    """
    message = _parse(wire).message
    return message.config if isinstance(message, MessageV1) else None


def message_bytes(wire: bytes) -> bytes:
    """The part that is signed (a version's prefix byte included). Raises `Rejected("malformed_transaction")`."""
    return to_bytes_versioned(_parse(wire).message)


def with_signature(wire: bytes, wallet: str, signature: str) -> bytes:
    """The same transaction with `wallet`'s base58 signature in its slot, after checking it against our own message.

    What a signer answers is thus never trusted: only a signature over exactly these bytes comes through.
    Raises `Rejected` with `invalid_signature`, `not_a_signer` or `malformed_transaction`.
    """
    transaction = _parse(wire)
    signer = parse_address(wallet)
    required = transaction.message.header.num_required_signatures
    signers = transaction.message.account_keys[:required]
    if signer not in signers:
        raise Rejected("not_a_signer", f"{wallet} is not a signer of this transaction")
    parsed = _parse_signature(signature)
    if not parsed.verify(signer, to_bytes_versioned(transaction.message)):
        raise Rejected("invalid_signature", f"the signature does not fit the transaction that {wallet} was to sign")
    signatures = list(transaction.signatures)
    signatures[signers.index(signer)] = parsed
    return bytes(VersionedTransaction.populate(transaction.message, signatures))


def signature_of(wire: bytes) -> str:
    """The fee payer's signature: the transaction's name on chain. Raises `Misuse` while it is unsigned."""
    first = _parse(wire).signatures[0]
    if first == _EMPTY_SIGNATURE:
        raise Misuse("the transaction is not signed by its fee payer yet")
    return str(first)


def blockhash_of(wire: bytes) -> str:
    """The recent blockhash its life depends on. Raises `Rejected("malformed_transaction")`."""
    return str(_parse(wire).message.recent_blockhash)


def read_transaction(wire: bytes, loaded: tuple[str, ...] = ()) -> PlainTransaction:
    """A wire transaction in plain values; `loaded` are the addresses from its lookup tables, writable ones first.

    Raises `Rejected("malformed_transaction")`, also for an instruction that names an account beyond those known.
    """
    transaction = _parse(wire)
    message = transaction.message
    keys = tuple(str(key) for key in message.account_keys)
    lookups: list[MessageAddressTableLookup] = getattr(message, "address_table_lookups", [])
    known = keys + loaded
    try:
        instructions = tuple(
            PlainInstruction(known[one.program_id_index], tuple(known[i] for i in one.accounts), bytes(one.data))
            for one in message.instructions
        )
    except IndexError as error:
        raise Rejected("malformed_transaction", "an instruction names an account that is not there") from error
    version = transaction.version()
    return PlainTransaction(
        version=version if isinstance(version, int) else "legacy",
        signers=keys[: message.header.num_required_signatures],
        signatures=tuple(str(signature) for signature in transaction.signatures),
        blockhash=str(message.recent_blockhash),
        account_keys=keys,
        lookup_tables=len(lookups),
        loaded_count=sum(len(table.writable_indexes) + len(table.readonly_indexes) for table in lookups),
        instructions=instructions,
    )


def _parse(wire: bytes) -> VersionedTransaction:
    try:
        transaction = VersionedTransaction.from_bytes(wire)
    except (ValueError, TypeError) as error:
        raise Rejected("malformed_transaction", f"not a wire transaction: {error}") from error
    required = transaction.message.header.num_required_signatures
    slots, keys = len(transaction.signatures), len(transaction.message.account_keys)
    if bytes(transaction) != wire or not 1 <= required == slots <= keys:
        raise Rejected("malformed_transaction", "the bytes are not exactly one transaction with its signature slots")
    return transaction


def check_signature(signature: str) -> None:
    """Raises `Rejected("invalid_signature")` for what is no signature in base58."""
    _parse_signature(signature)


def _parse_signature(signature: str) -> Signature:
    try:
        return Signature.from_string(signature)
    except (ValueError, TypeError) as error:
        raise Rejected("invalid_signature", "the signature is not 64 bytes in base58") from error


def _parse_blockhash(blockhash: str) -> Hash:
    try:
        return Hash.from_string(blockhash)
    except (ValueError, TypeError) as error:
        raise Rejected("invalid_blockhash", f"{blockhash!r} is not a blockhash") from error
