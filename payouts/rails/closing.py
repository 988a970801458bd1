"""Chooses receipts whose rent may come back, under the rules that keep their groups from being paid again.

Closing frees a receipt's address. So: group and batch are settled, a backup was taken after that (a database restored
from an older one would not know the payment), and the receipt is at least as old as backups are kept.
"""

from datetime import datetime, timedelta

from sqlalchemy import Connection

from chain.receipts import CLOSED_TOGETHER
from domain.outcomes import Commit, Done, Outcome, nothing
from payouts.rails.packed_terms import PackedTerms
from ports.clock import Clock
from ports.ids import Ids
from storage import receipts, upkeep
from storage.backups import last_started
from storage.store import Store
from storage.work import Claim

TRANSACTIONS_AT_ONCE = 10
"""Of `CLOSED_TOGETHER` receipts each; the rest follows with the next nudge."""


class ReceiptsStep:
    """Kind `receipts`, subject `closing`: a nudge of the schedule."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, terms: PackedTerms, least_age: timedelta) -> None:
        """`least_age`: at least as long as backups are kept."""
        self._store, self._clock, self._ids = store, clock, ids
        self._terms, self._least_age = terms, least_age

    async def run(self, claim: Claim) -> Outcome:
        now = self._clock.now()

        def look(conn: Connection) -> list[str]:
            before = self._settled_before(last_started(conn), now)
            limit = CLOSED_TOGETHER * TRANSACTIONS_AT_ONCE
            return [] if before is None else receipts.closable(conn, before, limit)

        found = await self._store.read(look)
        pages = [found[start : start + CLOSED_TOGETHER] for start in range(0, len(found), CLOSED_TOGETHER)]
        named = [(str(self._ids.uuid()), page) for page in pages]

        def commit(conn: Connection) -> None:
            for uuid, page in named:
                upkeep.plan(conn, "closing", uuid, self._terms.payer, page, now, None)

        return Done(commit)

    def _settled_before(self, backup_at: datetime | None, now: datetime) -> datetime | None:
        return None if backup_at is None else min(backup_at, now - self._least_age)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
