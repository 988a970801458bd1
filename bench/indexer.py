"""The indexer: confirming many signatures, decoding effects, reading a long history.

`python -m bench.indexer [signatures] [history]`. All signatures are in flight at once on one node on loopback; the
tracker follows them over HTTP and WebSocket to finalized. solana-py's `confirm_transaction` does the same for a slice
of them on the same node, and the node counts the calls of both. The last line is one JSON object.
"""

import asyncio
import json
import os
import random
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson
import uvloop
from solana.rpc.async_api import AsyncClient
from solana.rpc.commitment import Finalized
from solders.keypair import Keypair
from solders.message import Message
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import VersionedTransaction

from bench.arguments import numbers
from bench.indexer_node import now_ms
from gateways.sockets import AiohttpSockets
from gateways.transport import AiohttpTransport
from indexer.effects.decode import decode_transaction
from indexer.fast_path import FastPath
from indexer.rpc.pool import RpcPool
from indexer.tracker import SignatureTracker
from ports.system import SystemClock
from sandbox.loopback import HOST
from sandbox.service import Request, Response
from sandbox.solana_node import NodeFront, SolanaNode
from storage import schema
from storage.engines.opening import open_store
from storage.store import Store
from storage.treasury.chain_rows import watch

SIGNATURES, HISTORY = 10_000, 100_000
SLICE = 200
"""For solana-py, which asks for each signature by itself."""
DECODE_SECONDS = 2.0
SAVED_AT_ONCE = 500
UNBOUND = 1_000_000.0
DEADLINE_SECONDS = 120.0
ROOT = Path(__file__).parents[1]
_clock = SystemClock()


class CountingNode(SolanaNode):
    """Counts the calls it answers over HTTP."""

    calls = 0

    def handle(self, request: Request) -> Response:
        self.calls += 1
        return super().handle(request)


async def main(signatures: int, history: int) -> dict[str, float]:
    figures = await confirming(signatures)
    figures["decode_per_second"] = decoding()
    figures |= await backfilling(history)
    return figures


async def confirming(count: int) -> dict[str, float]:
    node = CountingNode(now_ms, random.Random(3))
    front = NodeFront(node, now_ms, HOST, 0)
    await front.start()
    url = f"{HOST}:{front.port}"
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store = open_store(f"sqlite:///{folder}/agent.db")
        await store.start()
        await store.write(schema.upgrade)
        payers = [Keypair() for _ in range(50)]
        for payer in payers:
            node.airdrop(payer.pubkey(), 10**12)
        node.skip_slots(40)
        ours = await _ours(node, store, f"http://{url}/", f"ws://{url}/", signed(node, payers, count))
        theirs = await _theirs(node, f"http://{url}/", signed(node, payers, SLICE))
        await store.stop()
    await front.stop()
    return {
        "rpc_calls_per_signature": round(ours / count, 5),
        "ratio_to_solana_py": round(theirs / SLICE / (ours / count), 1),
    }


def signed(node: SolanaNode, payers: Sequence[Keypair], count: int) -> list[bytes]:
    """Transfers of one lamport more each, with the newest blockhash."""
    blockhash, _ = node.latest_blockhash()
    found = []
    for number in range(count):
        payer, target = payers[number % len(payers)], payers[(number + 1) % len(payers)]
        step = transfer(
            TransferParams(from_pubkey=payer.pubkey(), to_pubkey=target.pubkey(), lamports=1_000_000 + number)
        )
        message = Message.new_with_blockhash([step], payer.pubkey(), blockhash)
        found.append(bytes(VersionedTransaction(message, [payer])))
    return found


async def _ours(node: CountingNode, store: Store, url: str, ws_url: str, wires: list[bytes]) -> int:
    """Calls until every signature's fate is stored."""
    transport, sockets = AiohttpTransport(), AiohttpSockets()
    rpc = RpcPool([url], transport, _clock, requests_per_second=UNBOUND)
    fast_path = FastPath(sockets, ws_url, _clock, rpc.pace)
    tracker = SignatureTracker(store, rpc, _clock, idle_seconds=30.0, fast_path=fast_path)
    await _watched(store, wires)
    begun, before = _clock.monotonic(), node.calls
    running = asyncio.create_task(tracker.run())
    for number, wire in enumerate(wires):
        node.send_raw(wire, preflight=None)
        if number % 50 == 0:
            await asyncio.sleep(0)
    async with asyncio.timeout(DEADLINE_SECONDS):
        await asyncio.sleep(1)
        while tracker.open_now:  # noqa: ASYNC110 (the tracker tells nobody when it is done: rows do)
            await asyncio.sleep(0.1)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    calls, seconds = node.calls - before, _clock.monotonic() - begun
    print(f"{len(wires)} signatures finalized and stored in {seconds:.1f} s with {calls} calls", flush=True)
    await transport.close()
    await sockets.close()
    return calls


async def _watched(store: Store, wires: list[bytes]) -> None:
    now = _clock.now()
    names = [str(Signature.from_bytes(wire[1:65])) for wire in wires]

    def save(conn: Any, start: int) -> None:
        for number, name in enumerate(names[start : start + SAVED_AT_ONCE], start):
            watch(conn, name, "mint", number, 2**40, now)

    for start in range(0, len(names), SAVED_AT_ONCE):
        await store.write(lambda conn, start=start: save(conn, start))  # type: ignore[misc]


async def _theirs(node: CountingNode, url: str, wires: list[bytes]) -> int:
    """Calls of solana-py until it calls the same kind of signatures finalized, side by side."""
    async with AsyncClient(url) as client:
        names = [Signature.from_string(node.send_raw(wire, preflight=None)) for wire in wires]
        begun, before = _clock.monotonic(), node.calls
        await asyncio.gather(*(client.confirm_transaction(name, Finalized) for name in names))
        calls, seconds = node.calls - before, _clock.monotonic() - begun
    print(f"solana-py: {len(wires)} signatures in {seconds:.1f} s with {calls} calls", flush=True)
    return calls


def decoding() -> int:
    """Effects a second on one core: answers to getTransaction, as parsed JSON, of payouts and NFT mints in turns."""
    answers = [orjson.dumps(one) for one in _answers()]
    done, begun = 0, time.process_time()
    while (spent := time.process_time() - begun) < DECODE_SECONDS:
        for answer in answers:
            decode_transaction(orjson.loads(answer))
        done += len(answers)
    print(f"{done} transactions decoded in {spent:.1f} s of one core", flush=True)
    return round(done / spent)


def _answers() -> list[object]:
    from tests.sandbox.solana.world import World, mint_nft  # noqa: PLC0415 (a chain by hand, only here)

    world = World()
    world.node.mint_usdc(world.alice.pubkey(), 10**9)
    sent = [
        world.send(world.pay_usdc(1_000_000, world.bob.pubkey(), form=form), skipPreflight=True)
        for form in ("legacy", "v0", "v1")
    ]
    sent.append(world.send(mint_nft(world, world.bob.pubkey())))
    world.pass_slots(40)
    config = {"encoding": "base64", "maxSupportedTransactionVersion": 1}
    return [world.rpc("getTransaction", signature, config) for signature in sent]


async def backfilling(count: int) -> dict[str, float]:
    async with _process("bench.indexer_node", str(count)) as node:
        assert node.stdout is not None
        port, wallet = (await node.stdout.readline()).decode().split()
        with tempfile.TemporaryDirectory(prefix="bench-") as folder:
            arguments = (f"http://{HOST}:{port}/", wallet, f"{folder}/agent.db")
            async with _process("bench.indexer_backfill", *arguments) as reader:
                output, _ = await reader.communicate()
        await node.communicate(b"")
    found = json.loads(output.splitlines()[-1])
    assert found["booked"] == count, f"{found['booked']} of {count} transactions were booked"
    print(
        f"{count} transactions of a history stored in {found['seconds']:.1f} s; "
        f"{found['rss_mb']} MB in memory at most, {found['rss_mb_before']} before",
        flush=True,
    )
    return {"backfill_per_second": round(count / found["seconds"]), "rss_mb": found["rss_mb"]}


@asynccontextmanager
async def _process(module: str, *arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module of the bench as a process, which ends when its input does."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments),
        cwd=ROOT,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env=dict(os.environ),  # noqa: TID251 (handed on to a child)
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await process.wait()


if __name__ == "__main__":
    print(json.dumps(uvloop.run(main(*numbers(__doc__, SIGNATURES, HISTORY)))))
