"""A pooler as a client sees it that asks for settings in its first packet: PgBouncer refuses what it does not know, or
drops it where `ignore_startup_parameters` says so."""

import asyncio
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

from sqlalchemy import URL

SOCKET = ".s.PGSQL.5432"
PASSED_ON = {b"user", b"database", b"client_encoding"}


@asynccontextmanager
async def pooler(server: URL, *, refuses: bool) -> AsyncIterator[URL]:
    """The same database by way of it."""
    upstream = Path(str(server.query["host"])) / SOCKET

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        protocol, settings = await _first_packet(reader)
        unknown = sorted(settings.keys() - PASSED_ON)
        if refuses and unknown:
            writer.write(_fatal(b"08P01", b"unsupported startup parameter: " + unknown[0]))
            writer.close()
            return
        server_reader, server_writer = await asyncio.open_unix_connection(upstream)
        passed = b"".join(name + b"\0" + settings[name] + b"\0" for name in settings.keys() & PASSED_ON) + b"\0"
        server_writer.write((len(passed) + 8).to_bytes(4) + protocol + passed)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))

    with tempfile.TemporaryDirectory(prefix="pool-") as folder:
        listening = await asyncio.start_unix_server(serve, Path(folder) / SOCKET)
        yield server.update_query_dict({"host": folder})
        listening.close()


@asynccontextmanager
async def at_a_port(server: URL) -> AsyncIterator[int]:
    """The server itself, by TCP on this machine."""
    upstream = Path(str(server.query["host"])) / SOCKET

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_unix_connection(upstream)
        await asyncio.gather(_pump(reader, server_writer), _pump(server_reader, writer))

    listening = await asyncio.start_server(serve, "127.0.0.1")
    yield listening.sockets[0].getsockname()[1]
    listening.close()


async def _first_packet(reader: asyncio.StreamReader) -> tuple[bytes, dict[bytes, bytes]]:
    packet = await reader.readexactly(int.from_bytes(await reader.readexactly(4)) - 4)
    words = packet[4:].split(b"\0")
    return packet[:4], dict(zip(words[::2], words[1::2], strict=False))


def _fatal(code: bytes, message: bytes) -> bytes:
    fields = b"SFATAL\0VFATAL\0C" + code + b"\0M" + message + b"\0\0"
    return b"E" + (len(fields) + 4).to_bytes(4) + fields


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65_536):
            writer.write(data)
            await writer.drain()
    writer.close()
