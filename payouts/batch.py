"""Drives one batch: nothing of it is sent until all of it is covered; it settles when every payout has an end."""

from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from domain.errors import InsufficientBalanceError
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.states import BatchStatus
from ports.clock import Clock
from storage import batches
from storage.batches import Standing
from storage.store import Store
from storage.work import Claim

log = structlog.get_logger(__name__)

LOOK_AGAIN = timedelta(minutes=5)
"""A safety net: deposits and finished transfers make the batch due themselves."""


class BatchStep:
    """Kind `batch`, subject: batch id."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def run(self, claim: Claim) -> Outcome:
        batch_id = int(claim.subject)

        def look(conn: Connection) -> tuple[Any, Standing, int | None]:
            row, standing = batches.by_id(conn, batch_id), batches.standing(conn, batch_id)
            return row, standing, batches.older_open(conn, batch_id)

        row, standing, older = await self._store.read(look)
        if standing.open_payouts == 0:
            return Done(lambda conn: self._settle(conn, batch_id))
        if row.paused:
            return Again(LOOK_AGAIN, "paused")
        if older is not None:
            return Again(LOOK_AGAIN, f"batch {older} is served first")
        if standing.uncovered and row.status != BatchStatus.SENDING:
            return self._wait(batch_id, standing)
        return Again(LOOK_AGAIN, "sending", commit=lambda conn: self._send(conn, batch_id))

    def _wait(self, batch_id: int, standing: Standing) -> Outcome:
        have = standing.unpaid - standing.uncovered
        short = InsufficientBalanceError(standing.unpaid, have)
        log.warning("batch waits for funds", batch=batch_id, need=short.need, have=short.have, short=short.short)
        now = self._clock.now()
        return Again(
            LOOK_AGAIN,
            str(short),
            commit=lambda conn: batches.move(conn, batch_id, BatchStatus.WAITING_FUNDS, now, str(short)),
        )

    def _send(self, conn: Connection, batch_id: int) -> None:
        """Under the job's lease: covered payouts are only ever looked at in the transaction that starts them."""
        now = self._clock.now()
        if batches.standing(conn, batch_id).uncovered and batches.by_id(conn, batch_id).status != BatchStatus.SENDING:
            return
        batches.move(conn, batch_id, BatchStatus.SENDING, now)
        batches.start_transfers(conn, batch_id, now)

    def _settle(self, conn: Connection, batch_id: int) -> None:
        now = self._clock.now()
        if batches.standing(conn, batch_id).open_payouts == 0:
            batches.move(conn, batch_id, BatchStatus.SETTLED, now)
            batches.wake_open(conn, now)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
