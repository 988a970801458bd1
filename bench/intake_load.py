"""The load: keep-alive connections, each sending the next request when its answer has come."""

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

from ports.system import SystemClock

CONNECTIONS = 64
DEADLINE_SECONDS = 60.0
_LENGTH = b"content-length: "
_clock = SystemClock()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run of the load."""

    per_second: float
    p50_ms: float
    p99_ms: float


async def drive(port: int, requests: Sequence[bytes], connections: int = CONNECTIONS) -> Measured:
    """Send all requests; every answer must be 200. Raises AssertionError for another, TimeoutError after a minute."""
    loop = asyncio.get_running_loop()
    following, latencies = iter(requests), list[float]()
    senders = []
    for _ in range(connections):
        _, sender = await loop.create_connection(lambda: _Sender(following, latencies), "127.0.0.1", port)
        senders.append(sender)
    begun = _clock.monotonic()
    for sender in senders:
        sender.send_next()
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.gather(*(sender.finished for sender in senders))
    seconds = _clock.monotonic() - begun
    latencies.sort()
    at = len(latencies) - 1
    return Measured(len(requests) / seconds, latencies[at // 2] * 1000, latencies[min(at, round(at * 0.99))] * 1000)


class _Sender(asyncio.Protocol):
    """One connection; plain bytes, because a client library would cost more than the server under test."""

    def __init__(self, requests: Iterator[bytes], latencies: list[float]) -> None:
        self._requests, self._latencies = requests, latencies
        self._received = b""
        self._sent_at = 0.0
        self.finished: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)  # uvloop's do not inherit from asyncio's

    def send_next(self) -> None:
        request = next(self._requests, None)
        if request is None:
            self._end(None)
            return
        self._sent_at = _clock.monotonic()
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        if not _is_whole(self._received):
            return
        answer, self._received = self._received, b""
        if not answer.startswith(b"HTTP/1.1 200 "):
            self._end(AssertionError(answer[:300].decode("latin-1")))
            return
        self._latencies.append(_clock.monotonic() - self._sent_at)
        self.send_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._end(exc or AssertionError("the server closed the connection"))

    def _end(self, error: Exception | None) -> None:
        if self.finished.done():
            return
        if error is None:
            self.finished.set_result(None)
        else:
            self.finished.set_exception(error)
        self._transport.close()


def _is_whole(answer: bytes) -> bool:
    head, separator, body = answer.partition(b"\r\n\r\n")
    if not separator:
        return False
    found = head.lower()
    start = found.index(_LENGTH) + len(_LENGTH)
    return len(body) >= int(found[start : (found + b"\r\n").index(b"\r\n", start)])
