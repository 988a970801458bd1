"""A virtual world for the simulator: an event loop whose waiting takes no time, and a clock and ids that follow a seed.

When every task waits, the loop jumps to the next timer instead of sleeping. Nothing may wait for a socket or a thread:
the store runs inline and HTTP goes to state machines in the same process.
"""

import asyncio
import random
import selectors
from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

_LOOKS = 64
"""Turns of the loop from one look at the descriptors to the next. Nothing comes by them but the loop's own bell, rung
by a signal (Ctrl-C), whose handler runs by itself: each look is a system call in vain."""


class _JumpingSelector(selectors.BaseSelector):
    """Never blocks: what the loop would have waited is added to its time."""

    def __init__(self) -> None:
        self._inner = selectors.DefaultSelector()
        self._turns = 0
        self.elapsed = 0.0
        self.outside: Callable[[], float | None] = lambda: None

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._inner.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._inner.unregister(fileobj)

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None or timeout > 0:
            waits = [wait for wait in (timeout, self.outside()) if wait is not None]
            if not waits:
                raise RuntimeError("every task waits for something that no timer brings: a deadlock")
            self.elapsed += max(0.0, min(waits))
        self._turns += 1
        return [] if self._turns % _LOOKS else self._inner.select(0)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._inner.get_map()

    def close(self) -> None:
        self._inner.close()


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on virtual time. Use it as `asyncio.Runner(loop_factory=VirtualLoop)`."""

    def __init__(self) -> None:
        self._jumps = _JumpingSelector()
        super().__init__(self._jumps)

    def time(self) -> float:
        return self._jumps.elapsed

    def before_waiting(self, outside: Callable[[], float | None]) -> None:
        """Have `outside` called whenever every task waits: it acts if something of its own is due, and tells in how
        many seconds it wants to be called again (0: it has just made work; None: only after somebody else acted)."""
        self._jumps.outside = outside

    def leap(self, seconds: float) -> None:
        """Let time pass at once, as a machine that slept sees it: whatever was due meanwhile runs late."""
        self._jumps.elapsed += seconds


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


class VirtualClock:
    """The clock port over the running virtual loop. `start` is the wall time at the loop's time 0."""

    def __init__(self, start: datetime) -> None:
        if start.tzinfo is None:
            raise ValueError("times are aware UTC")
        self._start = start.astimezone(UTC)
        self._start_us = (self._start - _EPOCH) // _MICROSECOND
        self._time: Callable[[], float] | None = None

    def now(self) -> datetime:
        return self._start + timedelta(microseconds=self._elapsed_us())

    def now_ms(self) -> int:
        """Unix milliseconds, for the sandbox's services."""
        return (self._start_us + self._elapsed_us()) // 1000

    def monotonic(self) -> float:
        if self._time is None:
            self._time = asyncio.get_running_loop().time
        return self._time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def shift(self, by: timedelta) -> None:
        """Somebody sets the wall clock; timers go on as they were."""
        self._start += by
        self._start_us += by // _MICROSECOND

    def _elapsed_us(self) -> int:
        return round(self.monotonic() * 1_000_000)


class SeededIds:
    """The ids port from a seed: the same seed gives the same ids in the same order."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng

    def uuid(self) -> UUID:
        return UUID(int=self._rng.getrandbits(128), version=4)

    def uuids(self, count: int) -> list[str]:
        return [str(self.uuid()) for _ in range(count)]

    def token(self) -> str:
        return self._rng.randbytes(32).hex()

    def jitter(self) -> float:
        return self._rng.random()
