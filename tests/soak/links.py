"""Network links that break: TCP between a daemon and what it needs, which passes everything on until it is troubled.

What a partition holds back is not lost but late, as TCP repeats it until it arrives: a request may reach its service
long after its sender has given it up.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from enum import StrEnum

CHUNK = 65_536
DRIP_SECONDS = 1.0

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Trouble(StrEnum):
    """What ails a link."""

    SILENT = "nothing passes, and nobody is told"
    DEAF = "requests pass, answers do not"
    MUTE = "answers pass, requests do not"
    RESET = "a request passes, then the connection is reset"
    DRIP = "answers pass a byte a second"


HOLDS_REQUESTS = frozenset({Trouble.SILENT, Trouble.MUTE})
HOLDS_ANSWERS = frozenset({Trouble.SILENT, Trouble.DEAF})


class Link:
    """Use as a context manager; then connect to `port`. `trouble` may be changed at any time."""

    def __init__(self, reach: Callable[[], Awaitable[Streams]]) -> None:
        """`reach` connects to the other end."""
        self.port = 0
        self.struck = 0
        """How often something that was on its way met a trouble."""
        self._reach = reach
        self._trouble: Trouble | None = None
        self._changed = asyncio.Event()
        self._under_way: set[asyncio.Task[None]] = set()

    @property
    def trouble(self) -> Trouble | None:
        return self._trouble

    @trouble.setter
    def trouble(self, trouble: Trouble | None) -> None:
        self._trouble = trouble
        self._changed.set()
        self._changed = asyncio.Event()

    @contextlib.asynccontextmanager
    async def up(self) -> AsyncIterator["Link"]:
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        try:
            yield self
        finally:
            server.close()
            for task in (left := list(self._under_way)):
                task.cancel()
            await asyncio.gather(*left, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._under_way.add(task)
        try:
            with contextlib.suppress(OSError):
                far_reader, far_writer = await self._reach()
                await asyncio.gather(self._requests(reader, far_writer, writer), self._answers(far_reader, writer))
        finally:
            self._under_way.discard(task)
            writer.close()

    async def _requests(
        self, reader: asyncio.StreamReader, far: asyncio.StreamWriter, near: asyncio.StreamWriter
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._while_in(HOLDS_REQUESTS)
                if far.is_closing():
                    break
                far.write(data)
                await far.drain()
                if self._trouble is Trouble.RESET:
                    self.struck += 1
                    near.transport.abort()
                    break
        await self._while_in(HOLDS_REQUESTS)
        far.close()

    async def _answers(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._while_in(HOLDS_ANSWERS)
                while self._trouble is Trouble.DRIP and len(data) > 1 and not writer.is_closing():
                    self.struck += 1
                    writer.write(data[:1])
                    data = data[1:]
                    await self._changes_within(DRIP_SECONDS)
                if writer.is_closing():
                    break  # it was reset: nobody hears this answer
                writer.write(data)
                await writer.drain()
        await self._while_in(HOLDS_ANSWERS)
        writer.close()

    async def _while_in(self, troubles: frozenset[Trouble]) -> None:
        if self._trouble in troubles:
            self.struck += 1
        while self._trouble in troubles:
            await self._changed.wait()

    async def _changes_within(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)


def to_port(port: int) -> Callable[[], Awaitable[Streams]]:
    return lambda: asyncio.open_connection("127.0.0.1", port)


def to_socket(path: str) -> Callable[[], Awaitable[Streams]]:
    return lambda: asyncio.open_unix_connection(path)
