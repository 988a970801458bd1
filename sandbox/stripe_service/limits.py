"""Stripe's documented request rates for a test account: 25 a second in all, and of one endpoint."""

import re
from dataclasses import dataclass

PER_SECOND = 25
_ID = re.compile(r"/[a-z]{2,4}_[A-Za-z0-9_]+")


@dataclass(slots=True)
class _Bucket:
    thousandths: int
    """A request costs 1000, so that the refill per millisecond is the rate itself and stays an integer."""
    filled_ms: int

    def take(self, now_ms: int) -> bool:
        gained = max(0, now_ms - self.filled_ms) * PER_SECOND
        self.thousandths = min(PER_SECOND * 1000, self.thousandths + gained)
        self.filled_ms = max(now_ms, self.filled_ms)
        if self.thousandths < 1000:
            return False
        self.thousandths -= 1000
        return True


class RateLimits:
    """Token buckets that hold one second's worth of requests."""

    def __init__(self) -> None:
        self._buckets: dict[str, _Bucket] = {}
        self.refused = 0

    def refuses(self, method: str, path: str, now_ms: int) -> str | None:
        """The limit that a request is beyond, as Stripe's header names it; None where it may pass."""
        for reason, name in (("global-rate", ""), ("endpoint-rate", f"{method} {_ID.sub('/:id', path)}")):
            if not self._buckets.setdefault(name, _Bucket(PER_SECOND * 1000, now_ms)).take(now_ms):
                self.refused += 1
                return reason
        return None
