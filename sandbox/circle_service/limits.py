"""Circle's documented request rates (reference/circle.md, section 1), read strictly: one bucket per class of call."""

import re

from sandbox.buckets import Buckets

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


class RateLimits:
    """Beyond them a request is refused."""

    def __init__(self) -> None:
        self._buckets = Buckets()
        self.refused = 0

    def allow(self, method: str, path: str, now_ms: int) -> bool:
        name, rate = _class_of(method, path)
        allowed = self._buckets.take(name, rate, now_ms)
        self.refused += not allowed
        return allowed


def _class_of(method: str, path: str) -> tuple[str, int]:
    if method == "GET":
        return "get", GET_PER_SECOND
    for name, pattern in FASTER.items():
        if pattern.fullmatch(f"{method} {path}"):
            return name, FASTER_PER_SECOND
    return "other", OTHER_PER_SECOND
