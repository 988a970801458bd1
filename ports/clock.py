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
