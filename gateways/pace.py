"""Evenly spaced turns on the clock port, in two lanes."""

import asyncio
from collections import deque

from ports.clock import Clock

HOLD_MAX_SECONDS = 5.0
"""Longest pause of a whole class after a 429. Longer wishes are for the one call that was told so: its step waits."""


class Pace:
    """Gives at most `per_second` turns a second, one at a time: the other side's bucket is never emptied in one gulp,
    so that jitter on the way does not break its limit. 0 a second means no limit.

    Two lanes, each first come first served. While both wait, `reserved` of every `per_second` turns go to the favoured
    lane and the rest to the other; a lane that waits alone gets all. A caller waits as long as the queue needs: bound
    the queue by bounding the callers.
    """

    def __init__(self, clock: Clock, per_second: int, reserved: int = 0) -> None:
        self._clock = clock
        self._per_second = per_second
        self._reserved = reserved
        self._free_at = 0.0
        self._busy = False
        self._credit = 0
        self._common: deque[asyncio.Event] = deque()
        self._favoured: deque[asyncio.Event] = deque()

    async def turn(self, *, favoured: bool = False) -> None:
        """Return when the caller may send. `favoured` names the lane."""
        if self._per_second == 0:
            return
        if self._busy:
            await self._queue(self._favoured if favoured else self._common)
        self._busy = True
        try:
            wait = self._free_at - self._clock.monotonic()
            if wait > 0:
                await self._clock.sleep(wait)
            self._free_at = max(self._free_at, self._clock.monotonic()) + 1 / self._per_second
        finally:
            self._wake_next()

    def hold(self, seconds: float) -> None:
        """The other side asked for a pause: no turn before it is over."""
        pause = min(seconds, HOLD_MAX_SECONDS)
        self._free_at = max(self._free_at, self._clock.monotonic() + pause)

    @property
    def waiting(self) -> int:
        """Callers in the queue."""
        return len(self._common) + len(self._favoured)

    async def _queue(self, lane: deque[asyncio.Event]) -> None:
        mine = asyncio.Event()
        lane.append(mine)
        try:
            await mine.wait()
        except asyncio.CancelledError:
            if mine.is_set():
                self._wake_next()
            else:
                lane.remove(mine)
            raise

    def _wake_next(self) -> None:
        """Hand the turn over. `_busy` stays set while someone has been woken, so that no newcomer overtakes him."""
        lane = self._next_lane()
        self._busy = lane is not None
        if lane is not None:
            lane.popleft().set()

    def _next_lane(self) -> deque[asyncio.Event] | None:
        if self._favoured and self._common:
            self._credit += self._reserved
            if self._credit >= self._per_second:
                self._credit -= self._per_second
                return self._favoured
            return self._common
        return self._favoured or self._common or None
