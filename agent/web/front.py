"""Sockets for a router: aiohttp without its application, with the deadlines and bounds that aiohttp leaves out."""

import asyncio
import logging
from dataclasses import dataclass
from itertools import count

from aiohttp import web

from agent.web.messages import WebRequest, WebResponse, error_response
from agent.web.router import Router, too_large
from domain.errors import RequestError

log = logging.getLogger(__name__)

SECURITY_HEADERS = {
    "Server": "agent",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
}
LINGER_SECONDS = 1.0
"""How long the rest of a refused body is read and thrown away, so that the sender sees the answer and not a reset."""


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """aiohttp waits for ever for a request line, a header or a body; these are the ends of its patience."""

    header_seconds: float = 10.0
    body_seconds: float = 10.0
    keepalive_seconds: float = 75.0
    connections_max: int = 2_000
    backlog: int = 512
    stop_seconds: float = 8.0


class _Refused(asyncio.Protocol):
    """One connection too many: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Server(web.Server):
    """Caps the connections and drops those that never finish their first request's headers."""

    def __init__(self, front: "WebFront", limits: FrontLimits) -> None:
        super().__init__(
            front.handle,
            access_log=None,
            keepalive_timeout=limits.keepalive_seconds,
            lingering_time=LINGER_SECONDS,
            auto_decompress=False,
        )
        self._limits = limits
        self._silent: dict[web.RequestHandler, asyncio.TimerHandle] = {}

    def __call__(self) -> web.RequestHandler:
        if len(self._connections) >= self._limits.connections_max:
            return _Refused()  # type: ignore[return-value]
        return super().__call__()

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._limits.header_seconds, transport.abort)

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.heard(handler)
        super().connection_lost(handler, exc)

    def heard(self, handler: web.RequestHandler) -> None:
        """A whole request head came over this connection; from now on the keep-alive deadline watches it."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()


class WebFront:
    """Serves a router on one port. `start`, then `stop`, which may be called twice."""

    def __init__(self, router: Router, host: str, port: int, limits: FrontLimits | None = None) -> None:
        self._router = router
        self.host = host
        self.port = port
        self._limits = limits or FrontLimits()
        self._numbers = count(1)
        self._prefix = ""
        self._server: _Server | None = None
        self._runner: web.ServerRunner | None = None

    async def start(self, run_id: str = "r") -> None:
        """Listen. `run_id` begins every request id, so that ids of two runs differ. Port 0 becomes the port found."""
        self._prefix = run_id
        self._server = _Server(self, self._limits)
        self._runner = web.ServerRunner(self._server, shutdown_timeout=self._limits.stop_seconds)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port, backlog=self._limits.backlog)
        await site.start()
        if self.port == 0:
            self.port = int(self._runner.addresses[0][1])

    async def stop(self) -> None:
        """Take no more connections, let running requests end, within `stop_seconds`."""
        runner, self._runner = self._runner, None
        if runner is not None:
            await runner.cleanup()

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """One request off the wire."""
        if self._server is not None:
            self._server.heard(request.protocol)
        request_id = f"{self._prefix}-{next(self._numbers)}"
        try:
            body = await self._read_body(request)
        except RequestError as error:
            return self._send(error_response(error), request_id, close=True)
        answer = await self._router.dispatch(
            WebRequest(request.method, request.path, request.query, request.headers, body, request.remote or "")
        )
        if answer.status >= 500:
            log.warning("request %s: %s %s answered %d", request_id, request.method, request.path, answer.status)
        return self._send(answer, request_id, close=False)

    async def _read_body(self, request: web.BaseRequest) -> bytes:
        """Raises RequestError 413 before reading more than the endpoint takes, 408 when the sender drips."""
        if not request.can_read_body:
            return b""
        limit = self._router.body_max_bytes(request.method, request.path)
        if (request.content_length or 0) > limit:
            raise too_large(limit)
        if request.content.is_eof():
            return _within(request.content.read_nowait(), limit)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await _gather(request, limit)
        except TimeoutError:
            raise RequestError(408, "body_too_slow", "the body did not arrive in time") from None
        except web.RequestPayloadError:
            raise RequestError(400, "body_broken", "the body was cut off or is malformed") from None

    def _send(self, answer: WebResponse, request_id: str, *, close: bool) -> web.Response:
        headers = {**SECURITY_HEADERS, **answer.headers, "X-Request-Id": request_id}
        if answer.body:
            headers["Content-Type"] = answer.content_type
        response = web.Response(status=answer.status, body=answer.body, headers=headers)
        if close:
            response.force_close()
        return response


async def _gather(request: web.BaseRequest, limit: int) -> bytes:
    parts, size = [], 0
    while part := await request.content.readany():
        size += len(part)
        if size > limit:
            raise too_large(limit)
        parts.append(part)
    return b"".join(parts)


def _within(body: bytes, limit: int) -> bytes:
    if len(body) > limit:
        raise too_large(limit)
    return body
