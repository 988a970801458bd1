"""Outgoing HTTP over aiohttp: bounded in time and size, never redirected, never retried."""

import asyncio
from collections.abc import Callable

import aiohttp
from yarl import URL

from gateways.egress import ANYWHERE, Anywhere, Egress
from ports.transport import HttpRequest, HttpResponse, TransportError

SOCKET_CONNECT_SECONDS = 5.0
"""TCP to a healthy host takes well under a second; 5 leave room for one lost SYN."""
CONNECT_SECONDS = 10.0
"""Waiting for a free connection, DNS, TCP and TLS together: until then nothing has been sent."""
READ_SECONDS = 25.0
"""Longest silence between two pieces of an answer."""
BODY_MAX_BYTES = 16 * 1024 * 1024
"""More than a page of 100 Stripe events or 256 transactions from a node; less than what would hurt the daemon."""
KEEPALIVE_SECONDS = 15.0
"""Shorter than the idle limits of usual load balancers: a POST on a connection that the other side just closed has an
unknown outcome."""
CONNECTIONS_PER_HOST = 32
_CHUNK_BYTES = 64 * 1024

Observe = Callable[[str, str, float], None]
"""Told the host, the outcome (`2xx` … `5xx`, `not_connected`, `timeout`, `broken`, `too_large`,
`cancelled`) and the seconds."""


class AiohttpTransport:
    """One session with its pool of connections, for the whole process. `close` may be called twice.

    aiohttp repeats a GET, never a POST, once when a kept-alive connection turns out to be dead; everything else is
    tried a single time.
    """

    def __init__(
        self,
        *,
        user_agent: str = "renaissblock-payment-agent",
        body_max_bytes: int = BODY_MAX_BYTES,
        observe: Observe | None = None,
        egress: Egress | Anywhere = ANYWHERE,
    ) -> None:
        self._egress = egress
        self._user_agent = user_agent
        self._body_max_bytes = body_max_bytes
        self._observe = observe
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def send(self, request: HttpRequest) -> HttpResponse:
        """Raises TransportError. The deadline covers connecting, sending, waiting and reading."""
        started = asyncio.get_running_loop().time()
        outcome = "cancelled"
        try:
            response = await self._send(request)
            outcome = f"{response.status // 100}xx"
        except _Failure as failure:
            outcome = failure.outcome
            raise TransportError(str(failure), sent=failure.sent) from failure.__cause__
        else:
            return response
        finally:
            if self._observe is not None:
                seconds = asyncio.get_running_loop().time() - started
                self._observe(_host(request.url), outcome, seconds)

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()

    async def _send(self, request: HttpRequest) -> HttpResponse:
        try:
            async with asyncio.timeout(request.deadline_seconds):
                return await self._exchange(request)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError, aiohttp.InvalidURL) as error:
            # TCP and TLS come before the first byte of the request.
            raise _Failure("not_connected", f"no connection: {type(error).__name__}", sent=False) from error
        except TimeoutError as error:
            raise _Failure("timeout", "no answer in time", sent=True) from error
        except (aiohttp.ClientError, OSError, ValueError) as error:  # ValueError: a header that can't be written
            raise _Failure("broken", f"connection broke: {type(error).__name__}", sent=True) from error

    async def _exchange(self, request: HttpRequest) -> HttpResponse:
        url = self._admitted(request.url)
        async with self._open_session().request(
            request.method,
            url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
        ) as answer:
            body = bytearray()
            async for chunk in answer.content.iter_chunked(_CHUNK_BYTES):
                body += chunk
                if len(body) > self._body_max_bytes:
                    answer.close()
                    raise _Failure("too_large", f"answer is larger than {self._body_max_bytes} bytes", sent=True)
            headers = {name.lower(): value for name, value in answer.headers.items()}
            return HttpResponse(answer.status, headers, bytes(body))

    def _admitted(self, address: str) -> URL:
        """The address as aiohttp will take it, so that nobody reads another host into it."""
        try:
            url = URL(address)
        except ValueError as error:
            raise _Failure("not_connected", "this is no address", sent=False) from error
        if not self._egress.admits(url):
            raise _Failure("not_connected", "this address is in no setting", sent=False)
        return url

    def _open_session(self) -> aiohttp.ClientSession:
        if self._closed:
            raise _Failure("not_connected", "the transport is closed", sent=False)
        if self._session is None:
            connector = aiohttp.TCPConnector(limit_per_host=CONNECTIONS_PER_HOST, keepalive_timeout=KEEPALIVE_SECONDS)
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=aiohttp.ClientTimeout(
                    total=None,  # `send` bounds the whole call
                    connect=CONNECT_SECONDS,
                    sock_connect=SOCKET_CONNECT_SECONDS,
                    sock_read=READ_SECONDS,
                ),
                cookie_jar=aiohttp.DummyCookieJar(),
                headers={"user-agent": self._user_agent, "accept-encoding": "identity"},
                auto_decompress=False,  # a small compressed answer must not unpack past the size cap
                trust_env=False,  # hosts and proxies come from the settings, never from the surroundings
            )
        return self._session


class _Failure(Exception):
    def __init__(self, outcome: str, message: str, *, sent: bool) -> None:
        super().__init__(message)
        self.outcome, self.sent = outcome, sent


def _host(url: str) -> str:
    """Host of a URL for a metric's label; without path and query, where RPC providers put their keys."""
    return url.partition("://")[2].partition("/")[0].partition("?")[0].rpartition("@")[2]
