"""The COMMIT took effect and its answer was lost: whoever asks again with his own key gets what there is, once."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from typing import Any, TypeVar

import pytest
from sqlalchemy import URL, Connection

from agent.cli import converting_acts
from domain.errors import KeyUsed
from ports.system import SystemIds
from storage import tables
from storage.engines.postgres import PostgresStore
from storage.errors import StoreBusy, StoreUnavailable
from storage.store import Dialect, Store
from storage.treasury.conversions import Announced, announce, announced_before
from tests.storage.replicas import replica, until_it_waits
from tests.web.shop import CONTENT, START, Shop, opened
from tests.web.visitor import Page, Visitor, signed_in, visiting

T = TypeVar("T")
IDS = SystemIds()


class LosingStore:
    """A store that keeps what is written, and of the next `losing` writes tells that nobody knows."""

    def __init__(self, inner: Store) -> None:
        self._inner = inner
        self.dialect: Dialect = inner.dialect
        self.appends_at_once, self.one_process = inner.appends_at_once, inner.one_process
        self.reads_at_once = inner.reads_at_once
        self.losing = 0

    async def start(self) -> None:
        await self._inner.start()

    async def stop(self) -> None:
        await self._inner.stop()

    async def read(self, fn: Callable[[Connection], T]) -> T:
        return await self._inner.read(fn)

    async def write(self, fn: Callable[[Connection], T]) -> T:
        done = await self._inner.write(fn)
        if self.losing:
            self.losing -= 1
            raise StoreUnavailable("the connection to the database was lost")
        return done

    async def append(self, fn: Callable[[Connection], T]) -> T:
        return await self._inner.append(fn)

    async def healthy(self) -> bool:
        return await self._inner.healthy()


@pytest.fixture
def losing(store: Store) -> LosingStore:
    return LosingStore(store)


@pytest.fixture
async def desk(losing: LosingStore) -> AsyncIterator[Shop]:
    async with opened(Shop(losing)) as shop:
        yield shop


async def test_a_conversion_is_announced_once_however_often_its_answer_is_lost(desk: Shop, losing: LosingStore) -> None:
    async def say(cents: int, key: str | None) -> Any:
        wish = {"usd_cents": cents, "idempotency_key": key}
        return await desk.send("POST", "/admin/api/conversions", wish, "admin-operator", admin=True)

    key = str(IDS.uuid())
    losing.losing = 1
    assert (await say(11_250, key)).status == 503
    again = [await say(11_250, key) for _ in range(2)]
    assert [answer.status for answer in again] == [201, 201]
    (row,) = await desk.all(tables.conversions)
    assert {answer.body["id"] for answer in again} == {row["id"]}
    assert sum(one["amount"] for one in await desk.all(tables.ledger_postings) if one["amount"] > 0) == 11_250
    assert [one["action"] for one in await desk.all(tables.audit_log)].count("announce") == 1
    assert ((other := await say(11_251, key)).status, other.code) == (409, "idempotency_key_used")
    assert (await say(11_250, str(IDS.uuid()))).status == (await say(11_250, None)).status == 201
    assert len(await desk.all(tables.conversions)) == 3
    assert (await say(11_250, "my-key")).status == 422


async def test_a_content_is_published_once_by_its_author_s_key(desk: Shop, losing: LosingStore) -> None:
    _, ada = await desk.member("ada@example.com")
    ben_id, ben = await desk.member("ben@example.com")
    shared = [{"user_id": ben_id, "share_bps": 10_000}]
    wish = {**CONTENT, "collaborators": shared, "idempotency_key": str(IDS.uuid())}
    losing.losing = 1
    assert (await desk.send("POST", "/api/content/", wish, ada)).status == 503
    again = [await desk.send("POST", "/api/content/", wish, ada) for _ in range(2)]
    assert [answer.status for answer in again] == [201, 201]
    (row,) = await desk.all(tables.contents)
    assert {answer.body["id"] for answer in again} == {row["id"]}
    others: tuple[dict[str, Any], ...] = ({"price_cents": 999}, {"collaborators": []})
    for changed in others:
        refused = await desk.send("POST", "/api/content/", {**wish, **changed}, ada)
        assert (refused.status, refused.code) == (409, "idempotency_key_used")
    assert (await desk.send("POST", "/api/content/", wish, ben)).status == 201
    assert len(await desk.all(tables.contents)) == 2


async def test_a_form_that_is_sent_twice_is_done_once(desk: Shop, losing: LosingStore) -> None:
    async with visiting(desk.admin.port) as operator:
        await signed_in(operator, "operator")
        page = await operator.get("/console/treasury/")
        await _sent_twice(operator, losing, page, "/console/do/conversions", usd="112.50")
        anew = (await operator.get("/console/treasury/")).form("/console/do/conversions")
        assert anew["idempotency_key"] != page.form("/console/do/conversions")["idempotency_key"]
    assert len(await desk.all(tables.conversions)) == 1
    await desk.member("ada@example.com")
    async with visiting(desk.public.port) as ada:
        await ada.send("/signin", "/signin", email="ada@example.com", password="correct horse")
        image = str(CONTENT["teaser_link"])
        offer = {**(await ada.get("/sales/new")).form("/sales/new"), "title": "Night", "price": "3.00"}
        page = await ada.post("/sales/new", {**offer, "teaser_link": image})
        await _sent_twice(ada, losing, page, "/sales/new/publish")
        assert (await ada.get("/sales/new")).form("/sales/new")["idempotency_key"] != offer["idempotency_key"]
    assert len(await desk.all(tables.contents)) == 1


async def _sent_twice(visitor: Visitor, losing: LosingStore, page: Page, action: str, **typed: str) -> None:
    """As the browser does it whose user goes back, and sends again what he had filled in."""
    form = {**page.form(action), **typed}
    losing.losing = 1
    assert (await visitor.post(action, form)).status == 503
    assert (await visitor.post(action, form)).status == 303


async def test_the_command_asks_again_by_the_same_key(
    desk: Shop, losing: LosingStore, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AGENT_ADMIN_URL", f"http://127.0.0.1:{desk.admin.port}")
    monkeypatch.setenv("AGENT_ADMIN_TOKEN", "admin-operator")
    monkeypatch.setattr(converting_acts, "AGAIN_SECONDS", (0.0, 0.0))
    losing.losing = 2
    assert await converting_acts.announce("112.50", None, "wire 7", True) == 0
    (row,) = await desk.all(tables.conversions)
    told = capsys.readouterr().out
    assert json.loads(told[told.index("{") :])["id"] == row["id"]


async def test_two_replicas_that_are_asked_at_once_announce_it_once(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    wish = Announced(str(IDS.uuid()), 11_250, 112_500_000, "")
    async with replica(postgres_url) as first:
        made = await first.run_sync(announce, wish, START)
        second = asyncio.create_task(postgres_store.write(lambda conn: announce(conn, wish, START)))
        await until_it_waits(second, postgres_url)
        await first.commit()
    with pytest.raises(StoreBusy):
        await second
    assert await postgres_store.read(lambda conn: announced_before(conn, wish)) == made
    with pytest.raises(KeyUsed):
        await postgres_store.read(lambda conn: announced_before(conn, Announced(wish.uuid, 1, 10_000, "")))
