"""The sandbox's services behind the daemon's transport port, without sockets."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from ports.sockets import SocketBroken
from ports.transport import HttpRequest, HttpResponse, TransportError
from sandbox.service import Request, Response, Service
from sandbox.solana_node import SolanaNode


class ServiceTransport:
    """A Transport whose hosts are services: `{"https://api.stripe.test": service}`, without a path or a slash behind.

    `sleep` holds late answers back (give the virtual clock's), `after` is called when a service has answered (to let a
    ticker look again at what is due). Everything sent is kept in `sent`, whether an answer came or not, unless
    `remember` says no.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        after: Callable[[], None] = lambda: None,
        *,
        remember: bool = True,
    ) -> None:
        self.services = dict(services)
        self.sent: list[HttpRequest] = []
        self._sleep = sleep
        self._after = after
        self._remember = remember

    async def send(self, request: HttpRequest) -> HttpResponse:
        """A fault of the service becomes what a client sees of it; nothing can tell whether a lost request arrived."""
        parts = urlsplit(request.url)
        service = self.services.get(f"{parts.scheme}://{parts.netloc}")
        if service is None:
            raise TransportError(f"no such host: {parts.netloc}", sent=False)
        if self._remember:
            self.sent.append(request)
        headers = {name.lower(): value for name, value in request.headers.items()}
        answer = service.handle(Request(request.method, parts.path or "/", parts.query, headers, request.body))
        self._after()
        await self._hold(answer, request.deadline_seconds)
        if answer.cut or answer.cut_after is not None:
            raise TransportError("the connection dropped", sent=True)
        return HttpResponse(answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.body)

    async def close(self) -> None:
        """Nothing is open."""

    async def _hold(self, answer: Response, deadline_seconds: float) -> None:
        """Let other tasks run, as a socket would, and wait for a late answer no longer than the caller does."""
        await self._sleep(min(answer.delay_ms / 1000, deadline_seconds))
        if answer.delay_ms / 1000 > deadline_seconds:
            raise TransportError("no answer in time", sent=True)


class ServiceSockets:
    """WebSockets to nodes in this process: `{"ws://chain.test": node}`. Everything told to it is kept in `sent`."""

    def __init__(self, nodes: Mapping[str, SolanaNode]) -> None:
        self._nodes = dict(nodes)
        self.opened = 0
        self.sent: list[str] = []

    async def open(self, url: str) -> "ServiceSocket":
        parts = urlsplit(url)
        node, path = self._nodes.get(f"{parts.scheme}://{parts.netloc}"), parts.path or "/"
        await asyncio.sleep(0)
        if node is None or node.endpoint(path).refuses_sockets:
            raise SocketBroken("no connection")
        self.opened += 1
        return ServiceSocket(node, path, self.sent)

    async def close(self) -> None:
        """Nothing is open."""


class ServiceSocket:
    """One connection to a node's subscriptions."""

    def __init__(self, node: SolanaNode, path: str, sent: list[str]) -> None:
        self._ready = asyncio.Event()
        self._connection = node.subscriptions.connect(path, self._ready.set)
        self._told: deque[str] = deque()
        self._sent = sent

    async def send(self, text: str) -> None:
        if self._connection.dropped:
            raise SocketBroken("the connection dropped")
        self._sent.append(text)
        self._connection.receive(text)

    async def receive(self) -> str:
        while not self._told:
            if self._connection.dropped:
                raise SocketBroken("the connection dropped")
            await self._ready.wait()
            self._ready.clear()
            self._told.extend(self._connection.take())
        return self._told.popleft()

    async def close(self) -> None:
        self._connection.close()
