"""IPFS content identifiers: whether a text is one (https://github.com/multiformats/cid).

A CID says which hash of the content has which bytes, so that a text with a letter too few or of a wrong kind is seen to
be none. It has no checksum of its own: one wrong letter may make another CID, of content that nobody has.
"""

import base64
import binascii

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
BASE36 = "0123456789abcdefghijklmnopqrstuvwxyz"
V0_LENGTH = 46
V0_DIGEST = b"\x12\x20"
"""SHA-256, 32 bytes: the only hash that a CIDv0 has."""
V1 = 1
IPNS_KEY = 0x72
"""A name whose content its owner changes: what was sold must stay what it is."""
DIGEST_BYTES = range(20, 65)
"""Shorter ones are refused by IPFS nodes as too easy to forge; longer ones no hash in use has."""
VARINT_BYTES = 9


def is_content_id(text: str) -> bool:
    """Whether this is a CIDv0, or a CIDv1 in base58, base36, base32 or base16, of content that never changes."""
    if not (text.isascii() and text.isalnum()):
        return False
    try:
        if text.startswith("Qm") and len(text) == V0_LENGTH:
            raw = _digits(text, BASE58)
            return raw.startswith(V0_DIGEST) and len(raw) == len(V0_DIGEST) + V0_DIGEST[1]
        return _is_v1(_decoded(text))
    except ValueError:
        return False


def _is_v1(raw: bytes) -> bool:
    version, rest = _number(raw)
    codec, rest = _number(rest)
    _, rest = _number(rest)
    length, digest = _number(rest)
    return version == V1 and codec != IPNS_KEY and length == len(digest) and length in DIGEST_BYTES


def _decoded(text: str) -> bytes:
    """The bytes of a multibase text. Raises ValueError."""
    base, letters = text[:1], text[1:]
    if base == "z":
        return _digits(letters, BASE58)
    if base.isupper():
        if letters != letters.upper():
            raise ValueError("letters of both cases")
        base, letters = base.lower(), letters.lower()
    if base == "k":
        return _digits(letters, BASE36)
    if base == "f" and letters == letters.lower():
        return bytes.fromhex(letters)
    if base == "b":
        return _base32(letters)
    raise ValueError("no base that is in use for CIDs")


def _digits(letters: str, alphabet: str) -> bytes:
    """A number written in these digits. Its first byte is not 0, as no CID begins with one. Raises ValueError."""
    number = 0
    for letter in letters:
        number = number * len(alphabet) + alphabet.index(letter)
    if letters.startswith(alphabet[0]):
        raise ValueError("a CID does not begin with a zero")
    return number.to_bytes((number.bit_length() + 7) // 8)


def _base32(letters: str) -> bytes:
    try:
        raw = base64.b32decode(letters.upper() + "=" * (-len(letters) % 8))
    except binascii.Error as error:
        raise ValueError(str(error)) from None
    if base64.b32encode(raw).decode().rstrip("=").lower() != letters:
        raise ValueError("not written the one way that these bytes are")
    return raw


def _number(raw: bytes) -> tuple[int, bytes]:
    """An unsigned varint and what follows it. Raises ValueError."""
    number = 0
    for place, byte in enumerate(raw[:VARINT_BYTES]):
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if byte == 0 and place > 0:
                raise ValueError("a number with zeros before it")
            return number, raw[place + 1 :]
    raise ValueError("a number without an end")
