"""Request rates as the services document them: so many a second, and one second's worth at once."""


class _Bucket:
    """A request costs 1000, so that the refill per millisecond is the rate itself and stays an integer."""

    def __init__(self, per_second: int, now_ms: int) -> None:
        self._per_second, self._filled_ms = per_second, now_ms
        self._thousandths = per_second * 1000

    def take(self, now_ms: int) -> bool:
        gained = max(0, now_ms - self._filled_ms) * self._per_second
        self._thousandths = min(self._per_second * 1000, self._thousandths + gained)
        self._filled_ms = max(now_ms, self._filled_ms)
        if self._thousandths < 1000:
            return False
        self._thousandths -= 1000
        return True


class Buckets:
    """One for each name, full at first."""

    def __init__(self) -> None:
        self._by_name: dict[str, _Bucket] = {}

    def take(self, name: str, per_second: int, now_ms: int) -> bool:
        """Whether one more request of that name may pass."""
        if name not in self._by_name:
            self._by_name[name] = _Bucket(per_second, now_ms)
        return self._by_name[name].take(now_ms)
