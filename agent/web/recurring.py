"""Trouble that every request would log anew: a disk that is full must not be filled further by saying so."""

import asyncio
from collections.abc import Callable
from contextvars import Context

INTERVAL_SECONDS = 60.0
"""Often enough to see that it goes on, seldom enough for days of it to be no burden."""


class Recurring:
    """Says the first lines of a kind of trouble at once, `freely` many a minute; the rest of that minute is one line.

    `say(times, latest)` writes a line: how many it stands for, and what the latest was.
    """

    def __init__(self, say: Callable[[int, str], None], *, freely: int = 1, interval: float = INTERVAL_SECONDS) -> None:
        self._say, self._freely, self._interval = say, freely, interval
        self._lines, self._unsaid, self._latest = 0, 0, ""

    def happened(self, latest: str, times: int = 1) -> None:
        """Say it, or count it for the line at the minute's end. On the event loop only."""
        if self._lines == 0:
            self._begin()
        if self._lines < self._freely:
            self._lines += 1
            self._say(times, latest)
        else:
            self._unsaid += times
            self._latest = latest

    def _begin(self) -> None:
        """In a context of its own: the line at the end is not about the request that happened to be the first."""
        asyncio.get_running_loop().call_later(self._interval, self._end, context=Context())

    def _end(self) -> None:
        """After a minute without any, the next one is a first again."""
        unsaid, self._unsaid, self._lines = self._unsaid, 0, 0
        if unsaid:
            self._begin()
            self._lines = 1
            self._say(unsaid, self._latest)
