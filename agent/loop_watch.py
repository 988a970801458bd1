"""How late the event loop is: what waits behind it waits as long."""

from collections.abc import Callable

from ports.clock import Clock

EVERY_SECONDS = 1.0


class LoopWatch:
    """Sets itself an alarm each second and tells how long after it the loop came."""

    def __init__(self, clock: Clock, was_late: Callable[[float], None]) -> None:
        self._clock, self._was_late = clock, was_late

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            due = self._clock.monotonic() + EVERY_SECONDS
            await self._clock.sleep(EVERY_SECONDS)
            self._was_late(max(0.0, self._clock.monotonic() - due))
