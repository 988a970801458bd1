"""WebSockets over aiohttp, against the sandbox's node on a real port."""

import random
import time

import orjson
import pytest

from gateways.sockets import AiohttpSockets
from ports.sockets import SocketBroken
from sandbox.solana_node import NodeFront, SolanaNode


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


async def test_an_address_that_nobody_answers_breaks_at_once_and_is_not_shown() -> None:
    sockets = AiohttpSockets()
    with pytest.raises(SocketBroken) as caught:
        await sockets.open("ws://127.0.0.1:9/?api-key=SECRETKEY")
    assert "SECRETKEY" not in str(caught.value)
    await sockets.close()
    with pytest.raises(SocketBroken):
        await sockets.open("ws://127.0.0.1:9/")
