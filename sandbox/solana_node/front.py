"""The node on a socket: JSON-RPC over HTTP and WebSocket on one port, and WebSocket clients on a second if wanted."""

import asyncio
import contextlib

from aiohttp import WSCloseCode, WSMsgType, web

from sandbox.front import Front
from sandbox.service import Clock
from sandbox.solana_node.node import SolanaNode

WS_MESSAGE_MAX_BYTES = 1024 * 1024


class NodeFront(Front):
    """Serves `POST /` and the WebSocket upgrade on `port`; with `ws_port` on that one too, as solana-web3.js expects
    the WebSocket one port above. `ws_port=0` picks a free one."""

    def __init__(self, node: SolanaNode, clock: Clock, host: str, port: int, ws_port: int | None = None) -> None:
        super().__init__(node, clock, host, port)
        self.node = node
        self.ws_port = ws_port
        self._sockets: set[web.WebSocketResponse] = set()

    async def start(self) -> None:
        await super().start()
        if self.ws_port is not None:
            assert self._runner is not None
            await web.TCPSite(self._runner, self.host, self.ws_port).start()
            self.ws_port = int(self._runner.addresses[-1][1])

    async def stop(self) -> None:
        await self.drop_sockets()
        await super().stop()

    async def drop_sockets(self) -> None:
        """Close every WebSocket, as a provider does that restarts; clients have to come back by themselves."""
        self.node.subscriptions.drop()
        for socket in list(self._sockets):
            await socket.close(code=WSCloseCode.GOING_AWAY)

    async def _handle(self, request: web.Request) -> web.StreamResponse:
        if request.headers.get("upgrade", "").lower() == "websocket":
            if self.node.endpoint(request.path).refuses_sockets:
                return web.Response(status=503)
            return await self._talk(request)
        return await super()._handle(request)

    async def _talk(self, request: web.Request) -> web.StreamResponse:
        socket = web.WebSocketResponse(max_msg_size=WS_MESSAGE_MAX_BYTES)
        try:
            await socket.prepare(request)
        except ConnectionError:
            return socket  # whoever asked is gone
        ready = asyncio.Event()
        connection = self.node.subscriptions.connect(request.path, ready.set)

        async def write() -> None:
            while True:
                await ready.wait()
                ready.clear()
                if connection.dropped:
                    await socket.close(code=WSCloseCode.GOING_AWAY)
                    return
                for text in connection.take():
                    await socket.send_str(text)

        writer = asyncio.create_task(write())
        self._own(writer)
        self._sockets.add(socket)
        try:
            async for message in socket:
                if message.type in (WSMsgType.TEXT, WSMsgType.BINARY):
                    connection.receive(message.data)
                    self.poke()
        finally:
            self._sockets.discard(socket)
            connection.close()
            writer.cancel()
            with contextlib.suppress(asyncio.CancelledError, ConnectionError):
                await writer
        return socket
