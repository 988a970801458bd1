"""Looks through Circle Mint's transfers for one that the database does not know: after a restored backup it becomes
the order that it was, or a new row. Until that was done once after a start, no order is sent."""

from collections.abc import AsyncIterator, Callable
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from domain.outcomes import Commit, Done, Outcome, nothing
from gateways.circle_mint import MintTransfer
from ports.clock import Clock
from ports.ids import Ids
from storage.operation.listings import read_since, read_whole
from storage.recovery import conversion_adoption as adoption
from storage.store import Store
from storage.work import Claim

log = structlog.get_logger(__name__)

CURSOR = "circle_mint_transfers"
OVERLAP = timedelta(days=1)
"""A transfer created shortly before the last listing may not have been in it."""


class MintTransfers(Protocol):
    def transfers(self, since: datetime) -> AsyncIterator[MintTransfer]: ...


class ConversionListingStep:
    """Kind `conversion_listing`, subject `circle_mint`. `has_looked` is asked by the lane that sends orders."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        mint: MintTransfers,
        address: str,
        *,
        is_on: bool,
        looked: Callable[[], None],
    ) -> None:
        """`looked` is called when orders may be sent from now on."""
        self._store, self._clock, self._ids, self._mint = store, clock, ids, mint
        self._address, self._is_on, self._looked = address, is_on, looked
        self.has_looked = not is_on

    async def run(self, claim: Claim) -> Outcome:
        if not self._is_on:
            return Done()
        started = self._clock.now()
        since = await self._store.read(lambda conn: read_since(conn, CURSOR, self._clock.now())) - OVERLAP
        async for one in self._mint.transfers(since):
            await self._place(one)
        await self._store.write(lambda conn: read_whole(conn, CURSOR, started, self._clock.now()))
        if not self.has_looked:
            self.has_looked = True
            self._looked()
        return Done()

    async def _place(self, one: MintTransfer) -> None:
        """What goes elsewhere is the account's own business, and what failed moved nothing."""
        if one.address != self._address or one.has_failed or one.units <= 0:
            return
        found = adoption.Found(one.id, one.status, one.units, one.address, one.signature, one.create_date)
        uuid, now = self._ids.uuid(), self._clock.now()
        adopted = await self._store.write(lambda conn: adoption.adopt(conn, found, uuid, now))
        if adopted:
            log.warning("a transfer at Circle Mint was unknown and is adopted", circle=one.id, status=one.status)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
