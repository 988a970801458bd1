"""Lets owed purchases go as far as the platform wallet's finalized USDC carries them, and wakes the batches."""

from sqlalchemy import Connection

from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage import batches
from storage.funding import fund
from storage.planning import lock_plans
from storage.store import Store
from storage.work import Claim, enqueue


class FundStep:
    """Kind `fund`, subject `treasury`: due whenever a deposit is finalized or money becomes owed. `in_real_time`: what
    it covers may be payable at once."""

    def __init__(self, store: Store, clock: Clock, usdc_account: str, *, in_real_time: bool = False) -> None:
        self._store, self._clock, self._account = store, clock, usdc_account
        self._in_real_time = in_real_time

    async def run(self, claim: Claim) -> Outcome:
        now = self._clock.now()

        def commit(conn: Connection) -> None:
            lock_plans(conn)  # a mint that pays promises from the same balance
            if not fund(conn, self._account, now):
                return
            batches.wake_open(conn, now)
            if self._in_real_time:
                enqueue(conn, "realtime", "payouts", now)

        return Done(commit)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
