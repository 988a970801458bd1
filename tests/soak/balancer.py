"""One address before several replicas, as a load balancer in front of them would be: TCP, whoever answers next."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable, Sequence

CHUNK = 65_536


@contextlib.asynccontextmanager
async def balanced(port: int, living: Callable[[], Sequence[int]]) -> AsyncIterator[None]:
    """Pass connections to `port` on to one of the `living` ports in turn; to the next where nobody listens."""
    turns = itertools.count()
    under_way: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            found = await _reach(living(), next(turns))
            if found is not None:
                await asyncio.gather(_pass_on(reader, found[1]), _pass_on(found[0], writer))
        finally:
            under_way.discard(task)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    try:
        yield
    finally:
        server.close()
        for task in (left := list(under_way)):
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)


async def _reach(ports: Sequence[int], turn: int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
    for place in range(len(ports)):
        with contextlib.suppress(OSError):
            return await asyncio.open_connection("127.0.0.1", ports[(turn + place) % len(ports)])
    return None


async def _pass_on(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Until either side ends; the other is told."""
    with contextlib.suppress(OSError):
        while data := await reader.read(CHUNK):
            writer.write(data)
            await writer.drain()
    writer.close()
