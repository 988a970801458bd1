"""A user's collaborator code: what he gives to whoever wants to share a sale with him.

It is his number and thirty bits that follow from his UUID, so that nobody finds people by counting, a mistyped one is
nobody's, and a number that a restored backup hands out again belongs to another code (design.md, section 3).
"""

import hashlib
import hmac
import re
from uuid import UUID

ALPHABET = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
"""Crockford's: no letter that is taken for a digit, or makes words."""
MARK_CHARS = 6
_ALIKE = str.maketrans("OIL", "011")
_CODE = re.compile(rf"([1-9][0-9]{{0,17}})-([{ALPHABET}]{{{MARK_CHARS}}})", re.ASCII)


def collaborator_code(user_id: int, user_uuid: UUID) -> str:
    """ "17-K7QF92"."""
    bits = int.from_bytes(hmac.new(user_uuid.bytes, b"collaborator code", hashlib.sha256).digest())
    return f"{user_id}-" + "".join(ALPHABET[(bits >> (5 * place)) & 31] for place in range(MARK_CHARS))


def read_code(text: str) -> tuple[int, str] | None:
    """The user's number in a code as people write it, and the code in its own form; None for what is no code."""
    match = _CODE.fullmatch("".join(text.split()).upper().translate(_ALIKE))
    return None if match is None else (int(match.group(1)), match.group())
