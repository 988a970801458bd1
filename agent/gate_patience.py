"""How long the start gate waits after a check that did not open it: the longer nothing has changed, the longer."""

from datetime import timedelta

from domain.errors import Retryable
from domain.waits import look_again_after
from ports.clock import Clock

LOOK_AGAIN, LOOK_AGAIN_MOST = timedelta(seconds=5), timedelta(minutes=1)
LOOK_FOR_A_PERSON_MOST = timedelta(minutes=10)
"""What waits for a person may wait for days, and each look lists what Circle and the chain have since the last one."""
GO_ON, GO_ON_MOST = timedelta(seconds=2), timedelta(minutes=1)
"""After a service that did not answer: the check goes on where it broke off. An endpoint that lies may go on for hours,
and each check reads on in several histories."""
WENT_ON = timedelta(seconds=5)
"""A check that has gone on for so long before it broke off is no longer the one that breaks off at once, in vain."""
PASSES = "passes"


class Unplaced(Retryable):
    """Something left, and nothing says yet whom it paid."""


def passes(error: Exception) -> bool:
    """Whether nobody need act: a service or the database does not answer, or endpoints do not agree yet."""
    return isinstance(error, Retryable) and not isinstance(error, Unplaced)


class GatePatience:
    """Tell it of each check's begin, and ask it after each that failed."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._cause = ""
        self._begun = self._since = clock.monotonic()

    def begin(self) -> None:
        self._begun = self._clock.monotonic()

    def seconds_after(self, error: Exception) -> float:
        """Until the next check."""
        now, before = self._clock.monotonic(), self._cause
        self._cause = PASSES if passes(error) else str(error)
        if self._cause != before or (passes(error) and now - self._begun > WENT_ON.total_seconds()):
            self._since = now
        return look_again_after(timedelta(seconds=now - self._since), *_bounds(error)).total_seconds()

    def lose(self) -> None:
        """A person has acted: what comes next is looked at soon."""
        self._since = self._clock.monotonic()


def _bounds(error: Exception) -> tuple[timedelta, timedelta]:
    if passes(error):
        return GO_ON, GO_ON_MOST
    return LOOK_AGAIN, LOOK_FOR_A_PERSON_MOST if isinstance(error, Unplaced) else LOOK_AGAIN_MOST
