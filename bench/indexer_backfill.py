"""The treasury follower over a long history: `python -m bench.indexer_backfill RPC_URL WALLET DATABASE_FILE`.

A process of its own, so that its memory is its own; the last line is one JSON object.
"""

import json
import resource
import sys

import uvloop
from sqlalchemy import func, select

from config.settings import DEVNET_USDC
from gateways.transport import AiohttpTransport
from indexer.readback import ReadBack
from indexer.rpc.pool import RpcPool
from indexer.treasury.follower import TreasuryFollower
from ports.system import SystemClock
from storage import schema
from storage.engines.opening import open_store
from storage.tables import chain_movements

UNBOUND = 1_000_000.0
"""A local node has no rate to keep to."""


async def main(url: str, wallet: str, file: str) -> dict[str, float]:
    clock, transport = SystemClock(), AiohttpTransport()
    store = open_store(f"sqlite:///{file}")
    await store.start()
    await store.write(schema.upgrade)
    rpc = RpcPool([url], transport, clock, requests_per_second=UNBOUND)
    follower = TreasuryFollower(store, rpc, ReadBack(rpc, wallet, DEVNET_USDC), clock, poll_seconds=1.0)
    resting = _resident()
    begun = clock.monotonic()
    await follower.backfill_until_caught_up()
    seconds = clock.monotonic() - begun
    booked = await store.read(lambda conn: conn.scalar(select(func.count()).select_from(chain_movements)) or 0)
    await transport.close()
    await store.stop()
    return {"booked": booked, "seconds": seconds, "rss_mb": _resident(), "rss_mb_before": resting}


def _resident() -> int:
    """The most that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(*sys.argv[1:4]))), flush=True)
