"""One loop for all signatures in flight: asks for 256 at a time, and calls one expired only with proof."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from domain.errors import Retryable
from domain.states import WatchState
from indexer.rpc.errors import EndpointError
from indexer.rpc.node import STATUSES_MAX, Node
from indexer.rpc.pool import RpcPool, Testimony
from indexer.rpc.values import SignatureStatus
from indexer.waking import Bell
from ports.clock import Clock
from storage.chain_rows import Fate, Watched, open_watch_count, open_watches, record_fates
from storage.errors import StoreUnavailable
from storage.store import Store

T = TypeVar("T")
_log = structlog.get_logger(__name__)

POLL_SLOTS = 5
"""Slots between polls while something is open: a sixth of the way to finality, six calls per batch at most."""
SOON_SLOTS = 2
"""Slots after a new signature before it is asked about: a transaction needs that long to be in a block."""
CACHE_SLOTS = 100
"""A signature older than this may have left the nodes' status cache (150 slots) and is asked with history search."""
IDLE_SECONDS = 30.0
"""Between looks at the table when nothing is open: another replica may have added a row. No RPC call is made then."""
LONGEST_PAUSE_SECONDS = 15.0
"""While the endpoints fail."""

_FATES = {
    "processed": WatchState.WATCHING,
    "confirmed": WatchState.CONFIRMED,
    "finalized": WatchState.FINALIZED,
}
"""Nothing follows from `processed`: half of the forks are that young."""


@dataclass(frozen=True, slots=True)
class _Witness:
    """What one endpoint knew: its finalized slot and block height, read before the statuses."""

    slot: int
    block_height: int
    statuses: tuple[SignatureStatus | None, ...]


class SignatureTracker:
    """Writes the fate of `watched_signatures` and makes the waiting jobs due. Run `run` once per process.

    `slot_seconds` is the cluster's slot time; all intervals follow it. `wake` is called after jobs were made due.
    """

    def __init__(
        self,
        store: Store,
        rpc: RpcPool,
        clock: Clock,
        *,
        slot_seconds: float,
        wake: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._rpc, self._clock = store, rpc, clock
        self._slot_seconds, self._wake = slot_seconds, wake
        self._bell = Bell(clock)

    def poke(self) -> None:
        """A signature was added: ask about it soon."""
        self._bell.ring()

    async def run(self) -> None:
        """Until cancelled. Errors of endpoints and database are logged and tried again: none means "not there"."""
        failures = 0
        while True:
            try:
                open_now = await self.poll()
                failures = 0
            except (Retryable, StoreUnavailable) as error:
                failures += 1
                open_now = 1
                _log.warning("signatures_not_read", error=str(error), failures=failures)
            await self._pause(open_now, failures)

    async def poll(self) -> int:
        """Ask once about everything open, at most one status call per 256; returns how many are open still.

        Raises Retryable when the endpoints do not answer; what was learned before that is stored.
        """
        watched = await self._store.read(open_watches)
        unseen: list[Watched] = []
        for batch in _batches(watched):
            unseen += await self._ask(batch)
        await self._expire([row for row in unseen if row.last_valid_block_height is not None])
        return await self._store.read(open_watch_count) if watched else 0

    async def _pause(self, open_now: int, failures: int) -> None:
        if not open_now:
            await self._bell.wait(IDLE_SECONDS)
            await self._clock.sleep(SOON_SLOTS * self._slot_seconds)
            return
        seconds = POLL_SLOTS * self._slot_seconds * 2.0 ** min(failures, 10)
        if await self._bell.wait(min(seconds, LONGEST_PAUSE_SECONDS)):
            await self._clock.sleep(SOON_SLOTS * self._slot_seconds)

    async def _ask(self, batch: Sequence[Watched]) -> list[Watched]:
        """Store what the statuses say; returns the rows that the endpoint does not know."""
        age = self._clock.now() - min(row.created_at for row in batch)
        old = age > timedelta(seconds=CACHE_SLOTS * self._slot_seconds)
        answer = await self._rpc.get_signature_statuses([row.signature for row in batch], search_history=old)
        pairs = list(zip(batch, answer.statuses, strict=True))
        await self._record([_fate(row.signature, status) for row, status in pairs])
        return [row for row, status in pairs if status is None]

    async def _expire(self, rows: Sequence[Watched]) -> None:
        """Prove those expired whose last valid block is finalized history. One block height for all of them."""
        if not rows:
            return
        height = await self._rpc.get_block_height("finalized")
        past = [row for row in rows if (row.last_valid_block_height or 0) < height]
        for batch in _batches(past):
            witnesses = await self._rpc.testify(partial(_witness, batch=batch))
            fates = (self._judge(row, place, witnesses) for place, row in enumerate(batch))
            await self._record([fate for fate in fates if fate is not None])

    def _judge(self, row: Watched, place: int, witnesses: Sequence[Testimony[_Witness]]) -> Fate | None:
        """Expired if as many endpoints as needed are past the last valid block and know nothing, and none knows it."""
        for one in witnesses:
            if one.answer.statuses[place] is not None:
                return _fate(row.signature, one.answer.statuses[place])
        last_valid = row.last_valid_block_height or 0
        proving = [one for one in witnesses if one.answer.block_height > last_valid]
        if len(proving) < self._rpc.witnesses:
            return None
        lowest = min(proving, key=lambda one: one.answer.block_height).answer
        proof = {
            "finalized_block_height": lowest.block_height,
            "last_valid_block_height": last_valid,
            "endpoints": [one.label for one in proving],
            "slot": lowest.slot,
        }
        return Fate(row.signature, WatchState.EXPIRED, proof=json.dumps(proof))

    async def _record(self, fates: Sequence[Fate]) -> None:
        if not fates:
            return
        now = self._clock.now()
        if await self._store.write(lambda conn: record_fates(conn, fates, now)):
            self._wake()


async def _witness(node: Node, batch: Sequence[Watched]) -> _Witness:
    """The order is the proof: a block height that is finalized before the statuses are read leaves no room for the
    transaction to land in between."""
    slot = await node.get_slot("finalized")
    height = await node.get_block_height("finalized", min_context_slot=slot)
    answer = await node.get_signature_statuses([row.signature for row in batch], search_history=True)
    if answer.slot < slot:
        raise EndpointError(f"{node.label}: statuses of slot {answer.slot}, older than its finalized slot {slot}")
    return _Witness(slot, height, answer.statuses)


def _fate(signature: str, status: SignatureStatus | None) -> Fate:
    """A confirmed signature that vanishes (a fork) goes back to watching: nothing final was derived from it."""
    if status is None:
        return Fate(signature, WatchState.WATCHING)
    state = _FATES[status.commitment]
    if state is WatchState.WATCHING:
        return Fate(signature, state)
    final_error = state is WatchState.FINALIZED and status.err is not None
    return Fate(signature, state, status.slot, json.dumps(status.err, sort_keys=True) if final_error else None)


def _batches(rows: Sequence[T]) -> Iterator[Sequence[T]]:
    for start in range(0, len(rows), STATUSES_MAX):
        yield rows[start : start + STATUSES_MAX]
