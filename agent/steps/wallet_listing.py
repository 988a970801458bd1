"""Finds out, after a restore, whom Circle has come to know since these rows were copied.

They are few; else all users from before would have to be asked about, one by one.
"""

from collections.abc import AsyncIterator
from datetime import datetime
from functools import partial
from typing import Protocol

import structlog

from domain.errors import AccessRefused, Rejected, looking_up
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.clock import Clock
from storage.recovery import wallet_looks
from storage.store import Store
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)


class CircleLists(Protocol):
    """All raise Retryable or Rejected."""

    def users_since(self, since: datetime) -> AsyncIterator[list[str]]: ...

    def references_since(self, wallet_set_id: str, since: datetime) -> AsyncIterator[list[str]]: ...


class WalletListingStep:
    """Kind `wallet_listing`, subject: since when. `kind` is the setting `user_wallets`. Begun anew after a crash."""

    def __init__(self, store: Store, clock: Clock, circle: CircleLists, kind: str, wallet_set_id: str) -> None:
        self._store, self._clock, self._circle = store, clock, circle
        self._kind, self._wallet_set_id = kind, wallet_set_id

    async def run(self, claim: Claim) -> Outcome:
        try:
            with looking_up(may_have_happened=True):
                await self._look_for_listed(claim)
        except AccessRefused:
            raise
        except Rejected as error:
            log.warning("circle lists nobody: each user from before is asked about", why=str(error))
            now = self._clock.now()
            return Done(lambda conn: wallet_looks.look_for_each(conn, now))
        return Done()

    async def _look_for_listed(self, claim: Claim) -> None:
        async for uuids in self._listed(datetime.fromisoformat(claim.subject)):
            look = partial(wallet_looks.look_for, uuids=uuids, now=self._clock.now())
            await self._store.write(fenced(claim, look))

    def _listed(self, since: datetime) -> AsyncIterator[list[str]]:
        if self._kind == "developer":
            return self._circle.references_since(self._wallet_set_id, since)
        return self._circle.users_since(since)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
