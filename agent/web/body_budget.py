"""Large bodies of all senders together: what may be read, held and hashed of them before anybody knows whose they are.

There is no limit for each sender: behind a proxy all of them, Stripe too, have the proxy's address. What a small body
costs is the HTTP around it, which has to be read before anything can be refused; so small ones always pass, and with
them every event of Stripe's. Only what goes beyond is counted, and beyond the budget refused before it is read:
Stripe repeats for three days, whoever floods gains nothing.
"""

import asyncio

from domain.errors import RequestError

FREE_BYTES = 64 * 1024
"""Stripe's events have some KB, and all of 2,000 connections may hold as much at once."""


class BodyBudget:
    """`burst_bytes` at once, then `bytes_per_second`, of what goes beyond FREE_BYTES in each body."""

    def __init__(self, burst_bytes: int, bytes_per_second: int) -> None:
        self._burst, self._rate = burst_bytes, bytes_per_second
        self._left = float(burst_bytes)
        self._seen_at = 0.0

    def grow(self, before: int, after: int) -> None:
        """A body that had `before` bytes is to have `after`. Raises RequestError 503 `busy` where that is too much."""
        beyond = max(after, FREE_BYTES) - max(before, FREE_BYTES)
        if beyond <= 0:
            return
        now = asyncio.get_running_loop().time()
        self._left = min(float(self._burst), self._left + (now - self._seen_at) * self._rate)
        self._seen_at = now
        if beyond > self._left:
            raise RequestError(503, "busy", "too many large bodies at once; try again in a moment")
        self._left -= beyond
