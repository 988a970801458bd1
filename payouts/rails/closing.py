"""Chooses receipts whose rent may come back, under the rules that keep their groups from being paid again.

Closing frees a receipt's address. So: group and batch are settled, a backup was taken after that (a database restored
from an older one would not know the payment), and the receipt is at least as old as backups are kept.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

from sqlalchemy import Connection, Row

from chain.receipts import CLOSED_TOGETHER
from domain.outcomes import Commit, Done, Outcome, nothing
from payouts.rails.packed_terms import PackedTerms
from ports.clock import Clock
from ports.ids import Ids
from storage.payouts import receipts, upkeep
from storage.recovery.backups import last_started
from storage.store import Store
from storage.work import Claim

TRANSACTIONS_AT_ONCE = 10
"""Of `CLOSED_TOGETHER` receipts each; the rest follows with the next nudge."""
AT_ONCE = CLOSED_TOGETHER * TRANSACTIONS_AT_ONCE


class ReceiptChain(Protocol):
    async def empty(self, accounts: Sequence[str]) -> list[str]:
        """Those of these token accounts that are there and hold nothing. Raises Retryable."""
        ...


class ReceiptsStep:
    """Kind `receipts`, subject `closing`: a nudge of the schedule."""

    def __init__(
        self, store: Store, clock: Clock, ids: Ids, chain: ReceiptChain, terms: PackedTerms, least_age: timedelta
    ) -> None:
        """`least_age`: at least as long as backups are kept."""
        self._store, self._clock, self._ids, self._chain = store, clock, ids, chain
        self._terms, self._least_age = terms, least_age

    async def run(self, claim: Claim) -> Outcome:
        now = self._clock.now()
        before = await self._store.read(lambda conn: self._settled_before(last_started(conn, now), now))
        found = [] if before is None else await self._empty(before)
        pages = [found[start : start + CLOSED_TOGETHER] for start in range(0, len(found), CLOSED_TOGETHER)]
        named = [(str(self._ids.uuid()), page) for page in pages]

        def commit(conn: Connection) -> None:
            for uuid, page in named:
                upkeep.plan(conn, "closing", uuid, self._terms.payer, page, now, None)

        return Done(commit)

    async def _empty(self, settled_before: datetime) -> list[str]:
        """The oldest. One that holds USDC can't be closed, nor what is in a transaction with it, and anybody may have
        sent it some: it is passed over."""
        found, above = list[str](), 0

        def look(conn: Connection) -> Sequence[Row[Any, Any]]:
            return receipts.closable(conn, settled_before, AT_ONCE, above)

        while page := await self._store.read(look):
            found += await self._chain.empty([row.address for row in page])
            above = page[-1].id
            if len(found) >= AT_ONCE:
                break
        return found[:AT_ONCE]

    def _settled_before(self, backup_at: datetime | None, now: datetime) -> datetime | None:
        return None if backup_at is None else min(backup_at, now - self._least_age)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
