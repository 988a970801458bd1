"""Backing off from guessed passwords and tokens, per name and caller, in bounded memory."""

from collections import OrderedDict
from dataclasses import dataclass

from agent.web.callers import network_of
from agent.web.messages import too_many_attempts
from ports.clock import Clock

FREE_FAILURES = 5
"""Mistakes that cost nothing: people mistype."""
LONGEST_SECONDS = 900.0
KEPT_PAIRS = 10_000
"""Pairs remembered; the ones longest unused are forgotten first."""


@dataclass(slots=True)
class _Tries:
    failures: int = 0
    shut_until: float = 0.0


class Lockout:
    """After a few failures each further one doubles the wait, from one second up to a quarter of an hour."""

    def __init__(self, clock: Clock, free_failures: int = FREE_FAILURES) -> None:
        self._clock = clock
        self._free = free_failures
        self._pairs: OrderedDict[tuple[str, str], _Tries] = OrderedDict()

    def begin(self, email: str, remote: str) -> None:
        """Count a try before it is checked, so that many at once gain nothing. Raises RequestError 429."""
        pair = email, network_of(remote)
        tries = self._pairs.setdefault(pair, _Tries())
        self._pairs.move_to_end(pair)
        if len(self._pairs) > KEPT_PAIRS:
            self._pairs.popitem(last=False)
        now = self._clock.monotonic()
        if now < tries.shut_until:
            wait = int(tries.shut_until - now) + 1
            raise too_many_attempts(f"too many failed attempts; try again in {wait} s", wait)
        tries.failures += 1
        if tries.failures >= self._free:
            doublings = min(tries.failures - self._free, 20)
            tries.shut_until = now + min(LONGEST_SECONDS, 2.0**doublings)

    def succeeded(self, email: str, remote: str) -> None:
        """The right password: the pair starts anew."""
        self._pairs.pop((email, network_of(remote)), None)
