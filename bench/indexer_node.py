"""A node with a long history on loopback, in a process of its own: `python -m bench.indexer_node SIGNATURES`.

Prints its port and the wallet's address, and serves until its input ends. The history is written down and not run: each
entry is a transfer of a real shape with a signature of its own.
"""

import asyncio
import random
import sys
import time

import uvloop
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from solders.signature import Signature

from sandbox.loopback import HOST
from sandbox.solana_node import NodeFront, SolanaNode
from sandbox.solana_node.execution import decode
from sandbox.solana_node.history import Landed

PER_SLOT = 50
SIGNATURE_AT = 1
"""Behind the number of signatures."""


def now_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251 (this process is the edge)


def with_history(signatures: int) -> tuple[SolanaNode, Pubkey]:
    """A node on which so many transactions name one wallet."""
    rng = random.Random(7)
    node = SolanaNode(now_ms, rng)
    wallet = Keypair.from_seed(rng.randbytes(32)).pubkey()
    node.airdrop(wallet, 1_000_000)
    model = node.history.landed[-1]
    keys = decode(model.raw, node.accounts).keys
    node.skip_slots(signatures // PER_SLOT + 100)
    first = model.slot + 1
    for number in range(1, signatures):
        signed = rng.randbytes(64)
        raw = model.raw[:SIGNATURE_AT] + signed + model.raw[SIGNATURE_AT + 64 :]
        slot = first + number // PER_SLOT
        signature = str(Signature.from_bytes(signed))
        landed = Landed(len(node.history.landed), signature, slot, model.block_time, None, None, raw, model.packed_meta)
        node.history.add(landed, keys)
    return node, wallet


async def serve(signatures: int) -> None:
    node, wallet = with_history(signatures)
    front = NodeFront(node, now_ms, HOST, 0)
    await front.start()
    print(front.port, wallet, flush=True)
    reader = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    await reader.read()
    await front.stop()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
