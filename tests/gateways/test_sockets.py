"""WebSockets over aiohttp, against the sandbox's node on a real port."""

import random
import time

import orjson
import pytest

from gateways.egress import Egress
from gateways.sockets import AiohttpSockets
from ports.sockets import SocketBroken
from sandbox.solana_node import NodeFront, SolanaNode
from tests.gateways.fault_server import fault_server, reply


def now_ms() -> int:
    return int(time.time() * 1000)  # noqa: TID251 (the node of this test runs on the machine's clock)


async def test_texts_go_both_ways_until_the_other_side_ends_the_connection() -> None:
    node = SolanaNode(now_ms, random.Random(1), slot_ms=20)
    front = NodeFront(node, now_ms, "127.0.0.1", 0)
    await front.start()
    sockets = AiohttpSockets()
    try:
        socket = await sockets.open(f"ws://127.0.0.1:{front.port}/")
        await socket.send('{"jsonrpc": "2.0", "id": 1, "method": "slotSubscribe"}')
        assert orjson.loads(await socket.receive())["id"] == 1
        assert orjson.loads(await socket.receive())["method"] == "slotNotification"
        await front.drop_sockets()
        with pytest.raises(SocketBroken):
            while True:
                await socket.receive()
        await socket.close()
        node.endpoint("/").refuses_sockets = True
        with pytest.raises(SocketBroken):
            await sockets.open(f"ws://127.0.0.1:{front.port}/")
    finally:
        await sockets.close()
        await front.stop()


async def test_a_redirect_leads_nowhere() -> None:
    """The guard has looked at the first address only, and the next one may be of the inside."""
    async with fault_server(reply("200 OK", b"{}")) as inside:
        moved = reply("302 Found", b"", f"location: {inside.url}/latest/meta-data")
        async with fault_server(moved) as known:
            sockets = AiohttpSockets(Egress([known.url.replace("http", "ws")]))
            with pytest.raises(SocketBroken):
                await sockets.open(known.url.replace("http", "ws"))
            await sockets.close()
        assert (known.connections, inside.connections) == (1, 0)


async def test_an_address_that_nobody_answers_breaks_at_once_and_is_not_shown() -> None:
    sockets = AiohttpSockets()
    with pytest.raises(SocketBroken) as caught:
        await sockets.open("ws://127.0.0.1:9/?api-key=SECRETKEY")
    assert "SECRETKEY" not in str(caught.value)
    await sockets.close()
    with pytest.raises(SocketBroken):
        await sockets.open("ws://127.0.0.1:9/")
