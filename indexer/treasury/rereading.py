"""A second reading of both histories, beside the follower, whose cursors stay: it books what is missing."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

from indexer.history import Stretch, outline, read_stretch
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import ListedSignature
from indexer.treasury.balances import Balances
from indexer.treasury.bookings import Bookings
from indexer.treasury.reader import TransactionReader, chunks
from indexer.treasury.tracks import Track, Tracks
from ports.clock import Clock
from storage.store import Store
from storage.treasury.movement_rows import booked_signatures


@dataclass(frozen=True, slots=True)
class Reread:
    """How far a second reading is: transactions listed, read, and booked because they were missing."""

    total: int = 0
    read: int = 0
    booked: int = 0


async def _nothing() -> None: ...


class Rereader:
    """`wake` is called after a reading that has booked something."""

    def __init__(
        self,
        store: Store,
        rpc: RpcPool,
        clock: Clock,
        tracks: Tracks,
        reader: TransactionReader,
        bookings: Bookings,
        balances: Balances,
        wake: Callable[[], None],
    ) -> None:
        self._store, self._rpc, self._clock, self._tracks = store, rpc, clock, tracks
        self._reader, self._bookings, self._balances, self._wake = reader, bookings, balances, wake

    async def reread(
        self,
        oldest_slot: int,
        tell: Callable[[Reread], None],
        *,
        first: str = "",
        between: Callable[[], Awaitable[None]] = _nothing,
    ) -> Reread:
        """Read both histories again back to a slot (0: as far as the endpoints know them) and book what is missing.
        `first`: the endpoint to ask first. `tell` hears how far it is; `between` comes before each further stretch.

        Everything is booked once, whoever comes first. Raises Retryable; it may be begun anew at any time.
        """
        floor = await self._rpc.get_slot("finalized")
        parts: list[tuple[Track, Stretch]] = []
        for track in self._tracks:
            question = partial(outline, address=track.address, since=None, floor=floor, oldest_slot=oldest_slot)
            parts += [(track, part) for part in await self._rpc.ask(question, first=first)]
        done = Reread(total=sum(part.count for _, part in parts))
        tell(done)
        for number, (track, part) in enumerate(parts):
            if number:
                await between()
            read = partial(read_stretch, address=track.address, stretch=part, floor=floor)
            for chunk in chunks(await self._rpc.ask(read, first=first)):
                booked = done.booked + await self._fill(track, chunk)
                done = replace(done, read=done.read + len(chunk), booked=booked)
                tell(done)
        if done.booked:
            self._wake()
        await self._balances.read()
        return done

    async def _fill(self, track: Track, chunk: Sequence[ListedSignature]) -> int:
        """Book what of these is not booked yet; returns how many were."""
        names = [one.signature for one in chunk]
        known = await self._store.read(lambda conn: booked_signatures(conn, track.address, track.asset, names))
        missing = [one for one in chunk if one.signature not in known]
        if not missing:
            return 0
        facts, now = await self._reader.one_by_one(track, missing), self._clock.now()
        kinds = await self._store.write(lambda conn: self._bookings.book(conn, track, facts, now))
        return sum(kind is not None for kind in kinds)
