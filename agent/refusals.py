"""What a service refuses to a kind of work whatever is asked, as for want of a right: told once, and asked for by one
row of the kind for all."""

from dataclasses import dataclass
from datetime import timedelta

import structlog

from domain.errors import AccessRefused, KeyRefused
from domain.waits import look_again_after
from ports.clock import Clock
from storage.work import Claim

log = structlog.get_logger(__name__)

ASK, ASK_MOST = timedelta(minutes=1), timedelta(minutes=15)
"""Between two tries of the row that asks, and at last of each other one: a right may be there for some and not for
others, so none waits for that row alone."""
ASKS_NO_MORE = 3 * ASK
"""A row that has not been refused for so long has ended, or another replica runs it: the next one asks."""


@dataclass(slots=True)
class _Refused:
    """`since` and `asked_at` on the monotonic clock; `subject` is the row that asks."""

    since: float
    subject: str
    asked_at: float


class Refusals:
    """By kind of work and the refusal's code, in this process alone."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._known: dict[tuple[str, str], _Refused] = {}

    def wait(self, claim: Claim, error: AccessRefused) -> timedelta:
        """Until this row is tried again. A refused key is told, and asked about, by `agent.key_watch`."""
        if isinstance(error, KeyRefused):
            return ASK
        now, cause = self._clock.monotonic(), (claim.kind, error.code)
        known = self._known.get(cause)
        if known is None:
            log.error("refused whatever is asked: an operator must act", code=error.code, error=str(error))
            known = self._known[cause] = _Refused(now, claim.subject, now)
        if claim.subject == known.subject or now - known.asked_at > ASKS_NO_MORE.total_seconds():
            known.subject, known.asked_at = claim.subject, now
            return ASK
        return look_again_after(timedelta(seconds=now - known.since), ASK, ASK_MOST)

    def is_over(self, claim: Claim) -> bool:
        """To be called with a row that has run without a refusal: whether others of its kind wait for just that."""
        causes = [cause for cause in self._known if cause[0] == claim.kind] if claim.was_refused else []
        for cause in causes:
            del self._known[cause]
            log.warning("what was refused goes on", kind=claim.kind, code=cause[1])
        return bool(causes)
