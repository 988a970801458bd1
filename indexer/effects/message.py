"""The transaction inside a `getTransaction` answer, whichever of two encodings it came in, with its keys resolved."""

from collections.abc import Iterator
from dataclasses import dataclass

from solders.signature import Signature

from chain.transactions import PlainTransaction, read_transaction
from domain.errors import Rejected
from indexer.effects import base58
from indexer.effects.facts import Version
from indexer.effects.shape import address, base64_pair, fields, guarded, items, malformed, text, whole

_MOST_KEYS = 256
"""Account indexes are one byte."""


@dataclass(frozen=True, slots=True)
class Step:
    """One instruction; `data` is decoded only on demand since most are of no interest."""

    program: str
    accounts: tuple[str, ...]
    data: bytes | str

    def data_bytes(self) -> bytes:
        """The instruction's bytes. Raises `MalformedAnswer`."""
        return base58.decode(self.data, "instruction data") if isinstance(self.data, str) else self.data


@dataclass(frozen=True, slots=True)
class ReadTransaction:
    """A transaction with all keys in index order and all steps in the order they ran, inner ones after their outer."""

    signatures: tuple[str, ...]
    signers: tuple[str, ...]
    keys: tuple[str, ...]
    version: Version
    steps: tuple[Step, ...]


def read(answer: dict[str, object], meta: dict[str, object]) -> ReadTransaction:
    """The `transaction` of an answer with encoding `base64` or `json`. Raises `MalformedAnswer`."""
    loaded = _loaded_addresses(meta.get("loadedAddresses"))
    transaction = answer.get("transaction")
    if isinstance(transaction, list):
        outer = _from_wire(base64_pair(transaction, "transaction"), loaded)
    else:
        outer = _from_json(fields(transaction, "transaction"), _version(answer.get("version", "legacy")), loaded)
    if _version(answer.get("version", outer.version)) != outer.version:
        malformed("version", f"{outer.version!r}, the version of the transaction itself")
    inner = _inner_steps(meta.get("innerInstructions"), outer)
    return ReadTransaction(outer.signatures, outer.signers, outer.keys, outer.version, tuple(_interleave(outer, inner)))


def _from_wire(wire: bytes, loaded: tuple[str, ...]) -> ReadTransaction:
    plain = guarded(lambda: _plain(wire, loaded), "transaction", "a transaction")
    if plain.loaded_count != len(loaded):
        malformed("loadedAddresses", f"{plain.loaded_count} addresses")
    steps = tuple(Step(one.program, one.accounts, one.data) for one in plain.instructions)
    return ReadTransaction(plain.signatures, plain.signers, plain.account_keys + loaded, plain.version, steps)


def _plain(wire: bytes, loaded: tuple[str, ...]) -> PlainTransaction:
    try:
        return read_transaction(wire, loaded)
    except Rejected as error:
        raise ValueError(str(error)) from error


def _from_json(transaction: dict[str, object], version: Version, loaded: tuple[str, ...]) -> ReadTransaction:
    message = fields(transaction.get("message"), "message")
    keys = tuple(address(key, "accountKeys") for key in items(message.get("accountKeys"), "accountKeys")) + loaded
    if len(keys) > _MOST_KEYS:
        malformed("accountKeys", f"at most {_MOST_KEYS} keys")
    signatures = tuple(_signature(one) for one in items(transaction.get("signatures"), "signatures"))
    header = fields(message.get("header"), "header")
    required = whole(header.get("numRequiredSignatures"), "numRequiredSignatures", len(keys) - len(loaded), 1)
    if len(signatures) != required:
        malformed("signatures", f"{required} signatures")
    steps = tuple(_step(one, keys) for one in items(message.get("instructions"), "instructions"))
    return ReadTransaction(signatures, keys[:required], keys, version, steps)


def _version(value: object) -> Version:
    return "legacy" if value == "legacy" else whole(value, "version", 1)


def _loaded_addresses(value: object) -> tuple[str, ...]:
    if value is None:
        return ()
    loaded = fields(value, "loadedAddresses")
    both = [one for side in ("writable", "readonly") for one in items(loaded.get(side), f"loadedAddresses.{side}")]
    if len(both) > _MOST_KEYS:
        malformed("loadedAddresses", f"at most {_MOST_KEYS} keys")
    return tuple(address(one, "loadedAddresses") for one in both)


def _inner_steps(value: object, outer: ReadTransaction) -> dict[int, list[Step]]:
    inner: dict[int, list[Step]] = {}
    for entry in items([] if value is None else value, "innerInstructions"):
        group = fields(entry, "innerInstructions")
        index = whole(group.get("index"), "innerInstructions.index", len(outer.steps) - 1)
        if index in inner:
            malformed("innerInstructions.index", "listed once")
        steps = items(group.get("instructions"), "innerInstructions.instructions")
        inner[index] = [_step(one, outer.keys) for one in steps]
    return inner


def _interleave(outer: ReadTransaction, inner: dict[int, list[Step]]) -> Iterator[Step]:
    for index, step in enumerate(outer.steps):
        yield step
        yield from inner.get(index, ())


def _step(value: object, keys: tuple[str, ...]) -> Step:
    instruction = fields(value, "instruction")
    last = len(keys) - 1
    program = keys[whole(instruction.get("programIdIndex"), "programIdIndex", last)]
    indexes = items(instruction.get("accounts"), "instruction.accounts")
    accounts = tuple(keys[whole(index, "instruction.accounts", last)] for index in indexes)
    return Step(program, accounts, text(instruction.get("data"), "instruction.data"))


def _signature(value: object) -> str:
    shown = text(value, "signature")
    guarded(lambda: Signature.from_string(shown), "signature", "a signature")
    return shown
