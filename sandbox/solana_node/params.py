"""Reading the parameters of a JSON-RPC call; whatever is wrong with them becomes -32602 in about a node's words."""

import base64
import binascii
from collections.abc import Sequence
from typing import Any

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from sandbox.solana_node import base58
from sandbox.solana_node.errors import NodeError, invalid_params
from sandbox.solana_node.slots import Commitment


class Config:
    """The object that most methods take last."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.values = values

    def commitment(self, default: Commitment = Commitment.FINALIZED, key: str = "commitment") -> Commitment:
        value = self.values.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or value not in list(Commitment):
            raise invalid_params(f"Invalid params: unknown variant `{value}`, expected a commitment level.")
        return Commitment(value)

    def integer(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
            raise invalid_params(f"Invalid params: invalid value for `{key}`, expected an unsigned integer.")
        return value

    def flag(self, key: str) -> bool:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise invalid_params(f"Invalid params: invalid type for `{key}`, expected a boolean.")
        return bool(value)

    def text(self, key: str) -> str | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, str):
            raise invalid_params(f"Invalid params: invalid type for `{key}`, expected a string.")
        return value

    def choice(self, key: str, allowed: Sequence[str], default: str) -> str:
        value = self.text(key)
        if value is None:
            return default
        if value not in allowed:
            listed = ", ".join(f"`{name}`" for name in allowed)
            raise invalid_params(f"Invalid params: unknown variant `{value}`, expected one of {listed}.")
        return value


class Params:
    """The positional parameters of one call."""

    def __init__(self, values: Any) -> None:
        if values is None:
            values = []
        if not isinstance(values, list):
            raise invalid_params("`params` should be an array")
        self.values: list[Any] = values

    def need(self, index: int) -> Any:
        if index >= len(self.values):
            raise invalid_params(f"`params` should have at least {index + 1} argument(s)")
        return self.values[index]

    def text(self, index: int) -> str:
        value = self.need(index)
        if not isinstance(value, str):
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected a string.")
        return value

    def integer(self, index: int) -> int:
        value = self.need(index)
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected u64.")
        return value

    def key(self, index: int) -> Pubkey:
        return parse_key(self.text(index))

    def keys(self, index: int, most: int) -> list[Pubkey]:
        values = self.texts(index)
        if len(values) > most:
            raise invalid_params(f"Too many inputs provided; max {most}")
        return [parse_key(value) for value in values]

    def signatures(self, index: int, most: int) -> list[str]:
        values = self.texts(index)
        if len(values) > most:
            raise invalid_params(f"Too many inputs provided; max {most}")
        return [parse_signature(value) for value in values]

    def texts(self, index: int) -> list[str]:
        values = self.need(index)
        if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
            raise invalid_params(f"Invalid params: invalid type: {_kind(values)}, expected a sequence of strings.")
        return values

    def config(self, index: int) -> Config:
        value = self.values[index] if index < len(self.values) else None
        if value is None:
            return Config({})
        if not isinstance(value, dict):
            raise invalid_params(f"Invalid params: invalid type: {_kind(value)}, expected an object.")
        return Config(value)


def parse_key(text: str) -> Pubkey:
    try:
        return Pubkey.from_string(text)
    except ValueError as error:
        raise _malformed(text, 44) from error


def parse_signature(text: str) -> str:
    try:
        return str(Signature.from_string(text))
    except ValueError as error:
        raise _malformed(text, 88) from error


def parse_hash(text: str) -> Hash:
    return Hash(bytes(parse_key(text)))


def parse_bytes(text: str, encoding: str) -> bytes:
    try:
        return base58.decode(text) if encoding == "base58" else base64.b64decode(text, validate=True)
    except (ValueError, binascii.Error) as error:
        raise invalid_params(f"invalid {encoding} encoding: {error}") from error


def _malformed(text: str, longest: int) -> NodeError:
    wrong_size = len(text) > longest or all(letter in base58.ALPHABET for letter in text)
    return invalid_params(f"Invalid param: {'WrongSize' if wrong_size else 'Invalid'}")


def _kind(value: Any) -> str:
    return {bool: "boolean", int: "integer", str: "string", list: "sequence", dict: "map"}.get(type(value), "null")
