"""Forgets sign-ins that ran out long ago, a slice at a time, so that no writer waits for it."""

from datetime import timedelta

from domain.outcomes import Again, Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.operation.pruning import forget, run_out
from storage.store import Store
from storage.work import Claim, fenced

KEPT = timedelta(days=30)
"""For as long one can still look up when somebody was signed in."""
SLICE_ROWS = 500
"""Deleted in one transaction: a few milliseconds of the writer."""
SLICES_MOST = 20
"""In one run; a long backlog lets other work of the lane in between."""


class PruneStep:
    """Kind `prune`, subject `sign_ins`."""

    def __init__(self, store: Store, clock: Clock, slices_most: int = SLICES_MOST) -> None:
        self._store, self._clock, self._slices_most = store, clock, slices_most

    async def run(self, claim: Claim) -> Outcome:
        before = self._clock.now() - KEPT
        for _ in range(self._slices_most):
            old = await self._store.read(lambda conn: run_out(conn, before, SLICE_ROWS))
            if not any(old):
                return Done()
            await self._store.write(fenced(claim, lambda conn, old=old: forget(conn, *old)))  # type: ignore[misc]
        return Again(timedelta(0), "more sign-ins that ran out are to be forgotten")

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
