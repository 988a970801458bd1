"""Reads parsed JSON without trusting it: every step says what it wants, and where it did not find it."""

import base64
import binascii
from collections.abc import Callable
from typing import Never, TypeVar

from solders.pubkey import Pubkey

from indexer.effects.errors import MalformedAnswer

T = TypeVar("T")
U64_MAX = 2**64 - 1


def malformed(where: str, want: str) -> Never:
    """The one way out of a bad answer."""
    raise MalformedAnswer(f"malformed answer: {where} is not {want}")


def fields(value: object, where: str) -> dict[str, object]:
    """A JSON object."""
    if not isinstance(value, dict):
        malformed(where, "an object")
    return value


def items(value: object, where: str) -> list[object]:
    """A JSON array."""
    if not isinstance(value, list):
        malformed(where, "an array")
    return value


def text(value: object, where: str) -> str:
    """A JSON string."""
    if not isinstance(value, str):
        malformed(where, "a string")
    return value


def whole(value: object, where: str, most: int = U64_MAX, least: int = 0) -> int:
    """A JSON integer within bounds; true and false are none."""
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        malformed(where, f"an integer from {least} to {most}")
    return value


def decimal(value: object, where: str) -> int:
    """A u64 written as a string of digits, as token amounts are."""
    digits = text(value, where)
    if not digits.isascii() or not digits.isdigit() or len(digits) > 20 or int(digits) > U64_MAX:
        malformed(where, "an amount in base units")
    return int(digits)


def address(value: object, where: str) -> str:
    """A base58 address of 32 bytes."""
    shown = text(value, where)
    guarded(lambda: Pubkey.from_string(shown), where, "an address")
    return shown


def base64_pair(value: object, where: str) -> bytes:
    """The `[data, "base64"]` that nodes write for bytes."""
    pair = items(value, where)
    if len(pair) != 2 or pair[1] != "base64":
        malformed(where, 'a pair [data, "base64"]')
    try:
        return base64.b64decode(text(pair[0], where), validate=True)
    except (binascii.Error, ValueError):
        malformed(where, "base64")


def guarded(read: Callable[[], T], where: str, want: str) -> T:
    """Run a solders parser on foreign data. Its Rust panics are `PanicException`, a BaseException that
    `except Exception` misses: an answer made to provoke one would end the daemon. Told apart by name, because
    the class is made inside the extension and can't be imported.
    """
    try:
        return read()
    except BaseException as error:
        if isinstance(error, ValueError | TypeError | OverflowError) or type(error).__name__ == "PanicException":
            raise MalformedAnswer(f"malformed answer: {where} is not {want}") from error
        raise
