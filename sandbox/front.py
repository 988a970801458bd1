"""Sockets for a sandbox service: HTTP in, webhooks out, and a ticker that wakes it when something is due."""

import asyncio
import contextlib
import logging

import aiohttp
from aiohttp import web

from sandbox.service import Clock, Delivery, Request, Response, Service

log = logging.getLogger(__name__)

BODY_MAX_BYTES = 4 * 1024 * 1024
"""Larger than anything a client of the sandbox sends; a bound, not a feature."""
DELIVERY_TIMEOUT_SECONDS = 10.0
DELIVERIES_AT_ONCE = 16
IDLE_WAIT_SECONDS = 1.0


class Front:
    """Serves one service on a loopback port. `start`, then `stop` (which may be called twice).

    `extra` lets a service add routes of its own (the node's WebSocket) to the same port.
    """

    def __init__(self, service: Service, clock: Clock, host: str, port: int) -> None:
        self.service = service
        self.clock = clock
        self.host = host
        self.port = port
        self.app = web.Application(client_max_size=BODY_MAX_BYTES)
        self._wake = asyncio.Event()
        self._runner: web.AppRunner | None = None
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._gate = asyncio.Semaphore(DELIVERIES_AT_ONCE)

    async def start(self) -> None:
        self.app.router.add_route("*", "/{tail:.*}", self._handle)
        self._runner = web.AppRunner(self.app, access_log=None, shutdown_timeout=1.0)
        await self._runner.setup()
        site = web.TCPSite(self._runner, self.host, self.port)
        await site.start()
        if self.port == 0:
            self.port = int(self._runner.addresses[0][1])
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=DELIVERY_TIMEOUT_SECONDS))
        self._own(asyncio.create_task(self._run()))

    async def stop(self) -> None:
        tasks, self._tasks = self._tasks, set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
        if self._runner is not None:
            await self._runner.cleanup()

    def poke(self) -> None:
        """Look again at what is due (after a change made from outside a request)."""
        self._wake.set()

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        answer = self.service.handle(
            Request(
                request.method,
                request.path,
                request.query_string,
                {name.lower(): value for name, value in request.headers.items()},
                body,
            )
        )
        self.poke()
        return await send(request, answer)

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            self.service.tick(self.clock())
            for delivery in self.service.take_deliveries():
                self._own(asyncio.create_task(self._deliver(delivery)))
            due = self.service.next_due_ms()
            wait = IDLE_WAIT_SECONDS if due is None else min(IDLE_WAIT_SECONDS, max(0, due - self.clock()) / 1000)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(wait):
                    await self._wake.wait()

    async def _deliver(self, delivery: Delivery) -> None:
        assert self._session is not None
        status: int | None = None
        async with self._gate:
            try:
                async with self._session.request(
                    delivery.method,
                    delivery.url,
                    data=delivery.body,
                    headers=dict(delivery.headers),
                    allow_redirects=False,
                ) as answer:
                    await answer.read()
                    status = answer.status
            except (aiohttp.ClientError, TimeoutError) as error:
                log.debug("delivery to %s failed: %s", delivery.url, error)
        self.service.delivered(delivery.id, status)
        self.poke()

    def _own(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


async def send(request: web.Request, answer: Response) -> web.StreamResponse:
    """Put an answer on the wire, with its faults."""
    if answer.delay_ms:
        await asyncio.sleep(answer.delay_ms / 1000)
    if answer.cut:
        _drop(request)
        return web.Response(status=500)
    headers = dict(answer.headers)
    if answer.cut_after is None:
        return web.Response(status=answer.status, body=answer.body, headers=headers)
    response = web.StreamResponse(status=answer.status, headers={**headers, "content-length": str(len(answer.body))})
    await response.prepare(request)
    await response.write(answer.body[: answer.cut_after])
    _drop(request)
    return response


def _drop(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
