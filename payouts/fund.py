"""Lets owed purchases go as far as the platform wallet's finalized USDC carries them, and wakes the batches.

A large deposit is handed out in slices, a write each, oldest payment first: intake goes on in between, and a process
that dies goes on with the next slice.
"""

from sqlalchemy import Connection

from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.payouts import batches
from storage.store import Store
from storage.treasury.funding import SLICE, fund
from storage.work import Claim, enqueue


class FundStep:
    """Kind `fund`, subject `treasury`: due whenever a deposit is finalized or money becomes owed. `in_real_time`: what
    it covers may be payable at once."""

    def __init__(
        self, store: Store, clock: Clock, usdc_account: str, *, in_real_time: bool = False, most: int = SLICE
    ) -> None:
        """`most`: purchases moved in one write."""
        self._store, self._clock, self._account = store, clock, usdc_account
        self._in_real_time, self._most = in_real_time, most

    async def run(self, claim: Claim) -> Outcome:
        now = self._clock.now()

        def commit(conn: Connection) -> None:
            funded = fund(conn, self._account, now, self._most)
            if not funded.is_done:
                enqueue(conn, "fund", "treasury", now)
            if not funded.purchases:
                return
            batches.wake_open(conn, now)
            if self._in_real_time:
                enqueue(conn, "realtime", "payouts", now)

        return Done(commit)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
