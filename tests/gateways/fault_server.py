"""A raw TCP server that misbehaves on purpose, and remembers what it was sent."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

Behave = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class FaultServer:
    def __init__(self, behave: Behave) -> None:
        self._behave = behave
        self.port = 0
        self.heads: list[bytes] = []
        """Head and body of each request, as received."""
        self.connections = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                self.heads.append(await _read_request(reader))
                await self._behave(reader, writer)
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def fault_server(behave: Behave, tls: ssl.SSLContext | None = None) -> AsyncIterator[FaultServer]:
    made = FaultServer(behave)
    tasks: set[asyncio.Task[None]] = set()

    def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.ensure_future(made.serve(reader, writer))
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    server = await asyncio.start_server(connected, "127.0.0.1", 0, ssl=tls)
    made.port = server.sockets[0].getsockname()[1]
    try:
        yield made
    finally:
        server.close()
        open_tasks = list(tasks)
        for task in open_tasks:
            task.cancel()
        await asyncio.gather(*open_tasks, return_exceptions=True)


async def _read_request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(b"\r\n\r\n")
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return head + await reader.readexactly(int(line.split(b":")[1]))
    return head


def reply(status_line: str, body: bytes = b"", *headers: str, length: int | None = None) -> Behave:
    """A whole answer; `length` is what Content-Length claims, if not the truth."""
    claimed = len(body) if length is None else length
    lines = [f"HTTP/1.1 {status_line}", f"Content-Length: {claimed}", *headers]
    raw = "\r\n".join(lines).encode() + b"\r\n\r\n" + body

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(raw)
        if length is not None:
            await writer.drain()
            writer.close()

    return behave


def reset(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Awaitable[None]:
    """Takes the request and drops the connection."""
    writer.transport.abort()
    return asyncio.sleep(0)


def drip(gap_seconds: float) -> Behave:
    """One byte of the body at a time, for ever."""

    async def behave(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100000\r\n\r\n")
        while not writer.is_closing():
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(gap_seconds)

    return behave


async def silence(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Headers, and then nothing until the client leaves."""
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
    await reader.read(1)


async def flood(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An answer without end."""
    writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    while not writer.is_closing():
        writer.write(chunk)
        await writer.drain()
