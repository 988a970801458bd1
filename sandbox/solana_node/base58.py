"""Base58 for byte strings of any length (solders covers keys and signatures only)."""

ALPHABET = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
_VALUES = {letter: value for value, letter in enumerate(ALPHABET)}
_CHUNK_DIGITS = 10
_CHUNK = 58**_CHUNK_DIGITS
"""Ten digits fit a machine word, so the long division runs once for ten digits instead of once for each."""


def encode(data: bytes) -> str:
    number = int.from_bytes(data, "big")
    digits: list[str] = []
    while number:
        number, part = divmod(number, _CHUNK)
        for _ in range(_CHUNK_DIGITS):
            part, digit = divmod(part, 58)
            digits.append(ALPHABET[digit])
    body = "".join(reversed(digits)).lstrip("1")
    return "1" * (len(data) - len(data.lstrip(b"\0"))) + body


def decode(text: str) -> bytes:
    """Raises ValueError on a letter outside the alphabet."""
    number = 0
    for letter in text:
        if letter not in _VALUES:
            raise ValueError(f"invalid base58 character {letter!r}")
        number = number * 58 + _VALUES[letter]
    zeros = len(text) - len(text.lstrip("1"))
    return b"\0" * zeros + number.to_bytes((number.bit_length() + 7) // 8, "big")
