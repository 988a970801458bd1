"""Waiting for an event or a time on the clock port, whichever comes first."""

import asyncio

from ports.clock import Clock


class Bell:
    """Rung by whoever has news; the one loop that listens wakes at once instead of at its next poll."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = asyncio.Event()

    def ring(self) -> None:
        self._rung.set()

    async def wait(self, seconds: float, gathering: float = 0.0) -> bool:
        """Wait until rung, `seconds` at most; True when it was rung. Then so many seconds more, in which further rings
        count as the same. Rings while nobody listens are kept."""
        ringing = asyncio.ensure_future(self._rung.wait())
        sleeping = asyncio.ensure_future(self._clock.sleep(seconds))
        try:
            await asyncio.wait([ringing, sleeping], return_when=asyncio.FIRST_COMPLETED)
            was_rung = self._rung.is_set()
            if was_rung and gathering:
                await self._clock.sleep(gathering)
            return was_rung
        finally:
            self._rung.clear()
            ringing.cancel()
            sleeping.cancel()
            await asyncio.wait([ringing, sleeping])
