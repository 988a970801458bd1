"""Stripe as a load: signed deliveries over keep-alive connections, and what became of each of them."""

import asyncio
import re
from dataclasses import dataclass, field

from bench.intake_events import signed_requests
from ports.system import SystemClock

CONNECTIONS = 32
ANSWER_SECONDS = 30.0
"""Nobody waits longer; Stripe itself gives up after 10 s or so."""
_EVENT_ID = re.compile(rb'"id": "(evt_[^"]+)"')
_LENGTH = re.compile(rb"content-length: ([0-9]+)", re.IGNORECASE)
clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Delivery:
    """A whole HTTP request with one event in it."""

    event_id: str
    request: bytes


@dataclass(slots=True)
class Answers:
    """What came back. `seconds` are those of each 200, from the moment the delivery was due."""

    acknowledged: set[str] = field(default_factory=set)
    seconds: list[float] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    unanswered: int = 0

    def percentile_ms(self, percent: int) -> float:
        """Of a whole run; 0 for none."""
        if not self.seconds:
            return 0.0
        ordered = sorted(self.seconds)
        return ordered[(len(ordered) - 1) * percent // 100] * 1000


def new_delivery(kind: str = "payment_intent.succeeded") -> Delivery:
    """An event that no other has, signed now."""
    (request,) = signed_requests(1, clock.now(), kind)
    found = _EVENT_ID.search(request)
    assert found is not None
    return Delivery(found[1].decode(), request)


@dataclass(slots=True)
class Connection:
    """One keep-alive connection; `send` raises OSError or EOFError when the other side is gone."""

    port: int
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, request: bytes) -> bytes:
        """The status line."""
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self._streams
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        length = _LENGTH.search(head)
        await reader.readexactly(int(length[1]) if length else 0)
        return head.partition(b"\r\n")[0]

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def deliver_until_death(port: int, answers: Answers, connections: int = CONNECTIONS) -> None:
    """New events, one after the other on each connection, until the other side dies."""

    async def one() -> None:
        connection = Connection(port)
        try:
            while True:
                await hand_over(connection, new_delivery(), answers, clock.monotonic())
        except (OSError, EOFError, TimeoutError):
            answers.unanswered += 1
        finally:
            connection.close()

    await asyncio.gather(*(one() for _ in range(connections)))


async def hand_over(connection: Connection, delivery: Delivery, answers: Answers, due: float) -> None:
    """One delivery and its answer. Raises OSError, EOFError or TimeoutError when none comes."""
    async with asyncio.timeout(ANSWER_SECONDS):
        status = await connection.send(delivery.request)
    if b" 200 " in status + b" ":
        answers.acknowledged.add(delivery.event_id)
        answers.seconds.append(clock.monotonic() - due)
    else:
        answers.refused.append(status.decode("latin-1"))
