"""Seals what was booked since the last time into the hash chains, away from the path of money."""

from datetime import timedelta

from domain.outcomes import Again, Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.books.sealing import SEALED_TABLES, SealedTable, next_seals, write_seals
from storage.store import Store
from storage.work import Claim, fenced

PAGE_ROWS = 500
PAGES_MOST = 100
"""A run ends after as many pages, so that a long backlog lets other work of its lane in between."""


class SealStep:
    """Kind `seal`, subject `books`."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def run(self, claim: Claim) -> Outcome:
        for _ in range(PAGES_MOST):
            full = [await self._seal_page(claim, table) == PAGE_ROWS for table in SEALED_TABLES]
            if not any(full):
                return Done()
        return Again(timedelta(0), "more rows wait for their seals")

    async def _seal_page(self, claim: Claim, table: SealedTable) -> int:
        """Read and hash beside the writer; it only inserts."""
        found = await self._store.read(lambda conn: next_seals(conn, table, PAGE_ROWS))
        if found:
            now = self._clock.now()
            await self._store.write(fenced(claim, lambda conn: write_seals(conn, table.chain, found, now)))
        return len(found)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
