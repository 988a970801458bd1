"""Stripe's documented request rates for a test account: 25 a second in all, and of one endpoint."""

import re

from sandbox.buckets import Buckets

PER_SECOND = 25
_ID = re.compile(r"/[a-z]{2,4}_[A-Za-z0-9_]+")


class RateLimits:
    """Beyond them a request is refused."""

    def __init__(self) -> None:
        self._buckets = Buckets()
        self.refused = 0

    def refuses(self, method: str, path: str, now_ms: int) -> str | None:
        """The limit that a request is beyond, as Stripe's header names it; None where it may pass."""
        for reason, name in (("global-rate", ""), ("endpoint-rate", f"{method} {_ID.sub('/:id', path)}")):
            if not self._buckets.take(name, PER_SECOND, now_ms):
                self.refused += 1
                return reason
        return None
