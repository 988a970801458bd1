"""The whole history of an address since a cursor, with proof that no page of it is missing.

A node lists the newest first, and it is stored oldest first. So a long history is walked twice: once to its end, of
which only the pages' bounds are kept, and then page by page from there.
"""

from collections.abc import AsyncIterator
from dataclasses import dataclass

from indexer.rpc.errors import EndpointError
from indexer.rpc.node import SIGNATURES_PAGE_MAX, Node
from indexer.rpc.values import ListedSignature

STRETCH = SIGNATURES_PAGE_MAX
"""Entries of one stretch: what one call lists."""
KEPT_MOST = 5_000
"""Entries kept in memory between the two walks, a megabyte or so; what is older is listed again."""
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
    """Everything finalized that names `address` after `since` (None: ever), oldest first: for addresses with a short
    history. Raises EndpointError."""
    found: list[ListedSignature] = []
    async for entry in _after(node, address, since, floor):
        found.append(entry)
    return found[::-1]


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a history: `count` entries from `newest` back to `oldest`, behind the signature `before` (None: the
    newest there are). `kept` are the entries themselves, oldest first, where there were few enough to keep."""

    before: str | None
    newest: str
    oldest: str
    count: int
    kept: tuple[ListedSignature, ...] | None


async def outline(
    node: Node, address: str, since: Since | None, floor: int, *, oldest_slot: int = 0, keep: int = KEPT_MOST
) -> list[Stretch]:
    """The history after `since` (None: back to `oldest_slot`, as far as the endpoint knows it) in stretches, oldest
    first. Raises EndpointError. The newest `keep` entries stay in memory, however long the history."""
    stretches: list[Stretch] = []
    before: str | None = None
    part: list[ListedSignature] = []
    listed = 0
    async for entry in _after(node, address, since, floor):
        if entry.slot < oldest_slot:
            break
        part.append(entry)
        listed += 1
        if len(part) == STRETCH:
            stretches.append(_stretch(before, part, listed <= keep))
            before, part = entry.signature, []
    if part:
        stretches.append(_stretch(before, part, listed <= keep))
    return stretches[::-1]


async def read_stretch(node: Node, address: str, stretch: Stretch, floor: int) -> list[ListedSignature]:
    """Its entries, oldest first: kept, or listed again. Raises EndpointError when they are not those of the outline:
    any endpoint may read it, and none may leave something out."""
    if stretch.kept is not None:
        return list(stretch.kept)
    page = await node.get_signatures_for_address(
        address, before=stretch.before, limit=stretch.count, min_context_slot=floor
    )
    bounds = (len(page), page[0].signature, page[-1].signature) if page else (0, "", "")
    if bounds != (stretch.count, stretch.newest, stretch.oldest):
        raise EndpointError(f"{node.label} does not list {stretch.newest} to {stretch.oldest} of {address} as before")
    return page[::-1]


def _stretch(before: str | None, part: list[ListedSignature], keep: bool) -> Stretch:
    kept = tuple(reversed(part)) if keep else None
    return Stretch(before, part[0].signature, part[-1].signature, len(part), kept)


async def _after(node: Node, address: str, since: Since | None, floor: int) -> AsyncIterator[ListedSignature]:
    """Entries after the cursor, newest first. They count only when the list ends with the very signature it names."""
    async for entry in entries(node, address, floor):
        if since is not None and entry.signature == since.signature:
            return
        if since is not None and entry.slot < since.slot:
            break
        yield entry
    else:
        if since is None:
            return
    raise EndpointError(
        f"{node.label} does not list {since.signature if since else ''}, up to which {address} was read"
    )


def _next(found: list[ListedSignature]) -> tuple[str, str | None]:
    """Where the next page begins, and the entry it must show first; the very first entry has none before it."""
    if len(found) == 1:
        return found[0].signature, None
    return found[-2].signature, found[-1].signature
