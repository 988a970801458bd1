"""The sandbox's services behind the daemon's transport port, without sockets."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from ports.transport import HttpRequest, HttpResponse, TransportError
from sandbox.service import Request, Response, Service


class ServiceTransport:
    """A Transport whose hosts are services: `{"https://api.stripe.test": service}`, without a path or a slash behind.

    `sleep` holds late answers back (give the virtual clock's), `after` is called when a service has answered (to let a
    ticker look again at what is due). Everything sent is kept in `sent`, whether an answer came or not.
    """

    def __init__(
        self,
        services: Mapping[str, Service],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
        after: Callable[[], None] = lambda: None,
    ) -> None:
        self.services = dict(services)
        self.sent: list[HttpRequest] = []
        self._sleep = sleep
        self._after = after

    async def send(self, request: HttpRequest) -> HttpResponse:
        """A fault of the service becomes what a client sees of it; nothing can tell whether a lost request arrived."""
        parts = urlsplit(request.url)
        service = self.services.get(f"{parts.scheme}://{parts.netloc}")
        if service is None:
            raise TransportError(f"no such host: {parts.netloc}", sent=False)
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
