"""A transport that remembers what time the others say it is."""

from agent.checkup.findings import Finding, failed, ok, skipped, warning
from ports.clock import Clock
from ports.times import dated
from ports.transport import HttpRequest, HttpResponse, Transport

SKEW_MOST_SECONDS = 120.0
"""Stripe refuses what is signed five minutes off, and the week's boundary is a moment."""
SKEW_NOTED_SECONDS = 5.0
"""The Date header has whole seconds, and an answer takes a moment."""
NTP = "let NTP set this machine's clock (`timedatectl`)"


class Listener:
    """Sends for the checks. Everything it hears is kept until `clocks`."""

    def __init__(self, transport: Transport, clock: Clock) -> None:
        self._transport, self._clock = transport, clock
        self._skews: list[float] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises TransportError."""
        answer = await self._transport.send(request)
        told = dated(answer.headers)
        if told is not None:
            self._skews.append((self._clock.now() - told).total_seconds())
        return answer

    async def close(self) -> None:
        """The transport is its owner's."""

    def clocks(self) -> Finding:
        """This machine's clock against the median of all who have answered."""
        if not self._skews:
            return skipped("clock", "nobody has answered with the time")
        skew = sorted(self._skews)[len(self._skews) // 2]
        text = f"{abs(skew):.0f} s {'ahead of' if skew > 0 else 'behind'} the others"
        if abs(skew) > SKEW_MOST_SECONDS:
            return failed("clock", text, NTP)
        if abs(skew) > SKEW_NOTED_SECONDS:
            return warning("clock", text, NTP)
        return ok("clock", "agrees with the others")
