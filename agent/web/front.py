"""Sockets for a router: aiohttp without its application, with the deadlines and bounds that aiohttp leaves out."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import count

import structlog
from aiohttp import web
from structlog.contextvars import bind_contextvars

from agent.web.body_budget import BodyBudget
from agent.web.callers import FORWARDED, TrustedProxies
from agent.web.messages import WebRequest, error_response
from agent.web.recurring import Recurring
from agent.web.router import Router, too_large
from agent.web.wire import WireAnswer
from domain.errors import Misuse, RequestError

log = structlog.get_logger(__name__)

LINGER_SECONDS = 1.0
"""How long the rest of a refused body is read and thrown away, so that the sender sees the answer and not a reset."""
CONNECTIONS_MAX = 2_000
"""Of one port; each holds a few KB and one of the process's files."""
FAILURES_TOLD = 20
"""Answers of 500 and above in a minute that each get a line with their request id; of more only the number is told."""
_NO_QUERY: Mapping[str, str] = {}


@dataclass(frozen=True, slots=True)
class FrontLimits:
    """aiohttp waits for ever for a request line, a header or a body; these are the ends of its patience."""

    header_seconds: float = 10.0
    body_seconds: float = 10.0
    keepalive_seconds: float = 75.0
    connections_max: int = CONNECTIONS_MAX
    large_burst_bytes: int = 32 * 1024 * 1024
    large_bytes_per_second: int = 8 * 1024 * 1024
    backlog: int = 512
    stop_seconds: float = 8.0


class _Refused(asyncio.Protocol):
    """One connection too many, while all others are being answered: closed at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class _Connection(web.RequestHandler):
    """One connection. What is no HTTP is refused in our one shape: aiohttp would echo it, name its version and log a
    traceback for every such line of a scanner."""

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        if status >= 500:
            log.error("a request failed before it was handled", exc_info=exc)
            error = RequestError(500, "internal_error", "something went wrong here; it has been logged")
        else:
            log.debug("malformed request", remote=request.remote, error=type(exc).__name__)
            error = RequestError(400, "malformed_request", "this is no valid HTTP request")
        return WireAnswer(error_response(error), "-", close=True)


class _Server(web.Server):
    """Caps the connections: a new one takes the place of the one that has kept us waiting longest. Drops those that
    never finish their first request's headers."""

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
        self._waited_for: dict[web.RequestHandler, None] = {}
        """Connections of which we wait for bytes, the longest first: a head, a body, the next request."""

    def __call__(self) -> web.RequestHandler:
        if len(self._connections) >= self._limits.connections_max and not self._make_room():
            return _Refused()  # type: ignore[return-value]
        return _Connection(self, loop=self._loop, **self._kwargs)

    def _make_room(self) -> bool:
        """End the connection that has been waited for longest; False when all are being answered."""
        handler = next(iter(self._waited_for), None)
        if handler is None:
            return False
        del self._waited_for[handler]
        if handler.transport is not None:
            handler.transport.abort()
        return True

    def connection_made(self, handler: web.RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        loop = asyncio.get_running_loop()
        self._silent[handler] = loop.call_later(self._limits.header_seconds, transport.abort)
        self._waited_for[handler] = None

    def connection_lost(self, handler: web.RequestHandler, exc: BaseException | None = None) -> None:
        self.heard(handler)
        self._waited_for.pop(handler, None)
        super().connection_lost(handler, exc)

    def heard(self, handler: web.RequestHandler) -> None:
        """A whole request head came over this connection; from now on the keep-alive deadline watches it."""
        timer = self._silent.pop(handler, None)
        if timer is not None:
            timer.cancel()

    def uploading(self, handler: web.RequestHandler) -> None:
        """A body is on its way: as good as a new connection."""
        if self._waited_for.pop(handler, self) is None:
            self._waited_for[handler] = None

    def answering(self, handler: web.RequestHandler) -> None:
        """A whole request is here: the connection is not one to make room with."""
        self._waited_for.pop(handler, None)

    def answered(self, handler: web.RequestHandler) -> None:
        """From here on we wait for the next request, or for an answer to be read."""
        if handler in self._connections:
            self._waited_for[handler] = None


class WebFront:
    """Serves a router on one port. `start`, then `stop`, which may be called twice."""

    def __init__(
        self,
        router: Router,
        host: str,
        port: int,
        limits: FrontLimits | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._router = router
        self.host = host
        self.port = port
        self._limits = limits or FrontLimits()
        self._proxies = proxies or TrustedProxies()
        self._large = BodyBudget(self._limits.large_burst_bytes, self._limits.large_bytes_per_second)
        self._numbers = count(1)
        self._prefix = ""
        self._server: _Server | None = None
        self._runner: web.ServerRunner | None = None
        self._failed = Recurring(_tell_of_failures, freely=FAILURES_TOLD)

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
        server, connection = self._listening, request.protocol
        server.heard(connection)
        request_id = f"{self._prefix}-{next(self._numbers)}"
        bind_contextvars(request_id=request_id)  # this connection's next request brings its own
        path, query = self._where(request)
        limit = self._router.body_max_bytes(request.method, path)
        try:
            content = request.content  # a short body came with its head: nothing to wait for
            body = self._taken(content.read_nowait(), limit) if content.is_eof() else await self._read(request, limit)
        except RequestError as error:
            return WireAnswer(error_response(error), request_id, close=True)
        server.answering(connection)
        try:
            answer = await self._router.dispatch(
                WebRequest(request.method, path, query, request.headers, body, self._caller(request), request_id)
            )
        finally:
            server.answered(connection)
        if answer.status >= 500:
            self._failed.happened(f"{request.method} {path}: {answer.status}")
        return WireAnswer(answer, request_id, close=False)

    def _caller(self, request: web.BaseRequest) -> str:
        peer = request.remote or ""
        return self._proxies.caller(peer, request.headers.getall(FORWARDED, [])) if self._proxies else peer

    def _where(self, request: web.BaseRequest) -> tuple[str, Mapping[str, str]]:
        """Path and query. What stands in the registry as it came needs no taking apart: the webhooks, above all."""
        if self._router.has_path(request.raw_path):
            return request.raw_path, _NO_QUERY
        return request.path, request.query

    @property
    def _listening(self) -> _Server:
        if self._server is None:
            raise Misuse("a request came before the front listens")
        return self._server

    def _taken(self, body: bytes, limit: int) -> bytes:
        if len(body) > limit:
            raise too_large(limit)
        self._large.grow(0, len(body))
        return body

    async def _read(self, request: web.BaseRequest, limit: int) -> bytes:
        """Raises RequestError 413 before reading more than the endpoint takes, 503 before reading more than all senders
        may send now, 408 when the sender drips."""
        told = request.content_length or 0
        if told > limit:
            raise too_large(limit)
        self._large.grow(0, told)
        self._listening.uploading(request.protocol)
        try:
            async with asyncio.timeout(self._limits.body_seconds):
                return await self._gather(request, told, limit)
        except TimeoutError:
            raise RequestError(408, "body_too_slow", "the body did not arrive in time") from None
        except (web.RequestPayloadError, ConnectionError):
            raise RequestError(400, "body_broken", "the body was cut off or is malformed") from None

    async def _gather(self, request: web.BaseRequest, told: int, limit: int) -> bytes:
        """`told`: how long it is going to be; 0 for one that comes in chunks, and grows as it comes."""
        parts, size = [], 0
        while part := await request.content.readany():
            before, size = size, size + len(part)
            if size > limit:
                raise too_large(limit)
            if not told:
                self._large.grow(before, size)
            parts.append(part)
        return b"".join(parts)


def _tell_of_failures(times: int, latest: str) -> None:
    log.warning("answered with an error", times=times, latest=latest)
