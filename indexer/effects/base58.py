"""Base58 of arbitrary length, for instruction data in JSON; solders only offers it for 32 and 64 bytes."""

from indexer.effects.shape import malformed

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_LONGEST = 14_000
"""A program hands another up to 10 KiB (13,986 characters), more than a transaction carries; bounds the quadratic
arithmetic on a lying answer."""
_STRIDE = 32
"""Characters that are put together before they are added to the long number: it is what takes the time."""


def decode(encoded: str, where: str) -> bytes:
    """The bytes of a base58 string. Raises `MalformedAnswer`."""
    if len(encoded) > _LONGEST:
        malformed(where, "instruction data")
    number = 0
    for start in range(0, len(encoded), _STRIDE):
        stride, part = encoded[start : start + _STRIDE], 0
        for char in stride:
            value = _VALUES.get(char)
            if value is None:
                malformed(where, "base58")
            part = part * 58 + value
        number = number * 58 ** len(stride) + part
    zeros = len(encoded) - len(encoded.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
