"""Base58 of arbitrary length, for instruction data in JSON; solders only offers it for 32 and 64 bytes."""

from indexer.effects.shape import malformed

_ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {char: value for value, char in enumerate(_ALPHABET)}
_LONGEST = 6000
"""No transaction carries more than 4096 bytes (5600 characters); bounds the quadratic arithmetic on a lying answer."""


def decode(encoded: str, where: str) -> bytes:
    """The bytes of a base58 string. Raises `MalformedAnswer`."""
    if len(encoded) > _LONGEST:
        malformed(where, "instruction data")
    number = 0
    for char in encoded:
        value = _VALUES.get(char)
        if value is None:
            malformed(where, "base58")
        number = number * 58 + value
    zeros = len(encoded) - len(encoded.lstrip("1"))
    return bytes(zeros) + number.to_bytes((number.bit_length() + 7) // 8, "big")
