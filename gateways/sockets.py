"""Outgoing WebSockets over aiohttp: bounded in size, with a heartbeat that notices a dead connection."""

import aiohttp
from yarl import URL

from gateways.egress import ANYWHERE, Anywhere, Egress
from ports.sockets import SocketBroken

CONNECT_SECONDS = 10.0
"""DNS, TCP, TLS and the upgrade together."""
HEARTBEAT_SECONDS = 20.0
"""A ping so often; without its pong in half that time the connection counts as broken."""
MESSAGE_MAX_BYTES = 1024 * 1024
"""A notification about a signature or a slot has some 300 bytes."""


class AiohttpSockets:
    """One session for the whole process. `close` ends all its connections and may be called twice."""

    def __init__(self, egress: Egress | Anywhere = ANYWHERE) -> None:
        self._egress = egress
        self._session: aiohttp.ClientSession | None = None
        self._closed = False

    async def open(self, url: str) -> "AiohttpSocket":
        """Raises SocketBroken, which never names the address: it may hold a key."""
        if self._closed:
            raise SocketBroken("no connection is made any more")
        if not self._egress.admits(URL(url)):
            raise SocketBroken("this address is in no setting")
        if self._session is None:
            self._session = aiohttp.ClientSession(
                timeout=aiohttp.ClientTimeout(total=None, connect=CONNECT_SECONDS, sock_connect=CONNECT_SECONDS),
                cookie_jar=aiohttp.DummyCookieJar(),
                trace_configs=[_no_redirects()],
                trust_env=False,  # hosts and proxies come from the settings, never from the surroundings
            )
        try:
            connection = await self._session.ws_connect(
                url, heartbeat=HEARTBEAT_SECONDS, max_msg_size=MESSAGE_MAX_BYTES, autoclose=True
            )
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError) as error:
            raise SocketBroken(f"no connection: {type(error).__name__}") from error
        return AiohttpSocket(connection)

    async def close(self) -> None:
        self._closed = True
        session, self._session = self._session, None
        if session is not None:
            await session.close()


def _no_redirects() -> aiohttp.TraceConfig:
    """aiohttp follows a redirect to wherever it leads, and `ws_connect` has no switch for it."""

    async def refuse(_session: object, _context: object, told: aiohttp.TraceRequestRedirectParams) -> None:
        told.response.close()
        raise aiohttp.ClientError("redirected")

    config = aiohttp.TraceConfig()
    config.on_request_redirect.append(refuse)
    return config


class AiohttpSocket:
    """A `ports.sockets.Socket`."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection

    async def send(self, text: str) -> None:
        try:
            await self._connection.send_str(text)
        except (aiohttp.ClientError, OSError) as error:
            raise SocketBroken(f"connection broke: {type(error).__name__}") from error

    async def receive(self) -> str:
        message = await self._connection.receive()
        if message.type is aiohttp.WSMsgType.TEXT:
            return str(message.data)
        raise SocketBroken(f"connection ended: {message.type.name.lower()}")

    async def close(self) -> None:
        await self._connection.close()
