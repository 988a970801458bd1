"""Time as a port."""

from datetime import datetime
from typing import Protocol


class Clock(Protocol):
    """Wall time, elapsed time and waiting, from one source, so that a virtual clock drives all three."""

    def now(self) -> datetime:
        """Aware UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never go back; only differences mean something."""
        ...

    async def sleep(self, seconds: float) -> None: ...


SEND_WITHIN_SECONDS = 60.0


class SendWindow:
    """From what a call rests on to the call itself: so long that may take. A process that was stopped in between, or
    whose machine slept, does not call any more: others may have acted meanwhile, and hold the call for one that never
    left. Either clock closes it, since only one of them goes on while a machine sleeps."""

    def __init__(self, clock: Clock) -> None:
        self._clock, self._begun, self._begun_at = clock, clock.monotonic(), clock.now()
        self._is_closed = False

    def close(self) -> None:
        """What has not been called by now is not called any more."""
        self._is_closed = True

    @property
    def is_over(self) -> bool:
        by_date = (self._clock.now() - self._begun_at).total_seconds()
        return self._is_closed or max(self._clock.monotonic() - self._begun, by_date) > SEND_WITHIN_SECONDS
