"""What IPFS would call some bytes, without IPFS."""

from hashlib import sha256

BASE58 = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"
SHA256_OF_32_BYTES = b"\x12\x20"


def content_id(data: bytes) -> str:
    """Their CIDv0, as if they were one block of IPFS."""
    number = int.from_bytes(SHA256_OF_32_BYTES + sha256(data).digest())
    letters = ""
    while number:
        number, place = divmod(number, len(BASE58))
        letters = BASE58[place] + letters
    return letters
