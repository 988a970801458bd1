"""Reads both histories as they grow. Each has a cursor, the last signature stored, which moves in the transaction of
its rows."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

import structlog
from sqlalchemy import Connection

from domain.errors import Retryable
from domain.ledger import Asset
from indexer.effects.facts import TransactionFacts
from indexer.history import Since, outline, read_stretch
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import ListedSignature
from indexer.treasury.balances import Balances
from indexer.treasury.bookings import Bookings
from indexer.treasury.gap_search import GapSearch
from indexer.treasury.reader import TransactionReader, chunks
from indexer.treasury.rereading import Reread, Rereader
from indexer.treasury.tracks import Track, tracks_of
from ports.clock import Clock
from ports.waking import Bell
from storage.errors import StoreUnavailable
from storage.store import Store
from storage.treasury.chain_rows import Cursor, cursor, move_cursor
from storage.treasury.movement_rows import MovementKind
from storage.treasury.movements import judge_unclaimed

_log = structlog.get_logger(__name__)

LONGEST_PAUSE_SECONDS = 30.0
"""While the endpoints fail."""
GATHERING_SECONDS = 5.0
"""After a poke: a batch's transfers come in one after another, and a pass costs the same for one as for thirty."""
CATCH_UP_SECONDS = 1.0
"""Between passes of somebody who waits for the newest slot to be read."""


@dataclass(frozen=True, slots=True)
class Head:
    """Up to which finalized slot the whole history of both addresses is stored."""

    slot: int


@dataclass(frozen=True, slots=True)
class Pass:
    """What one look at the chain brought. `gaps`: by asset, what the wallet held at a slot minus what is booked up to
    that slot, by the word of the endpoint that differs most; a gap that stays means that a movement is missing, or that
    an endpoint lies. Empty before there are balances to compare: those of one pass are held against the history that
    the next one reads."""

    head: Head
    stored: int
    deposits: int
    orphans: int
    gaps: Mapping[Asset, int]


class TreasuryFollower:
    """Run `run` once per process. `wake` is called when job (fund, treasury) was made due, `observe` with the gap
    of an asset at each pass that has compared it."""

    def __init__(
        self,
        store: Store,
        rpc: RpcPool,
        read_back: ReadBack,
        clock: Clock,
        *,
        poll_seconds: float,
        wake: Callable[[], None] = lambda: None,
        observe: Callable[[Asset, int], None] = lambda _asset, _gap: None,
    ) -> None:
        self._store, self._rpc, self._clock = store, rpc, clock
        self._poll_seconds, self._wake, self._observe = poll_seconds, wake, observe
        self.usdc_account = read_back.usdc_account
        self.tracks = tracks_of(read_back.wallet, self.usdc_account)
        self._reader = TransactionReader(rpc, read_back)
        self._bookings = Bookings(read_back.wallet, self.usdc_account, read_back.usdc_mint)
        self._balances = Balances(store, rpc, clock, self.tracks)
        self._rereader = Rereader(store, rpc, clock, self.tracks, self._reader, self._bookings, self._balances, wake)
        self._search = GapSearch(rpc, clock, self._rereader, self._look_at_deposits)
        self._bell = Bell(clock)
        self._one_at_a_time = asyncio.Lock()
        self._head: Head | None = None

    def poke(self) -> None:
        """Something has moved, or is about to (a signature is final, Circle tells of a transaction): look soon."""
        self._bell.ring()

    def head(self) -> Head | None:
        """How far the history is stored; None before the first whole pass of this process."""
        return self._head

    async def run(self) -> None:
        """Until cancelled. Errors of endpoints and database are logged and tried again from the cursor."""
        failures = 0
        while True:
            try:
                await self.follow()
                failures = 0
            except (Retryable, StoreUnavailable) as error:
                failures += 1
                _log.warning("treasury_not_read", error=str(error), failures=failures)
            await self._bell.wait(self._pause(failures), min(self._poll_seconds, GATHERING_SECONDS))

    def _pause(self, failures: int) -> float:
        """The poll's interval; after failures twice as long each time, up to half a minute."""
        if not failures:
            return self._poll_seconds
        return min(min(self._poll_seconds, 1.0) * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)

    async def backfill_until_caught_up(self) -> Head:
        """Read until both histories are stored up to a finalized slot that was the newest when this was called."""
        return await self._catch_up(await self._rpc.get_slot("finalized"))

    async def unseen_outflow(self) -> int:
        """Read until caught up. How many base units of USDC the account then lacks of what is booked, by the word of
        any endpoint, two of which must give it: they left, and the history that is listed does not show it."""
        told = await self._rpc.testify(lambda node: node.get_token_amount(self.usdc_account))
        held = [one.answer for one in told]
        await self._catch_up(max(one.slot for one in held))
        return await self._balances.usdc_lacking(held)

    async def _catch_up(self, slot: int) -> Head:
        while (latest := await self.follow()).head.slot < slot:
            await self._clock.sleep(min(self._poll_seconds, CATCH_UP_SECONDS))
        return latest.head

    async def reread(self, oldest_slot: int, tell: Callable[[Reread], None]) -> Reread:
        """Read both histories again back to a slot (0: all) and book what is missing. Raises Retryable."""
        return await self._rereader.reread(oldest_slot, tell)

    async def follow(self) -> Pass:
        """One pass over both addresses. Raises Retryable; what was stored before that stays, with its cursor."""
        async with self._one_at_a_time:
            return await self._follow()

    async def _follow(self) -> Pass:
        slot = await self._rpc.get_slot("finalized")
        stored: Counter[MovementKind | None] = Counter()
        for track in self.tracks:
            stored += await self._follow_track(track, slot)
        now = self._clock.now()
        orphans = stored[MovementKind.ORPHAN]
        orphans += await self._store.write(lambda conn: judge_unclaimed(conn, self.usdc_account, now))
        if orphans:
            _log.error("usdc_left_unexplained", movements=orphans, account=self.usdc_account)
        self._head = Head(slot)
        await self._compare(slot)
        return Pass(self._head, stored.total(), stored[MovementKind.DEPOSIT], orphans, self._balances.gaps)

    async def _compare(self, slot: int) -> None:
        compared = await self._balances.compare(slot)
        if compared is None:
            return
        if compared.lasts:
            await self._search.look(slot)
        elif not any(compared.gaps.values()):
            self._search.begin_anew()
        for asset, gap in compared.gaps.items():
            self._observe(asset, gap)

    async def _look_at_deposits(self) -> None:
        """While both histories are read again, which may take hours, and goes on should this fail: another replica may
        be at the same, and the next pass looks in any case."""
        try:
            await self._follow_track(self.tracks.usdc, await self._rpc.get_slot("finalized"))
        except Retryable as error:
            _log.warning("treasury_not_read", error=str(error), failures=1)

    async def _follow_track(self, track: Track, slot: int) -> "Counter[MovementKind | None]":
        at = await self._store.read(lambda conn: cursor(conn, track.name))
        since = None if at is None else Since(at.value, at.position or 0)
        stretches = await self._rpc.ask(lambda node: outline(node, track.address, since, slot))
        stored: Counter[MovementKind | None] = Counter()
        for stretch in stretches:
            if stretch is not stretches[0] and track.asset is Asset.SOL:
                # Strangers can make this history as long as they like: deposits don't wait for its end.
                stored += await self._follow_track(self.tracks.usdc, slot)
            read = partial(read_stretch, address=track.address, stretch=stretch, floor=slot)
            for chunk in chunks(await self._rpc.ask(read)):
                facts = await self._reader.in_order(track, None if at is None else at.value, chunk)
                kinds = await self._store_chunk(track, at, chunk, facts)
                if kinds is None:
                    raise Retryable(f"another process reads {track.name}")
                at = Cursor(chunk[-1].signature, chunk[-1].slot)
                stored.update(kinds)
                if MovementKind.DEPOSIT in kinds:
                    self._wake()
        return stored

    async def _store_chunk(
        self, track: Track, at: Cursor | None, chunk: Sequence[ListedSignature], facts: Sequence[TransactionFacts]
    ) -> list[MovementKind | None] | None:
        """Rows and cursor in one transaction; None when the cursor is not where it was read, and nothing is written."""
        now, last = self._clock.now(), chunk[-1]

        def store(conn: Connection) -> list[MovementKind | None] | None:
            if not move_cursor(conn, track.name, at, last.signature, last.slot, now):
                return None
            return self._bookings.book(conn, track, facts, now)

        return await self._store.write(store)
