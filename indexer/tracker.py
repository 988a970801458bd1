"""One loop for all signatures in flight: asks for 256 at a time, and calls none final or expired on one endpoint's word
where several are configured."""

import json
import math
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import partial
from typing import TypeVar

import structlog

from domain.errors import Retryable
from domain.states import WatchState
from indexer.fast_path import FastPath
from indexer.rpc.errors import EndpointError
from indexer.rpc.node import STATUSES_MAX, Node
from indexer.rpc.pool import RpcPool
from indexer.rpc.testimony import Testimony
from indexer.rpc.values import SignatureStatus, SignatureStatuses
from indexer.together import together
from ports.clock import Clock
from ports.waking import Bell
from storage.errors import StoreUnavailable
from storage.store import Store
from storage.treasury.chain_rows import OPEN, Fate, Watched, open_watches, record_fates

T = TypeVar("T")
_log = structlog.get_logger(__name__)

NET_SLOTS = 40
"""Slots between polls of what the fast path follows: longer than the way to finality, so that one that is told of in
time is never polled in vain, and one that is forgotten by the provider is late by some seconds only."""
POLL_SLOTS = 5
"""Slots between polls while something is open: a sixth of the way to finality, six calls per batch at most."""
SOON_SLOTS = 2
"""Slots after a new signature before it is asked about: a transaction needs that long to be in a block."""
CACHE_SLOTS = 100
"""A signature older than this may have left the nodes' status cache (150 slots) and is asked with history search."""
LIFE_SLOTS = 145
"""A signature that was made so few slots ago may still land, whatever its last valid block is said to be: that comes
from one endpoint, with the blockhash. A blockhash lives for 150 blocks, and is signed for within a few of its own."""
QUIET_PART = 4
"""As in `domain.waits`: a fate is seen a quarter later than it could have been, at most."""
LONGEST_PAUSE_SECONDS = 15.0
"""While the endpoints fail, or nothing has come of what is open for longer than it can land: an endpoint that lies, or
stands still, leaves it unproven for hours."""

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

    All intervals follow the cluster's slot time as the pool measures it. `idle_seconds` pass between looks at the table
    when nothing is open: another replica may have added a row (no RPC call is made then). `wake` is called after jobs
    were made due, `landed` after one became final. With a fast path, signatures that it follows are asked about
    when it tells of them, and else seldom.
    """

    def __init__(
        self,
        store: Store,
        rpc: RpcPool,
        clock: Clock,
        *,
        idle_seconds: float,
        fast_path: FastPath | None = None,
        wake: Callable[[], None] = lambda: None,
        landed: Callable[[], None] = lambda: None,
    ) -> None:
        self._store, self._rpc, self._clock = store, rpc, clock
        self._idle_seconds, self._fast_path, self._wake, self._landed = idle_seconds, fast_path, wake, landed
        self._bell = Bell(clock)
        self._standing: dict[str, tuple[WatchState, int | None]] = {}
        """Signature → state and slot, of everything that is open as of the last poll."""
        self._asked_at: dict[str, float] = {}
        self._heard: set[str] = set()
        self._doubted: set[str] = set()
        """Final by the word of one endpoint alone: the net is narrow until another one says so too."""
        self._root = 0
        self._next_final: int | None = None
        self._all_followed = False
        self._news_at = clock.monotonic()

    @property
    def open_now(self) -> int:
        """How many signatures were open at the end of the last poll."""
        return len(self._standing)

    def poke(self) -> None:
        """A signature was added: ask about it soon."""
        self._bell.ring()

    # --- what the fast path tells --------------------------------------------------------------------------------

    def heard(self, signature: str) -> None:
        """Something happened to it: ask soon."""
        self._heard.add(signature)
        self._bell.ring()

    def rooted(self, slot: int) -> None:
        """The chain is final up to there: ask about what was confirmed by then."""
        self._root = max(self._root, slot)
        if self._next_final is not None and self._next_final <= self._root:
            self._next_final = None
            self._bell.ring()

    def follows(self) -> None:
        """Ask once about what is followed only now: it may have landed before."""
        self._bell.ring()

    # --- the loop ------------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Until cancelled. Errors of endpoints and database are logged and tried again: none means "not there"."""
        if self._fast_path is None:
            await self._run()
            return
        await together([self._run(), self._fast_path.run(self)])

    async def _run(self) -> None:
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
        """Ask once about everything open that is due, at most one status call per 256; returns how many are open still.

        Raises Retryable when the endpoints do not answer; what was learned before that is stored.
        """
        watched = await self._store.read(open_watches)
        self._standing = {row.signature: (row.state, row.slot) for row in watched}
        self._look_ahead()
        now = self._clock.monotonic()
        unseen: list[Watched] = []
        for batch in _batches([row for row in watched if self._is_due(row, now)]):
            unseen += await self._ask(batch)
            self._heard.difference_update(row.signature for row in batch)
        await self._expire([row for row in unseen if row.last_valid_block_height is not None])
        self._look_ahead()
        return len(self._standing)

    def _is_due(self, row: Watched, now: float) -> bool:
        """Without a fast path always: the loop's own pauses pace the questions."""
        asked_at = self._asked_at.get(row.signature)
        if asked_at is None or row.signature in self._heard:
            return True
        if not self._is_followed(row.signature, row.state, asked_at):
            return True
        if row.state is WatchState.CONFIRMED and (row.slot or 0) <= self._root:
            return True
        return now - asked_at >= NET_SLOTS * self._rpc.pace.seconds

    def _is_followed(self, signature: str, state: WatchState, asked_at: float) -> bool:
        """Whether what happens to it next will be told."""
        if self._fast_path is None or signature in self._doubted:
            return False
        if state is WatchState.CONFIRMED:
            return self._fast_path.is_live
        return self._fast_path.covers(signature, asked_at)

    def _look_ahead(self) -> None:
        """From how things stand: what to follow, and what the next news of a slot must reach to matter."""
        standing = self._standing
        self._doubted.intersection_update(standing)
        self._rpc.doubt(self._doubted)
        if self._fast_path is None:
            return
        self._asked_at = {name: at for name, at in self._asked_at.items() if name in standing}
        self._heard.intersection_update(standing)
        self._fast_path.want([name for name, (state, _) in standing.items() if state is WatchState.WATCHING])
        confirmed = [slot or 0 for state, slot in standing.values() if state is WatchState.CONFIRMED]
        self._next_final = min(confirmed, default=None)
        self._all_followed = all(
            self._is_followed(name, state, self._asked_at.get(name, -math.inf)) for name, (state, _) in standing.items()
        )

    async def _pause(self, open_now: int, failures: int) -> None:
        slot_seconds = self._rpc.pace.seconds
        if not open_now:
            await self._bell.wait(self._idle_seconds)
            self._news_at = self._clock.monotonic()
            await self._clock.sleep(SOON_SLOTS * slot_seconds)
            return
        slots = NET_SLOTS if self._all_followed and not failures else POLL_SLOTS
        seconds = max(slots * slot_seconds * 2.0 ** min(failures, 10), self._quiet_seconds() / QUIET_PART)
        if await self._bell.wait(min(seconds, LONGEST_PAUSE_SECONDS)):
            self._news_at = self._clock.monotonic()
            await self._clock.sleep(SOON_SLOTS * slot_seconds)

    def _quiet_seconds(self) -> float:
        """For how long nothing was new, beyond the life of a blockhash."""
        return self._clock.monotonic() - self._news_at - LIFE_SLOTS * self._rpc.pace.seconds

    async def _ask(self, batch: Sequence[Watched]) -> list[Watched]:
        """Store what the statuses say; returns the rows that the endpoint does not know."""
        begun = self._clock.monotonic()
        age = self._clock.now() - min(row.created_at for row in batch)
        old = age > timedelta(seconds=CACHE_SLOTS * self._rpc.pace.seconds)
        question = partial(_statuses, batch=batch, old=old)
        told = await self._rpc.tell(question)
        self._asked_at.update(dict.fromkeys((row.signature for row in batch), begun))
        pairs = list(zip(batch, told.answer.statuses, strict=True))
        doubted = await self._doubts(batch, told, question)
        self._doubted = (self._doubted - {row.signature for row in batch}) | doubted
        await self._record([_fate(row.signature, status) for row, status in pairs if row.signature not in doubted])
        return [row for row, status in pairs if status is None or row.signature in doubted]

    async def _doubts(
        self,
        batch: Sequence[Watched],
        told: Testimony[SignatureStatuses],
        question: Callable[[Node], Awaitable[SignatureStatuses]],
    ) -> set[str]:
        """What one endpoint alone calls final. One more call for all that became final together, in one batch."""
        alone = {
            place: status
            for place, status in enumerate(told.answer.statuses)
            if status is not None and status.commitment == "finalized"
        }
        if not alone or self._rpc.witnesses == 1:
            return set()
        async for other in self._rpc.others(question, told.label):
            alone = {place: status for place, status in alone.items() if other.statuses[place] != status}
            if not alone:
                break
        return {batch[place].signature for place in alone}

    async def _expire(self, rows: Sequence[Watched]) -> None:
        """Prove those expired whose last valid block is finalized history. One block height for all of them."""
        if not rows:
            return
        height = await self._rpc.get_block_height("finalized")
        young = self._clock.now() - timedelta(seconds=LIFE_SLOTS * self._rpc.pace.seconds)
        past = [row for row in rows if (row.last_valid_block_height or 0) < height and row.created_at <= young]
        for batch in _batches(past):
            witnesses = await self._rpc.testify(partial(_witness, batch=batch))
            fates = (self._judge(row, place, witnesses) for place, row in enumerate(batch))
            await self._record([fate for fate in fates if fate is not None])

    def _judge(self, row: Watched, place: int, witnesses: Sequence[Testimony[_Witness]]) -> Fate | None:
        """Expired if as many endpoints as needed are past the last valid block and none knows it; final if as many say
        so."""
        known = [status for one in witnesses if (status := one.answer.statuses[place]) is not None]
        if known:
            held = [one for one in known if one.commitment != "finalized" or known.count(one) >= self._rpc.witnesses]
            return _fate(row.signature, held[0]) if held else None
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
        """Most polls bring nothing new of most signatures: what stands as this poll has read it is not written."""
        news = [fate for fate in fates if self._standing.get(fate.signature, (None,))[0] is not fate.state]
        for fate in fates:
            if fate.state in OPEN:
                self._standing[fate.signature] = fate.state, fate.slot
            else:
                self._standing.pop(fate.signature, None)
        now = self._clock.now()
        if not news:
            return
        self._news_at = self._clock.monotonic()
        if await self._store.write(lambda conn: record_fates(conn, news, now)):
            self._wake()
            if any(fate.state is WatchState.FINALIZED for fate in news):
                self._landed()


async def _statuses(node: Node, batch: Sequence[Watched], old: bool) -> SignatureStatuses:
    return await node.get_signature_statuses([row.signature for row in batch], search_history=old)


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
