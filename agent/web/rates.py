"""How many requests a caller may make: token buckets, in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass

from agent.web.messages import RefusedWithHeaders
from ports.clock import Clock

KEPT_CALLERS = 10_000
"""Callers remembered; the ones longest unheard of are forgotten, and begin anew."""


@dataclass(frozen=True, slots=True)
class Rate:
    """`burst` at once, then `per_second`."""

    burst: int
    per_second: float


@dataclass(slots=True)
class _Bucket:
    left: float
    seen_at: float


class RateLimit:
    """One rate for each caller."""

    def __init__(self, clock: Clock, rate: Rate) -> None:
        self._clock, self._rate = clock, rate
        self._buckets: OrderedDict[str, _Bucket] = OrderedDict()

    def take(self, caller: str) -> None:
        """Count one request. Raises RequestError 429 `too_many_requests` with the seconds to wait."""
        self.require(caller)
        self.spend(caller)

    def require(self, caller: str) -> None:
        """As `take`, without counting."""
        left, rate = self._filled(caller).left, self._rate
        if left < 1.0:
            wait = int((1.0 - left) / rate.per_second) + 1
            raise RefusedWithHeaders(
                429, "too_many_requests", f"too many requests; try again in {wait} s", {"Retry-After": str(wait)}
            )

    def spend(self, caller: str) -> None:
        """Count one, whether it is left or not."""
        bucket = self._filled(caller)
        bucket.left = max(0.0, bucket.left - 1.0)

    def _filled(self, caller: str) -> _Bucket:
        now, rate = self._clock.monotonic(), self._rate
        bucket = self._buckets.setdefault(caller, _Bucket(float(rate.burst), now))
        self._buckets.move_to_end(caller)
        if len(self._buckets) > KEPT_CALLERS:
            self._buckets.popitem(last=False)
        bucket.left = min(float(rate.burst), bucket.left + (now - bucket.seen_at) * rate.per_second)
        bucket.seen_at = now
        return bucket
