"""The webhooks: stored once, answered 200 only after the commit, refused only when the sender is not the right one."""

import asyncio
from collections.abc import Callable
from typing import Any, TypeVar

import orjson
import pytest
from sqlalchemy import Connection

from agent.web.intake import FORGED_FOR_CIRCLE
from storage import tables
from storage.errors import StoreUnavailable
from storage.store import Store
from tests.web.shop import EVENT, OLD_SECRET, Shop, event, opened

T = TypeVar("T")
BIG = 1024 * 1024


async def test_an_event_is_stored_as_it_was_signed_due_now_and_wakes_the_worker(shop: Shop) -> None:
    raw = event()
    answer = await shop.deliver(raw)
    assert (answer.status, answer.body) == (200, {"received": True})
    (row,) = await shop.all(tables.stripe_events)
    assert (row["event_id"], row["type"], row["body"]) == ("evt_1", "payment_intent.succeeded", raw)
    assert (row["state"], row["due_at"], row["attempts"]) == ("due", shop.clock.now(), 0)
    assert int(row["stripe_created_at"].timestamp()) == EVENT["created"]
    assert shop.woken == 1


async def test_fifty_parallel_posts_of_one_event_make_one_row_and_fifty_times_200(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        raw = event()
        answers = await asyncio.gather(*(shop.deliver(raw) for _ in range(50)))
        assert [answer.status for answer in answers] == [200] * 50
        assert await shop.rows(tables.stripe_events) == 1
        assert shop.counts.webhooks == {("stripe", "stored"): 1, ("stripe", "duplicate"): 49}


async def test_many_different_events_at_once_are_all_stored(store: Store) -> None:
    shop = Shop(store)
    async with opened(shop):
        answers = await asyncio.gather(*(shop.deliver(event(id=f"evt_{n % 150}")) for n in range(200)))
        assert {answer.status for answer in answers} == {200}
        assert await shop.rows(tables.stripe_events) == 150


@pytest.mark.parametrize(
    "forge",
    [
        pytest.param(lambda shop, raw: "", id="missing"),
        pytest.param(lambda shop, raw: "garbage", id="garbled"),
        pytest.param(lambda shop, raw: "t=1,v1=é", id="not ascii"),
        pytest.param(lambda shop, raw: shop.signed(raw, "whsec_other"), id="wrong secret"),
        pytest.param(lambda shop, raw: shop.signed(raw + b" "), id="another body"),
        pytest.param(lambda shop, raw: shop.signed(raw, offset=-301), id="too old"),
        pytest.param(lambda shop, raw: shop.signed(raw, offset=301), id="from the future"),
        pytest.param(lambda shop, raw: shop.signed(raw).replace("v1=", "v0="), id="only v0"),
        pytest.param(lambda shop, raw: shop.signed(raw).replace("t=", "t=x"), id="no time"),
        pytest.param(lambda shop, raw: "," * 5_000, id="endless"),
    ],
)
async def test_a_signature_that_is_not_stripe_s_is_a_400_and_leaves_no_row(
    shop: Shop, forge: Callable[[Shop, bytes], str]
) -> None:
    raw = event()
    answer = await shop.deliver(raw, forge(shop, raw))
    assert (answer.status, answer.code) == (400, "signature_invalid")
    assert await shop.rows(tables.stripe_events) == 0
    assert shop.counts.webhooks == {("stripe", "signature_invalid"): 1}


@pytest.mark.parametrize("offset", [-299, 299])
async def test_a_signature_within_five_minutes_or_of_the_secret_before_is_taken(shop: Shop, offset: float) -> None:
    raw = event()
    assert (await shop.deliver(raw, shop.signed(raw, OLD_SECRET, offset))).status == 200


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b"\xff\xfe", "invalid_json"),
        (b'{"id": NaN}', "invalid_json"),
        (b"[" * 200_000, "invalid_json"),
        (b"[]", "not_an_event"),
        (b'"evt_1"', "not_an_event"),
        (b"{}", "not_an_event"),
        (b'{"id": 5}', "not_an_event"),
        (b'{"id": "a b"}', "not_an_event"),
        (orjson.dumps({"id": "x" * 256}), "not_an_event"),
        (event(livemode=True), "wrong_mode"),
        (event(livemode="false"), "wrong_mode"),
        (event(account="acct_other"), "wrong_account"),
    ],
)
async def test_a_signed_body_that_is_no_event_of_ours_is_a_400_and_leaves_no_row(
    shop: Shop, raw: bytes, code: str
) -> None:
    answer = await shop.deliver(raw)
    assert (answer.status, answer.code) == (400, code)
    assert await shop.rows(tables.stripe_events) == 0


@pytest.mark.parametrize(
    "change",
    [
        {"type": "something.unheard.of"},
        {"type": None},
        {"type": "x" * 500},
        {"type": 7},
        {"created": None},
        {"created": 10**18},
        {"created": -5},
        {"created": "yesterday"},
        {"data": None},
        {"data": {"object": {"amount": -1, "currency": "xxx"}}},
    ],
)
async def test_an_event_of_ours_is_never_refused_for_what_it_says(shop: Shop, change: dict[str, Any]) -> None:
    assert (await shop.deliver(event(**change))).status == 200
    assert await shop.rows(tables.stripe_events) == 1


async def test_a_body_of_one_mebibyte_is_taken_and_a_byte_more_is_a_413(shop: Shop) -> None:
    empty = len(event(pad=""))
    whole = event(pad="x" * (BIG - empty))
    assert len(whole) == BIG
    assert (await shop.deliver(whole)).status == 200
    above = event(id="evt_2", pad="x" * (BIG - empty + 1))
    refused = await shop.deliver(above)
    assert (refused.status, refused.code) == (413, "body_too_large")
    assert await shop.rows(tables.stripe_events) == 1


async def test_a_compressed_body_is_a_415_whatever_it_would_unpack_to(shop: Shop) -> None:
    raw = event()
    answer = await shop.deliver(raw, **{"Content-Encoding": "gzip"})
    assert (answer.status, answer.code) == (415, "encoding_unsupported")


class LosingStore:
    """A real store that can lose its database: every call is then refused as the engine refuses it."""

    def __init__(self, inner: Store) -> None:
        self.inner = inner
        self.dialect = inner.dialect
        self.appends_at_once = inner.appends_at_once
        self.reads_at_once = inner.reads_at_once
        self.one_process = inner.one_process
        self.gone = False

    async def start(self) -> None:
        await self.inner.start()

    async def stop(self) -> None:
        await self.inner.stop()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        self._look()
        return await self.inner.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        self._look()
        return await self.inner.write(fn)

    async def append(self, fn: Callable[[Connection], T]) -> T:
        self._look()
        return await self.inner.append(fn)

    async def healthy(self) -> bool:
        return not self.gone and await self.inner.healthy()

    def _look(self) -> None:
        if self.gone:
            raise StoreUnavailable("the database cannot be written (SQLITE_FULL)")


async def test_with_the_database_gone_stripe_gets_503_readiness_fails_and_later_deliveries_are_stored(
    sqlite_store: Store,
) -> None:
    store = LosingStore(sqlite_store)
    async with opened(Shop(store)) as shop:
        store.gone = True
        answers = await asyncio.gather(*(shop.deliver(event(id=f"evt_{n}")) for n in range(5)))
        assert {(answer.status, answer.code) for answer in answers} == {(503, "unavailable")}
        assert (await shop.send("GET", "/readyz")).status == 503
        assert (await shop.send("GET", "/healthz")).status == 200
        looked = await shop.send("GET", "/api/profile/", token="x")
        assert (looked.status, looked.body["error"]["message"]) == (503, "the database cannot be used now; try again")
        asked = await shop.send("POST", "/admin/api/conversions", {"usd_cents": 100}, token="x", admin=True)
        assert asked.status == 503
        assert asked.body["error"]["message"].endswith("it may have been done all the same: look before you ask again")
        store.gone = False
        assert (await shop.deliver(event())).status == 200
        assert (await shop.send("GET", "/readyz")).status == 200


def notification(**changes: Any) -> bytes:
    return orjson.dumps(
        {
            "subscriptionId": "00000000-0000-0000-0000-000000000000",
            "notificationId": "b1a1c1d1-0000-4000-8000-000000000001",
            "notificationType": "transactions.outbound",
            "notification": {"id": "t1", "state": "COMPLETE"},
            "timestamp": "2026-11-23T09:20:00.816010685Z",
            "version": 2,
            **changes,
        }
    )


async def test_a_notification_of_circle_s_is_stored_once_and_its_head_request_is_welcome(shop: Shop) -> None:
    assert (await shop.send("HEAD", "/api/circle/webhook/")).status == 200
    raw = notification()
    for _ in range(3):
        answer = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=shop.circle.signed(raw))
        assert answer.status == 200
    (row,) = await shop.all(tables.circle_notifications)
    assert (row["type"], row["body"], row["state"]) == ("transactions.outbound", raw, "due")
    assert shop.counts.webhooks == {("circle", "stored"): 1, ("circle", "duplicate"): 2}


async def test_a_notification_that_is_not_circle_s_is_a_400_and_one_whose_key_is_out_of_reach_a_503(
    shop: Shop,
) -> None:
    raw = notification()
    good = shop.circle.signed(raw)
    bad = [
        {},
        {**good, "X-Circle-Signature": "AAAA"},
        {**good, "X-Circle-Signature": "not base64"},
        {**good, "X-Circle-Key-Id": "b1a1c1d1-0000-4000-8000-00000000dead"},
        {**good, "X-Circle-Key-Id": "../../publicKey"},
        shop.circle.signed(raw + b" "),
    ]
    for headers in bad:
        answer = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=headers)
        assert (answer.status, answer.code) == (400, "signature_invalid"), headers
    shop.circle.down = True
    later = {**good, "X-Circle-Key-Id": "b1a1c1d1-0000-4000-8000-00000000beef"}
    unreachable = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=later)
    assert (unreachable.status, unreachable.code) == (503, "key_unavailable")
    assert await shop.rows(tables.circle_notifications) == 0


async def test_a_flood_of_forged_notifications_is_refused_unchecked_and_costs_stripe_nothing(shop: Shop) -> None:
    raw = notification()
    forged = {**shop.circle.signed(raw), "X-Circle-Signature": "AAAA"}
    flood = [shop.send("POST", "/api/circle/webhook/", raw=raw, headers=forged) for _ in range(FORGED_FOR_CIRCLE.burst)]
    assert {answer.status for answer in await asyncio.gather(*flood)} == {400}
    genuine = shop.circle.signed(raw)
    later = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=genuine)
    assert (later.status, later.code, later.headers["Retry-After"]) == (429, "too_many_requests", "1")
    assert shop.counts.webhooks == {("circle", "signature_invalid"): FORGED_FOR_CIRCLE.burst}
    assert (await shop.deliver(event())).status == 200
    shop.clock.pass_(seconds=1)
    assert (await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=genuine)).status == 200


@pytest.mark.parametrize("raw", [b"{}", b"[1]", b"no json", notification(notificationId="x" * 65)])
async def test_a_signed_notification_without_an_id_is_a_400(shop: Shop, raw: bytes) -> None:
    answer = await shop.send("POST", "/api/circle/webhook/", raw=raw, headers=shop.circle.signed(raw))
    assert answer.status == 400
    assert await shop.rows(tables.circle_notifications) == 0
