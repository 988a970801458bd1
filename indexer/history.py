"""The whole history of an address since a cursor, with proof that no page of it is missing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from indexer.rpc.errors import EndpointError
from indexer.rpc.node import SIGNATURES_PAGE_MAX, Node
from indexer.rpc.values import ListedSignature

FIRST_PAGE = 50
"""A follower that is up to date asks for a few entries, not for a thousand it knows."""


@dataclass(frozen=True, slots=True)
class Since:
    """The last signature that was stored, and its slot."""

    signature: str
    slot: int


async def entries(node: Node, address: str, floor: int) -> AsyncIterator[ListedSignature]:
    """Everything finalized that names `address`, newest first, for as long as the caller asks. Raises EndpointError.

    All pages come from one endpoint. A node that does not know `before` answers an empty page, which looks like the end
    of history; a hole in its history looks like nothing at all. So each page is asked to begin with the last entry of
    the page before.
    """
    last_two: list[ListedSignature] = []
    limit = FIRST_PAGE
    while True:
        before, overlap = _next(last_two) if last_two else (None, None)
        page = await node.get_signatures_for_address(address, before=before, limit=limit, min_context_slot=floor)
        if overlap is not None:
            if not page or page[0].signature != overlap:
                raise EndpointError(f"{node.label} does not list {overlap} where it did a moment ago")
            page = page[1:]
        if not page:
            return
        for entry in page:
            yield entry
        last_two = [*last_two, *page][-2:]
        limit = SIGNATURES_PAGE_MAX


async def list_since(node: Node, address: str, since: Since | None, floor: int) -> list[ListedSignature]:
    """Everything finalized that names `address` after `since` (None: ever), oldest first. Raises EndpointError.

    The list counts only when it ends with the very signature the cursor names.
    """
    found: list[ListedSignature] = []
    async for entry in entries(node, address, floor):
        if since is not None and entry.signature == since.signature:
            return found[::-1]
        if since is not None and entry.slot < since.slot:
            break
        found.append(entry)
    else:
        if since is None:
            return found[::-1]
    raise EndpointError(
        f"{node.label} does not list {since.signature if since else ''}, up to which {address} was read"
    )


def _next(found: list[ListedSignature]) -> tuple[str, str | None]:
    """Where the next page begins, and the entry it must show first; the very first entry has none before it."""
    if len(found) == 1:
        return found[0].signature, None
    return found[-2].signature, found[-1].signature
