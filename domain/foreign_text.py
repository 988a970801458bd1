"""Text of others, as far as our columns hold it. PostgreSQL refuses what is longer, and a NUL in any."""

ID_CHARS = 64
"""Circle's ids (UUIDs) and Solana's addresses."""
STRIPE_ID_CHARS = 255
"""Stripe's longest, as it documents."""
SIGNATURE_CHARS = 128
REFERENCE_CHARS = 400
"""Of a transfer at Circle. Ours are shorter than 300: what is cut is somebody else's, and equals none of ours."""
WORDS_CHARS = 500
"""A reason in somebody's own words."""
TYPE_CHARS = 64
CURRENCY_CHARS = 8


def fits(text: str, most: int) -> bool:
    """Whether a column of so many characters holds it as it is. An id that does not fit is none."""
    return len(text) <= most and "\0" not in text


def kept(text: str, most: int) -> str:
    """What a column of so many characters can hold of words, for people to read."""
    return text.replace("\0", "\N{REPLACEMENT CHARACTER}")[:most]
