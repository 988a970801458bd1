"""Where the wallet holds something else than is booked, its histories are read again, further back each time."""

from collections.abc import Awaitable, Callable

import structlog

from indexer.rpc.pool import RpcPool
from indexer.treasury.rereading import Rereader
from ports.clock import Clock

_log = structlog.get_logger(__name__)

READ_AGAIN_SECONDS = 3_600.0
"""From one reading for the sake of a gap to the next: a node that has the rest may first have to be named."""
READ_AGAIN_SLOTS, READ_AGAIN_FURTHER = 250_000, 8
"""How far back the first one goes, half a day or a day; each that finds nothing is followed by one so many times as far
back, so that the fourth reads some months."""


class GapSearch:
    """`between` is called now and then while much is read: what comes in meanwhile does not wait for the end."""

    def __init__(self, rpc: RpcPool, clock: Clock, rereader: Rereader, between: Callable[[], Awaitable[None]]) -> None:
        self._rpc, self._clock, self._rereader, self._between = rpc, clock, rereader, between
        self.begin_anew()

    def begin_anew(self) -> None:
        """There is no gap: the next one is looked for at once, and near."""
        self._due_at, self._slots = self._clock.monotonic(), READ_AGAIN_SLOTS

    async def look(self, slot: int) -> None:
        """The node that was asked when the cursor passed had a hole in its index, or keeps no old history: each in turn
        is asked first, until one has something."""
        now = self._clock.monotonic()
        if now < self._due_at:
            return
        oldest = max(0, slot - self._slots)
        self._due_at, self._slots = now + READ_AGAIN_SECONDS, slot - oldest
        for endpoint in self._rpc.health():
            done = await self._rereader.reread(oldest, lambda _: None, first=endpoint.label, between=self._between)
            _log.warning("treasury_read_again", oldest_slot=oldest, listed=done.total, booked=done.booked)
            if done.booked:
                break
        self._slots *= READ_AGAIN_FURTHER
