"""Follows the platform wallet's USDC account and its SOL: every finalized change becomes one row, exactly once.

Each of the two addresses has a cursor, the last signature stored, which moves in the transaction of its rows.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

import structlog
from sqlalchemy import Connection

from domain.errors import Retryable
from domain.ledger import Asset
from indexer.effects.facts import TransactionFacts
from indexer.effects.match import receipts_closed
from indexer.history import Since, Stretch, outline, read_stretch
from indexer.movements import Standing, lamport_movement, lamport_standing, usdc_movement, usdc_standing
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.rpc.testimony import Testimony
from indexer.rpc.values import Holdings, ListedSignature
from indexer.statement import Statement
from indexer.together import together
from ports.clock import Clock
from ports.waking import Bell
from storage.errors import StoreUnavailable
from storage.payouts import receipts
from storage.store import Store
from storage.treasury.chain_rows import Cursor, cursor, move_cursor, record_reading
from storage.treasury.movement_rows import MovementKind, booked_signatures, movement_sum_at
from storage.treasury.movements import book_usdc, judge_unclaimed
from storage.treasury.network_costs import book_lamports

_log = structlog.get_logger(__name__)

USDC_CURSOR, SOL_CURSOR = "treasury_usdc", "treasury_sol"
USDC_READING, SOL_READING = "treasury_usdc", "treasury_sol"
CHUNK = 32
"""Transactions fetched side by side and stored in one database transaction."""
SMALL_UNITS, SMALL_LAMPORTS = 10_000, 100_000
"""A cent, or two: what a stranger spends on being read."""
LONGEST_PAUSE_SECONDS = 30.0
"""While the endpoints fail."""
READ_AGAIN_SECONDS = 3_600.0
"""From one reading for the sake of a gap to the next: a node that has the rest may first have to be named."""
READ_AGAIN_SLOTS, READ_AGAIN_FURTHER = 250_000, 8
"""How far back the first one goes, half a day or a day; each that finds nothing is followed by one so many times as far
back, so that the fourth reads some months."""
CATCH_UP_SECONDS = 1.0
"""Between passes of somebody who waits for the newest slot to be read."""


@dataclass(frozen=True, slots=True)
class Track:
    """One followed address and the cursor it has."""

    name: str
    address: str
    asset: Asset


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


@dataclass(frozen=True, slots=True)
class Reread:
    """How far a second reading is: transactions listed, read, and booked because they were missing."""

    total: int = 0
    read: int = 0
    booked: int = 0


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
        self._store, self._rpc, self._read_back, self._clock = store, rpc, read_back, clock
        self._wallet, self._usdc_mint = read_back.wallet, read_back.usdc_mint
        self._poll_seconds, self._wake, self._observe = poll_seconds, wake, observe
        self.usdc_account = read_back.usdc_account
        self.tracks = (
            Track(USDC_CURSOR, self.usdc_account, Asset.USDC),
            Track(SOL_CURSOR, self._wallet, Asset.SOL),
        )
        self._statements = {
            USDC_CURSOR: Statement(read_back, self._usdc_standing, SMALL_UNITS),
            SOL_CURSOR: Statement(read_back, self._sol_standing, SMALL_LAMPORTS),
        }
        self._bell = Bell(clock)
        self._one_at_a_time = asyncio.Lock()
        self._head: Head | None = None
        self._held: Sequence[Testimony[Holdings]] = ()
        self._gaps: Mapping[Asset, int] = {}
        self._read_again_at, self._read_again_slots = clock.monotonic(), READ_AGAIN_SLOTS

    def poke(self) -> None:
        """Something moved (a payout was finalized, a conversion announced): look now."""
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
            await self._bell.wait(self._pause(failures))

    async def backfill_until_caught_up(self) -> Head:
        """Read until both histories are stored up to a finalized slot that was the newest when this was called."""
        goal = await self._rpc.get_slot("finalized")
        while (latest := await self.follow()).head.slot < goal:
            await self._clock.sleep(min(self._poll_seconds, CATCH_UP_SECONDS))
        return latest.head

    async def unseen_outflow(self) -> int:
        """Read until caught up. How many base units of USDC the account then lacks of what is booked, by the word of
        any endpoint, two of which must give it: they left, and the history that is listed does not show it."""
        told = await self._rpc.testify(lambda node: node.get_token_amount(self.usdc_account))
        held = [one.answer for one in told]
        while (await self.follow()).head.slot < max(one.slot for one in held):
            await self._clock.sleep(min(self._poll_seconds, CATCH_UP_SECONDS))

        def lacking(conn: Connection) -> list[int]:
            account = self.usdc_account
            return [movement_sum_at(conn, account, Asset.USDC, one.slot) - one.amount for one in held]

        return max(0, *await self._store.read(lacking))

    def _pause(self, failures: int) -> float:
        """The poll's interval; after failures twice as long each time, up to half a minute."""
        if not failures:
            return self._poll_seconds
        return min(min(self._poll_seconds, 1.0) * 2.0 ** min(failures, 10), LONGEST_PAUSE_SECONDS)

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
        return Pass(self._head, stored.total(), stored[MovementKind.DEPOSIT], orphans, self._gaps)

    async def _compare(self, slot: int) -> None:
        """Hold the balances of an earlier pass against the history, which is read up to `slot` now. Those of each
        endpoint: one that leaves a movement out of its list may tell the balance of before as well."""
        held = [one for one in self._held if one.answer.slot <= slot]
        if self._held and not held:
            return  # another node answered, which lags
        found = await self._store.read(lambda conn: [self._gaps_at(conn, one.answer) for one in held])
        gaps = {track.asset: max((one[track.asset] for one in found), key=abs) for track in self.tracks if found}
        self._held = await self._read_balances()
        if any(gaps.values()) and gaps == self._gaps:
            by = [one.label for one, told in zip(held, found, strict=True) if any(told.values())]
            _log.error("treasury_differs_from_chain", usdc=gaps[Asset.USDC], lamports=gaps[Asset.SOL], endpoints=by)
            await self._look_for_what_is_missing(slot)
        elif not any(gaps.values()):
            self._read_again_at, self._read_again_slots = self._clock.monotonic(), READ_AGAIN_SLOTS
        self._gaps = gaps
        for asset, gap in gaps.items():
            self._observe(asset, gap)

    def _gaps_at(self, conn: Connection, held: Holdings) -> dict[Asset, int]:
        told = {Asset.USDC: held.tokens, Asset.SOL: held.lamports}
        return {
            one.asset: told[one.asset] - movement_sum_at(conn, one.address, one.asset, held.slot) for one in self.tracks
        }

    async def _follow_track(self, track: Track, slot: int) -> "Counter[MovementKind | None]":
        at = await self._store.read(lambda conn: cursor(conn, track.name))
        since = None if at is None else Since(at.value, at.position or 0)
        stretches = await self._rpc.ask(lambda node: outline(node, track.address, since, slot))
        stored: Counter[MovementKind | None] = Counter()
        for stretch in stretches:
            if stretch is not stretches[0] and track.asset is Asset.SOL:
                # Strangers can make this history as long as they like: deposits don't wait for its end.
                stored += await self._follow_track(self.tracks[0], slot)
            read = partial(read_stretch, address=track.address, stretch=stretch, floor=slot)
            for chunk in _chunks(await self._rpc.ask(read)):
                kinds = await self._store_chunk(track, at, chunk, await self._next_facts(track, at, chunk))
                if kinds is None:
                    raise Retryable(f"another process reads {track.name}")
                at = Cursor(chunk[-1].signature, chunk[-1].slot)
                stored.update(kinds)
                if MovementKind.DEPOSIT in kinds:
                    self._wake()
        return stored

    async def _next_facts(
        self, track: Track, at: Cursor | None, chunk: Sequence[ListedSignature]
    ) -> list[TransactionFacts]:
        since, wanted = None if at is None else at.value, await self._wanted(track, chunk)
        return await self._statements[track.name].read(since, wanted, chunk[-1].signature)

    def _usdc_standing(self, facts: TransactionFacts) -> Standing | None:
        return usdc_standing(facts, self.usdc_account, self._usdc_mint)

    def _sol_standing(self, facts: TransactionFacts) -> Standing | None:
        """More follows from a receipt's end than from lamports."""
        return None if self._receipts_closed(facts) else lamport_standing(facts, self._wallet)

    def _receipts_closed(self, facts: TransactionFacts) -> tuple[str, ...]:
        return receipts_closed(facts, self._wallet, self._usdc_mint, self.usdc_account)

    async def _facts_of(self, track: Track, chunk: Sequence[ListedSignature]) -> list[TransactionFacts]:
        return await together([self._read_back.read_back(one) for one in await self._wanted(track, chunk)])

    async def _wanted(self, track: Track, chunk: Sequence[ListedSignature]) -> list[str]:
        """A failed transaction moved no token; it costs its payer the fee."""
        failed = await self._failed(chunk) if track.asset is Asset.USDC else set()
        return [one.signature for one in chunk if one.signature not in failed]

    async def _failed(self, chunk: Sequence[ListedSignature]) -> set[str]:
        """Which of them have failed: not by the word of the list alone, which is one endpoint's. What no two endpoints
        call failed is read like any other."""
        named = [one.signature for one in chunk if one.failed]
        if not named or self._rpc.witnesses == 1:
            return set(named)
        told = await self._rpc.testify(lambda node: node.get_signature_statuses(named, search_history=True))
        votes = Counter(
            signature
            for one in told
            for signature, status in zip(named, one.answer.statuses, strict=True)
            if status is not None and status.commitment == "finalized" and status.err is not None
        )
        return {signature for signature, many in votes.items() if many >= self._rpc.witnesses}

    async def _look_for_what_is_missing(self, slot: int) -> None:
        """The node that was asked when the cursor passed had a hole in its index, or keeps no old history: each in turn
        is asked first, until one has something."""
        now = self._clock.monotonic()
        if now < self._read_again_at:
            return
        oldest = max(0, slot - self._read_again_slots)
        self._read_again_at, self._read_again_slots = now + READ_AGAIN_SECONDS, slot - oldest
        for endpoint in self._rpc.health():
            done = await self.reread(oldest, lambda _: None, first=endpoint.label)
            _log.warning("treasury_read_again", oldest_slot=oldest, listed=done.total, booked=done.booked)
            if done.booked:
                break
        self._read_again_slots *= READ_AGAIN_FURTHER

    # --- read again ----------------------------------------------------------------------------------------------

    async def reread(self, oldest_slot: int, tell: Callable[[Reread], None], *, first: str = "") -> Reread:
        """Read both histories again back to a slot (0: as far as the endpoints know them) and book what is missing.
        `first`: the endpoint to ask first.

        Beside the follower, whose cursors stay: everything is booked once whoever comes first. `tell` hears how far it
        is. Raises Retryable; it may be begun anew at any time.
        """
        floor = await self._rpc.get_slot("finalized")
        parts: list[tuple[Track, Stretch]] = []
        for track in self.tracks:
            question = partial(outline, address=track.address, since=None, floor=floor, oldest_slot=oldest_slot)
            parts += [(track, part) for part in await self._rpc.ask(question, first=first)]
        done = Reread(total=sum(part.count for _, part in parts))
        tell(done)
        for track, part in parts:
            read = partial(read_stretch, address=track.address, stretch=part, floor=floor)
            for chunk in _chunks(await self._rpc.ask(read, first=first)):
                booked = done.booked + await self._fill(track, chunk)
                done = replace(done, read=done.read + len(chunk), booked=booked)
                tell(done)
        if done.booked:
            self._wake()
        await self._read_balances()
        return done

    async def _fill(self, track: Track, chunk: Sequence[ListedSignature]) -> int:
        """Book what of these is not booked yet; returns how many were."""
        names = [one.signature for one in chunk]
        known = await self._store.read(lambda conn: booked_signatures(conn, track.address, track.asset, names))
        missing = [one for one in chunk if one.signature not in known]
        if not missing:
            return 0
        facts = await self._facts_of(track, missing)
        kinds = await self._store.write(lambda conn: self._book(conn, track, facts))
        return sum(kind is not None for kind in kinds)

    async def _store_chunk(
        self, track: Track, at: Cursor | None, chunk: Sequence[ListedSignature], facts: Sequence[TransactionFacts]
    ) -> list[MovementKind | None] | None:
        """Rows and cursor in one transaction; None when the cursor is not where it was read, and nothing is written."""
        now, last = self._clock.now(), chunk[-1]

        def store(conn: Connection) -> list[MovementKind | None] | None:
            if not move_cursor(conn, track.name, at, last.signature, last.slot, now):
                return None
            return self._book(conn, track, facts)

        return await self._store.write(store)

    def _book(self, conn: Connection, track: Track, facts: Sequence[TransactionFacts]) -> list[MovementKind | None]:
        """What each was booked as; None where it moved nothing or was booked before."""
        now = self._clock.now()
        if track.asset is Asset.USDC:
            moved = [usdc_movement(one, self.usdc_account, self._usdc_mint) for one in facts]
            return [None if one is None else book_usdc(conn, one, now) for one in moved]
        found = [lamport_movement(one, self._wallet) for one in facts]
        new = book_lamports(conn, [one for one in found if one is not None], now)
        for one in facts:
            for receipt in self._receipts_closed(one):
                freed = sum(-moved.delta for moved in one.lamport_movements if moved.account == receipt)
                receipts.closed(conn, receipt, one.signature, one.slot, freed, now)
        return [*[MovementKind.OTHER] * new, *[None] * (len(facts) - new)]

    async def _read_balances(self) -> Sequence[Testimony[Holdings]]:
        """Store the finalized balances, by the first endpoint that answers, for display and alerts."""
        told = await self._rpc.hear(lambda node: node.get_holdings(self._wallet, self.usdc_account))
        held, now = told[0].answer, self._clock.now()

        def store(conn: Connection) -> None:
            record_reading(conn, USDC_READING, held.tokens, held.slot, now)
            record_reading(conn, SOL_READING, held.lamports, held.slot, now)

        await self._store.write(store)
        return told


def _chunks(listed: Sequence[ListedSignature]) -> Iterator[Sequence[ListedSignature]]:
    for start in range(0, len(listed), CHUNK):
        yield listed[start : start + CHUNK]
