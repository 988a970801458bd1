"""The operator's view of the indexer: how far the chain has been read, and reading it again."""

from typing import Protocol

from agent.web.audit import act
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.index_bodies import BackfillRow, BackfillWish, IndexStatus
from domain.errors import Rejected, RequestError, Retryable
from ports.clock import Clock
from storage.books import audit
from storage.store import Store


class Indexer(Protocol):
    async def status(self) -> IndexStatus: ...

    async def start_backfill(self, from_signature: str | None) -> BackfillRow:
        """Raises Rejected, or Retryable while the chain can't be read."""
        ...


class AdminIndex:
    """Endpoints under /admin/api/index."""

    def __init__(self, store: Store, clock: Clock, indexer: Indexer) -> None:
        self._store, self._clock, self._indexer = store, clock, indexer

    def endpoints(self) -> list[Endpoint]:
        path = "/admin/api/index"
        return [
            Endpoint("GET", path, Access.VIEWER, self.status, "How far and how well the chain is read", IndexStatus),
            Endpoint(
                "POST",
                f"{path}/backfill",
                Access.OPERATOR,
                self.backfill,
                "Read the platform wallet's history again and book what is missing; it moves no money",
                BackfillRow,
                status=202,
                takes=BackfillWish,
                errors=(409, 422, 503),
            ),
        ]

    async def status(self, _: Call) -> IndexStatus:
        return await self._indexer.status()

    async def backfill(self, call: Call) -> BackfillRow:
        wish, now = call.taken(BackfillWish), self._clock.now()
        try:
            begun = await self._indexer.start_backfill(wish.from_signature)
        except Rejected as error:
            raise RequestError(_STATUSES.get(error.code, 422), error.code, str(error)) from None
        except Retryable as error:
            raise RequestError(503, "chain_unreadable", f"the chain can't be read now: {error}") from None
        asked = act(call, "backfill", "index", wish.from_signature or "all")
        await self._store.write(audit.audited(asked, now, lambda conn: None))
        return begun


_STATUSES = {"backfill_running": 409}
