"""What an NFT's name and metadata address say, and whether they will fit on chain (product.md, sections 2 and 6)."""

import re

NAME_LIMIT_BYTES = 32
"""UTF-8 bytes of an NFT's name with its edition number."""
URI_LIMIT_BYTES = 200
UNLIMITED_EDITION_DIGITS = 7
"""Digits kept free for the number of an unlimited edition: ten million of one title is beyond any sale of ours."""


def nft_name(title: str, edition_number: int) -> str:
    """`Title #7`."""
    return f"{title} #{edition_number}"


def edition_in(name: str, title: str) -> int | None:
    """The number in a name that `nft_name` made of this title; None in any other."""
    head, _, tail = name.rpartition(" #")
    is_number = re.fullmatch(r"[1-9][0-9]{0,8}", tail) is not None
    return int(tail) if head == title and is_number else None


def title_limit_bytes(editions: int | None) -> int:
    """UTF-8 bytes that a title may have so that its last edition's name still fits; `editions` None = unlimited."""
    digits = UNLIMITED_EDITION_DIGITS if editions is None else len(str(editions))
    return NAME_LIMIT_BYTES - len(" #") - digits


def metadata_uri(ipfs_hash: str | None, public_base_url: str, content_id: int) -> str:
    """Where the NFT's metadata lies: on IPFS where there is a hash, else served by us."""
    if ipfs_hash:
        return f"ipfs://{ipfs_hash}"
    return f"{public_base_url.rstrip('/')}/api/content/{content_id}/metadata/"
