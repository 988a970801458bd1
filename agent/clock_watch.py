"""Whether the machine's clock can be trusted with money: it is held against the dates that Stripe, Circle and the RPC
providers put on their answers. A clock that is minutes off calls a blockhash alive that is dead, takes a signature for
too old, and plans a Monday on a Sunday: nothing is signed or sent by it."""

from collections import deque
from collections.abc import Callable, Mapping

import structlog

from ports.clock import Clock
from ports.times import dated
from ports.transport import HttpRequest, HttpResponse, Transport

log = structlog.get_logger(__name__)

SKEW_MOST_SECONDS = 120.0
"""As the security checklist has it: far more than any answer takes, far less than what does harm."""
HEARD = 9
"""Answers that are looked at; their median, so that one server with a wrong clock proves nothing."""
HEARD_LEAST = 3


class ClockWatch:
    """A transport that listens to what passes through it. `observe` is told of the skew after each answer."""

    def __init__(
        self, transport: Transport, clock: Clock, observe: Callable[[float], None] = lambda seconds: None
    ) -> None:
        self._transport, self._clock, self._observe = transport, clock, observe
        self._theirs: deque[float] = deque(maxlen=HEARD)
        self._told = True
        self._answers = 0

    async def send(self, request: HttpRequest) -> HttpResponse:
        """As the transport's own."""
        answer = await self._transport.send(request)
        self._hear(answer.headers)
        return answer

    async def close(self) -> None:
        await self._transport.close()

    @property
    def trusted(self) -> bool:
        """False until somebody has answered, and once most of the last answers were dated more than SKEW_MOST_SECONDS
        from our clock: a machine may begin with a clock that nobody has set yet."""
        return self.has_heard and abs(self.skew_seconds) <= SKEW_MOST_SECONDS

    @property
    def has_heard(self) -> bool:
        """Whether enough answers had a date, or so many came that those who answer give none."""
        return len(self._theirs) >= HEARD_LEAST or self._answers >= HEARD

    @property
    def skew_seconds(self) -> float:
        """How far our clock is ahead of the others'; 0 while too few have told. What they told goes on by itself: a
        clock that jumps is off at once, before anybody has answered again."""
        if len(self._theirs) < HEARD_LEAST:
            return 0.0
        theirs = sorted(self._theirs)[(len(self._theirs) - 1) // 2] + self._clock.monotonic()
        return self._clock.now().timestamp() - theirs

    def _hear(self, headers: Mapping[str, str]) -> None:
        self._answers += 1
        told = dated(headers)
        if told is None:
            return
        self._theirs.append(told.timestamp() - self._clock.monotonic())
        self._observe(self.skew_seconds)
        if self.has_heard and self.trusted is not self._told:
            self._told = self.trusted
            log.error("clock differs from the others'", seconds=round(self.skew_seconds), sends_go_on=self.trusted)
