"""Answers as a test writes them, and a clock that is moved by waiting."""

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import orjson

from ports.ids import Ids
from ports.system import SystemIds
from ports.transport import HttpRequest, HttpResponse, Transport, TransportError

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
IDS: Ids = SystemIds()

Answer = HttpResponse | TransportError


def answer(status: int, body: object, headers: Mapping[str, str] | None = None) -> HttpResponse:
    """JSON, unless the body is bytes already."""
    raw = body if isinstance(body, bytes) else orjson.dumps(body)
    return HttpResponse(status, headers or {}, raw)


class ScriptedTransport:
    """Answers every request by `script`; or tampers with the answers of `inner`."""

    def __init__(self, script: Callable[[HttpRequest], Answer]) -> None:
        self._script = script
        self.sent: list[HttpRequest] = []

    async def send(self, request: HttpRequest) -> HttpResponse:
        self.sent.append(request)
        found = self._script(request)
        if isinstance(found, TransportError):
            raise found
        return found

    async def close(self) -> None: ...


class TamperingTransport:
    """Passes requests on and lets `tamper` change the answers."""

    def __init__(self, inner: Transport, tamper: Callable[[HttpRequest, HttpResponse], HttpResponse]) -> None:
        self._inner = inner
        self.tamper = tamper

    async def send(self, request: HttpRequest) -> HttpResponse:
        return self.tamper(request, await self._inner.send(request))

    async def close(self) -> None: ...


class SkippingClock:
    """Time passes only by waiting: a sleep moves it at once. `on_sleep` moves a world along."""

    def __init__(self, on_sleep: Callable[[float], None] = lambda _seconds: None, start: float = 0.0) -> None:
        self._on_sleep = on_sleep
        self._seconds = start

    def now(self) -> datetime:
        return NOW

    def monotonic(self) -> float:
        return self._seconds

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self._seconds += seconds
        self._on_sleep(seconds)
