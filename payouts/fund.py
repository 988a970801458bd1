"""Lets owed purchases go as far as the platform wallet's finalized USDC carries them, and wakes the batches."""

from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage import batches
from storage.funding import fund
from storage.store import Store
from storage.work import Claim


class FundStep:
    """Kind `fund`, subject `treasury`: due whenever a deposit is finalized or money becomes owed."""

    def __init__(self, store: Store, clock: Clock, usdc_account: str) -> None:
        self._store, self._clock, self._account = store, clock, usdc_account

    async def run(self, claim: Claim) -> Outcome:
        now = self._clock.now()

        def commit(conn: object) -> None:
            if fund(conn, self._account, now):  # type: ignore[arg-type]
                batches.wake_open(conn, now)  # type: ignore[arg-type]

        return Done(commit)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
