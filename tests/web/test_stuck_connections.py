"""Connections that say nothing, half a head or half a body, and requests that lie about their length: none of them
keeps a valid webhook from its answer."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest
from structlog.testing import capture_logs

from agent.web.front import WebFront
from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.web.shop import PATIENT, Shop, event, opened

STUCK = (
    b"",
    b"POST /api/checkout/webhook/ HTTP/1.1\r\nHost: x\r\nX-Half",
    b"POST /api/checkout/webhook/ HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n{",
)
MIB = 1024 * 1024
CAPPED = replace(PATIENT, connections_max=300)
"""Nothing stuck is dropped by its own deadline while a test runs."""


@dataclass
class Stuck:
    """Sockets that are held open and never finish what they began."""

    front: WebFront
    held: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = field(default_factory=list)

    async def add(self, count: int) -> None:
        for number in range(count):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.front.port)
            writer.write(STUCK[number % len(STUCK)])
            self.held.append((reader, writer))

    async def dropped(self) -> int:
        """How many have been ended by the other side."""
        await asyncio.sleep(0)
        return sum(reader.at_eof() or reader.exception() is not None for reader, _ in self.held)

    def close(self) -> None:
        for _, writer in self.held:
            writer.close()


@contextlib.asynccontextmanager
async def stuck(shop: Shop, count: int) -> AsyncIterator[Stuck]:
    found = Stuck(shop.public)
    try:
        await found.add(count)
        yield found
    finally:
        found.close()


async def deliver(shop: Shop, event_id: str) -> int:
    async with asyncio.timeout(60):
        return (await shop.deliver(event(id=event_id))).status


async def test_stuck_connections_beyond_the_cap_make_room_for_a_valid_webhook_and_fill_no_log(
    sqlite_store: SqliteStore,
) -> None:
    shop = Shop(sqlite_store)
    shop.limits = CAPPED
    with capture_logs() as logged:
        await _among_the_stuck(shop)
    assert [line for line in logged if line["log_level"] in ("warning", "error")] == []


async def _among_the_stuck(shop: Shop) -> None:
    async with opened(shop), stuck(shop, 450) as held:
        assert await deliver(shop, "evt_among_the_stuck") == 200
        assert await shop.rows(tables.stripe_events) == 1
        assert await held.dropped() >= 150
        await held.add(150)
        assert await deliver(shop, "evt_and_again") == 200


@pytest.mark.soak
async def test_two_thousand_stuck_connections_keep_a_valid_webhook_waiting_less_than_a_second(
    sqlite_store: SqliteStore,
) -> None:
    shop = Shop(sqlite_store)
    async with opened(shop), stuck(shop, 2_000):
        for number in range(50):
            async with asyncio.timeout(1):
                assert (await shop.deliver(event(id=f"evt_{number}"))).status == 200


class SlowShop(Shop):
    """The platform wallet can be read only once the test lets it."""

    def __init__(self, store: SqliteStore) -> None:
        super().__init__(store)
        self.may_answer = asyncio.Event()
        self.asked = 0

    async def _read_treasury(self) -> tuple[int, int]:
        self.asked += 1
        await self.may_answer.wait()
        return 0, 0


async def test_nobody_who_is_being_answered_has_to_make_room(sqlite_store: SqliteStore) -> None:
    shop = SlowShop(sqlite_store)
    shop.limits = replace(PATIENT, connections_max=2)
    async with opened(shop):
        path = "/admin/api/distribution/preview"
        asking = [asyncio.create_task(shop.send("GET", path, token="admin-viewer", admin=True)) for _ in range(2)]
        async with asyncio.timeout(60):
            while shop.asked < 2:
                await asyncio.sleep(0)
        reader, writer = await asyncio.open_connection("127.0.0.1", shop.admin.port)
        async with asyncio.timeout(60):
            assert await reader.read() == b""
        writer.close()
        shop.may_answer.set()
        assert [answer.status for answer in await asyncio.gather(*asking)] == [200, 200]


CONTRADICTIONS = (
    (b"Host: x\r\nHost: y\r\nContent-Length: 2", 400),
    (b"Content-Length: 2", 400),
    (b"Host: x\r\nContent-Length: 2\r\nTransfer-Encoding: chunked", 400),
    (b"Host: x\r\nContent-Length: 2\r\nContent-Length: 3", 400),
    (b"Host: x\r\nContent-Length: -2", 400),
    (b"Host: x\r\nContent-Length: 99999999999", 413),
    (b"Host: x\r\nX-Long: " + b"a" * 100_000, 400),
    (b"Host: x\r\nbad header", 400),
)


async def test_a_request_that_contradicts_itself_is_refused_in_our_shape_and_its_connection_closed(shop: Shop) -> None:
    for head, status in CONTRADICTIONS:
        answer = await raw(shop, b"POST /api/checkout/webhook/ HTTP/1.1\r\n" + head + b"\r\n\r\n{}")
        assert answer.startswith(b"HTTP/1.1 %d " % status), (head[:80], answer[:200])
        assert b'{"error":' in answer and b"nosniff" in answer and b"aiohttp" not in answer.lower()
    assert await shop.rows(tables.stripe_events) == 0


async def raw(shop: Shop, request: bytes) -> bytes:
    """What comes back for bytes on the wire, until the other side closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", shop.public.port)
    writer.write(request)
    try:
        async with asyncio.timeout(60):
            return await reader.read()
    except ConnectionResetError:
        return b""
    finally:
        writer.close()


async def test_a_flood_of_wrong_signatures_leaves_right_ones_their_answer(shop: Shop) -> None:
    wrong: list[Any] = [shop.deliver(event(id=f"evt_bad_{n}"), header="t=1,v1=00") for n in range(200)]
    right: list[Any] = [shop.deliver(event(id=f"evt_good_{n}")) for n in range(20)]
    answers = await asyncio.gather(*wrong[:100], *right[:10], *wrong[100:], *right[10:])
    assert sorted(answer.status for answer in answers) == [200] * 20 + [400] * 200
    assert await shop.rows(tables.stripe_events) == 20


async def test_large_forged_bodies_are_refused_unread_beyond_what_all_senders_together_may_send(
    sqlite_store: SqliteStore,
) -> None:
    shop = Shop(sqlite_store)
    shop.limits = replace(PATIENT, large_burst_bytes=2 * MIB, large_bytes_per_second=1)
    async with opened(shop):
        large = event(pad="x" * (MIB - 1_000))
        wrong: list[Any] = [shop.deliver(large, header=shop.signed(b"another body")) for _ in range(6)]
        right: list[Any] = [shop.deliver(event(id=f"evt_{n}", pad="x" * 60_000)) for n in range(10)]
        answers = await asyncio.gather(*wrong[:3], *right[:5], *wrong[3:], *right[5:])
        assert sorted(answer.status for answer in answers) == [200] * 10 + [400] * 2 + [503] * 4
        assert shop.counts.webhooks["stripe", "signature_invalid"] == 2
        assert await shop.rows(tables.stripe_events) == 10


@pytest.mark.soak
async def test_under_a_flood_of_forged_webhooks_each_valid_one_is_answered_within_a_second(
    sqlite_store: SqliteStore,
) -> None:
    shop = Shop(sqlite_store)
    forged, calm = 0, asyncio.Event()

    async def flood(number: int) -> None:
        nonlocal forged
        body = event(id=f"evt_bad_{number}", pad="x" * (900_000 if number % 8 == 0 else 2_000))
        while not calm.is_set():
            answer = await shop.deliver(body, header=shop.signed(b"another body"))
            assert answer.status in (400, 503)
            forged += 1

    async with opened(shop), asyncio.TaskGroup() as group:
        for number in range(8):  # as fast as they can, in this process too: they cost the loop twice
            group.create_task(flood(number))
        for number in range(200):
            async with asyncio.timeout(1):
                assert (await shop.deliver(event(id=f"evt_good_{number}"))).status == 200
        calm.set()
    assert forged >= 200
