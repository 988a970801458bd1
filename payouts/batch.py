"""Drives one batch: nothing of it is sent until all of it is covered; it settles when every payout has an end."""

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from sqlalchemy import Connection

from domain.errors import InsufficientBalanceError
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.states import BatchStatus
from ports.clock import Clock
from storage.operation.stopped import look_again_in
from storage.payouts import batches
from storage.payouts.approvals import approvers
from storage.payouts.batches import Outstanding
from storage.payouts.plan_bounds import beyond_plan, note_changes
from storage.store import Store
from storage.treasury.funding import Shortage, shortage
from storage.work import Claim

log = structlog.get_logger(__name__)

LOOK_AGAIN = timedelta(hours=1)
"""A safety net: approvals, deposits, finished transfers, pauses, settled batches and payouts that become less or leave
the batch make it due themselves."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a person must have agreed to, and caps in base units (0: none)."""

    approvers: int = 1
    payout_cap: int = 0
    batch_cap: int = 0


class BatchStep:
    """Kind `batch`, subject: batch id."""

    def __init__(self, store: Store, clock: Clock, limits: Limits) -> None:
        self._store, self._clock, self._limits = store, clock, limits

    async def run(self, claim: Claim) -> Outcome:
        batch_id = int(claim.subject)

        def look(conn: Connection) -> tuple[Any, Outstanding, Shortage, int | None, int, int]:
            row, outstanding = batches.by_id(conn, batch_id), batches.outstanding(conn, batch_id)
            agreed, largest = len(approvers(conn, batch_id)), batches.largest_transfer(conn, batch_id)
            lacking = shortage(conn, batch_id)
            return row, outstanding, lacking, batches.waiting(conn, before=batch_id), agreed, largest

        row, outstanding, lacking, older, agreed, largest = await self._store.read(look)
        if outstanding.open_payouts == 0:
            return Done(lambda conn: self._settle(conn, batch_id))
        if row.paused:
            return Again(LOOK_AGAIN, f"paused: {row.pause_reason}")
        if row.status in (BatchStatus.PLANNED, BatchStatus.WAITING_APPROVAL):
            stopped = self._agree(batch_id, agreed) or self._cap(batch_id, largest, outstanding.unpaid)
            if stopped is not None:
                return stopped
        if older is not None:
            return Again(LOOK_AGAIN, f"batch {older} is served first")
        if outstanding.uncovered and row.status != BatchStatus.SENDING:
            return self._wait(batch_id, outstanding.unpaid + lacking.before, lacking.short)
        return Again(LOOK_AGAIN, "sending", commit=lambda conn: self._send(conn, batch_id))

    def _agree(self, batch_id: int, agreed: int) -> Outcome | None:
        if agreed >= self._limits.approvers:
            return None
        why, now = f"{agreed} of {self._limits.approvers} approvals", self._clock.now()
        waiting = BatchStatus.WAITING_APPROVAL
        return Again(LOOK_AGAIN, why, commit=lambda conn: batches.move(conn, batch_id, waiting, now, why))

    def _cap(self, batch_id: int, largest: int, total: int) -> Outcome | None:
        """A batch above a cap is paused as a whole: a person raises the cap, or takes the items out."""
        limits, why = self._limits, ""
        if limits.payout_cap and largest > limits.payout_cap:
            why = f"a payout of {largest} is above the cap of {limits.payout_cap} base units (AGENT_CAP_PAYOUT)"
        elif limits.batch_cap and total > limits.batch_cap:
            why = f"its total of {total} is above the cap of {limits.batch_cap} base units (AGENT_CAP_BATCH)"
        if not why:
            return None
        log.error("batch above a cap", batch=batch_id, why=why)
        now = self._clock.now()
        return Again(LOOK_AGAIN, why, commit=lambda conn: batches.set_paused(conn, batch_id, why, now))

    def _wait(self, batch_id: int, need: int, lacking: int) -> Outcome:
        short = InsufficientBalanceError(need, need - lacking)
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
        if (
            batches.outstanding(conn, batch_id).uncovered
            and batches.by_id(conn, batch_id).status != BatchStatus.SENDING
        ):
            return
        refused = beyond_plan(conn, batch_id)
        if refused is not None:
            log.error("batch is more than its plan", batch=batch_id, why=refused)
            batches.set_paused(conn, batch_id, refused, now)
            return
        note_changes(conn, batch_id, now)
        had_its_turn = batches.by_id(conn, batch_id).status == BatchStatus.SENDING
        batches.move(conn, batch_id, BatchStatus.SENDING, now)
        batches.start_transfers(conn, batch_id, now)
        if not had_its_turn:
            look_again_in(conn, batch_id, now)  # what it took from an earlier plan waits for just that
            batches.wake_open(conn, now, after=batch_id)

    def _settle(self, conn: Connection, batch_id: int) -> None:
        now = self._clock.now()
        if batches.outstanding(conn, batch_id).open_payouts == 0:
            note_changes(conn, batch_id, now)
            batches.move(conn, batch_id, BatchStatus.SETTLED, now)
            batches.wake_open(conn, now)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
