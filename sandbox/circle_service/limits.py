"""Circle's documented request rates (reference/circle.md, section 1), read strictly: one bucket per class of call."""

import re
from dataclasses import dataclass

GET_PER_SECOND = 20
OTHER_PER_SECOND = 5
FASTER_PER_SECOND = 10
FASTER = {
    "wallets": re.compile(r"POST /v1/w3s/developer/wallets"),
    "blockchains": re.compile(r"PUT /v1/w3s/developer/wallets/[^/]+/blockchains/[^/]+"),
    "estimate": re.compile(r"POST /v1/w3s/transactions/(transfer|contractExecution)/estimateFee"),
    "token": re.compile(r"POST /v1/w3s/users/token"),
    "user-sign": re.compile(r"POST /v1/w3s/user/sign/[^/]+"),
    "developer-sign": re.compile(r"POST /v1/w3s/developer/sign/[^/]+"),
}


@dataclass(slots=True)
class _Bucket:
    per_second: int
    thousandths: int
    """A request costs 1000, so that the refill per millisecond is the rate itself and stays an integer."""
    filled_ms: int

    def take(self, now_ms: int) -> bool:
        gained = max(0, now_ms - self.filled_ms) * self.per_second
        self.thousandths = min(self.per_second * 1000, self.thousandths + gained)
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

    def allow(self, method: str, path: str, now_ms: int) -> bool:
        name, rate = _class_of(method, path)
        bucket = self._buckets.setdefault(name, _Bucket(rate, rate * 1000, now_ms))
        allowed = bucket.take(now_ms)
        self.refused += not allowed
        return allowed


def _class_of(method: str, path: str) -> tuple[str, int]:
    if method == "GET":
        return "get", GET_PER_SECOND
    for name, pattern in FASTER.items():
        if pattern.fullmatch(f"{method} {path}"):
            return name, FASTER_PER_SECOND
    return "other", OTHER_PER_SECOND
