"""Reads the platform wallet's history again when an operator asks for it, one reading at a time."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime

import structlog

from chain.transactions import check_signature
from domain.errors import Rejected, Retryable
from indexer.rpc.pool import RpcPool
from indexer.treasury.follower import TreasuryFollower
from indexer.treasury.rereading import Reread
from ports.clock import Clock
from ports.waking import Bell
from storage.errors import StoreUnavailable

_log = structlog.get_logger(__name__)

IDLE_SECONDS = 3600.0
"""Between wake-ups without anything to do; a wish rings."""
TRIES = 20
AGAIN_SECONDS = 15.0
"""A reading that endpoints or database break off begins anew so often: what was booked stays booked."""


@dataclass(frozen=True, slots=True)
class BackfillState:
    """A reading, running or ended. `from_signature` None = all; `error` is empty while all goes well."""

    from_signature: str | None
    started_at: datetime
    finished_at: datetime | None = None
    total: int = 0
    read: int = 0
    booked: int = 0
    error: str = ""


class Backfill:
    """`start` it from an endpoint; `run` works once per process."""

    def __init__(
        self, follower: TreasuryFollower, rpc: RpcPool, clock: Clock, ended: Callable[[], None] = lambda: None
    ) -> None:
        """`ended` is called after each reading."""
        self._follower, self._rpc, self._clock, self._ended = follower, rpc, clock, ended
        self._bell = Bell(clock)
        self.state: BackfillState | None = None

    async def start(self, from_signature: str | None) -> BackfillState:
        """Have it done; returns at once. Raises Rejected (`invalid_signature`, `unknown_signature`,
        `backfill_running`) or Retryable while no endpoint can tell of the signature."""
        if self.state is not None and self.state.finished_at is None:
            raise Rejected("backfill_running", "a backfill is running already: wait for its end")
        await self._slot_of(from_signature)
        self.state = BackfillState(from_signature, self._clock.now())
        self._bell.ring()
        return self.state

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            if self.state is not None and self.state.finished_at is None:
                await self.perform(self.state)
            await self._bell.wait(IDLE_SECONDS)

    async def perform(self, state: BackfillState, tell: Callable[[BackfillState], None] = lambda state: None) -> None:
        """Work a reading to its end, whatever that is; `state` of this object and `tell` show how far it is."""
        tries = 0
        while state.finished_at is None:
            try:
                done = await self._read(state.from_signature, self._showing(state, tell))
                state = replace(self._with(state, done), finished_at=self._clock.now(), error="")
            except (Retryable, StoreUnavailable, Rejected) as error:
                tries += 1
                over = tries == TRIES or isinstance(error, Rejected)
                state = replace(self.state or state, error=str(error), finished_at=self._clock.now() if over else None)
                _log.warning("backfill_broken_off", error=str(error), tries=tries)
                if not over:
                    await self._clock.sleep(AGAIN_SECONDS)
            self.state = state
            tell(state)
        _log.info("backfill_ended", read=state.read, booked=state.booked, error=state.error)
        self._ended()

    async def _read(self, from_signature: str | None, tell: Callable[[Reread], None]) -> Reread:
        return await self._follower.reread(await self._slot_of(from_signature), tell)

    async def _slot_of(self, signature: str | None) -> int:
        if signature is None:
            return 0
        check_signature(signature)
        found = (await self._rpc.get_signature_statuses([signature], search_history=True)).statuses[0]
        if found is None or found.commitment != "finalized":
            raise Rejected("unknown_signature", f"no finalized transaction {signature} is known to the RPC endpoint")
        return found.slot

    def _showing(self, state: BackfillState, tell: Callable[[BackfillState], None]) -> Callable[[Reread], None]:
        def show(done: Reread) -> None:
            self.state = self._with(state, done)
            tell(self.state)

        return show

    def _with(self, state: BackfillState, done: Reread) -> BackfillState:
        return replace(state, total=done.total, read=done.read, booked=done.booked)
