"""What costs money, a hash or a row is answered so often to one caller, and others go on."""

import asyncio
import re
from collections.abc import AsyncIterator

import pytest

from agent.web.accounts import LOG_INS, PIN_SESSIONS, SIGN_UPS
from agent.web.callers import TrustedProxies
from agent.web.checkout import CHECKOUTS
from agent.web.endpoint import Access, Face
from agent.web.rates import KEPT_CALLERS, Rate, RateLimit
from agent.web.shelves import DASHBOARDS
from agent.web.withdrawals import LOOKS, WITHDRAWALS
from domain.errors import RequestError
from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.programs import ROOT
from tests.web.shop import INVITE, PASSWORD, HandClock, Reply, Shop, opened
from tests.web.visitor import visiting

ADDRESS = "7EcDhSYGxXyscszYEp35KHN8vvw3svAuLKTzXwCFLtV"
UNCOUNTED = {
    "/api/auth/logout/": "ends a token, once",
    "/api/wallet/circle/": "asks for one wallet, once",
    "/api/checkout/webhook/": "Stripe's, proven by its signature (ADR 29)",
    "/api/circle/webhook/": "Circle's, with a limit of its own",
}
"""What may be posted to the public port without a limit of its own, and why."""

WHOM = {Access.PUBLIC: "address", Access.USER: "account"}


@pytest.fixture
async def fronted(sqlite_store: SqliteStore) -> AsyncIterator[Shop]:
    """Behind a proxy that is named."""
    shop = Shop(sqlite_store)
    shop.proxies = TrustedProxies(["127.0.0.1"])
    async with opened(shop):
        yield shop


async def as_often(shop: Shop, times: int, method: str, path: str, body: object, token: str) -> list[Reply]:
    return await asyncio.gather(*(shop.send(method, path, body, token) for _ in range(times)))


def refused(answer: Reply, rate: Rate) -> None:
    assert (answer.status, answer.code) == (429, "too_many_requests")
    wait = int(answer.headers["Retry-After"])
    assert wait - 1 <= 1 / rate.per_second <= wait
    assert answer.body["error"]["message"] == f"too many requests; try again in {wait} s"


def test_whatever_is_posted_to_the_public_port_is_counted_or_is_said_not_to_be(shop: Shop) -> None:
    posts = [one for one in shop.app.public.endpoints if one.method == "POST" and one.face is Face.API]
    assert {one.path for one in posts if one.rate is None} == set(UNCOUNTED)
    assert all(429 in one.statuses() for one in posts if one.rate is not None)


def test_going_live_tells_each_limit(shop: Shop) -> None:
    text = (ROOT / "docs/GOING_LIVE.md").read_text(encoding="utf-8")
    told = re.findall(r"^\| `([A-Z]+) (/\S+)` \| (\d+) \| (\d+) \| (\w+) \|$", text, re.MULTILINE)
    counted = [(one, one.rate) for one in shop.app.public.endpoints if one.rate is not None]
    assert sorted(told) == sorted(
        (one.method, one.path, str(rate.burst), f"{60 * rate.per_second:.0f}", WHOM[one.access])
        for one, rate in counted
    )


async def test_a_buyer_begins_so_many_checkouts_and_no_more_whatever_token_or_page_he_comes_by(shop: Shop) -> None:
    _, token = await shop.member()
    content_id = await shop.content(token)
    wish = {"content_id": content_id}
    answers = await as_often(shop, CHECKOUTS.burst - 1, "POST", "/api/checkout/stripe/", wish, token)
    assert {one.status for one in answers} == {200}
    login = {"email": "buyer@example.com", "password": PASSWORD}
    again = (await shop.send("POST", "/api/auth/login/", login)).body["token"]
    assert (await shop.send("POST", "/api/checkout/stripe/", wish, again)).status == 200
    asked = len(shop.transport.sent)
    refused(await shop.send("POST", "/api/checkout/stripe/", wish, again), CHECKOUTS)
    async with visiting(shop.public.port) as visitor:
        await visitor.send("/signin", "/signin", **login)
        page = await visitor.send(f"/content/{content_id}", f"/content/{content_id}/buy")
        assert (page.status, page.headers["Retry-After"]) == (429, "6")
        assert "try again in 6 s" in page.words
    assert len(shop.transport.sent) == asked, "Stripe was asked all the same"
    _, other = await shop.member("other@example.com")
    assert (await shop.send("POST", "/api/checkout/stripe/", wish, other)).status == 200
    shop.clock.pass_(seconds=1 / CHECKOUTS.per_second)
    assert (await shop.send("POST", "/api/checkout/stripe/", wish, token)).status == 200


@pytest.mark.parametrize(
    ("method", "path", "body", "rate", "before"),
    [
        ("GET", "/api/wallet/setup/", None, PIN_SESSIONS, 409),
        ("POST", "/api/wallet/withdrawals/", {"destination_address": ADDRESS, "amount": "1"}, WITHDRAWALS, 409),
        ("GET", "/api/wallet/withdrawals/1/", None, LOOKS, 404),
        ("GET", "/api/creators/{me}/dashboard/", None, DASHBOARDS, 200),
    ],
)
async def test_what_asks_circle_or_the_chain_is_counted_by_the_account(
    shop: Shop, method: str, path: str, body: object, rate: Rate, before: int
) -> None:
    me, token = await shop.member()
    answers = await as_often(shop, rate.burst, method, path.format(me=me), body, token)
    assert {one.status for one in answers} == {before}
    refused(await shop.send(method, path.format(me=me), body, token), rate)
    me, other = await shop.member("other@example.com")
    assert (await shop.send(method, path.format(me=me), body, other)).status == before


async def join(shop: Shop, number: int, caller: str) -> Reply:
    wish = {"email": f"u{number}@example.com", "password": PASSWORD, "invite_code": INVITE}
    return await shop.send("POST", "/api/auth/signup/", wish, headers={"X-Forwarded-For": caller})


async def test_one_address_makes_so_many_accounts_and_no_more(fronted: Shop) -> None:
    made = await asyncio.gather(*(join(fronted, n, f"2001:db8::{n % 9}") for n in range(SIGN_UPS.burst)))
    assert {one.status for one in made} <= {201, 503}, "503: more hashes at once than are computed"
    accounts = await fronted.rows(tables.users)
    refused(await join(fronted, 1_000, "2001:db8::77"), SIGN_UPS)
    async with visiting(fronted.public.port) as visitor:
        wish = {"email": "kept@example.com", "password": PASSWORD, "invite_code": INVITE}
        form = (await visitor.get("/signup")).form("/signup") | wish
        page = await visitor.post("/signup", form, X_Forwarded_For="2001:db8::1")
        assert (page.status, page.headers["Retry-After"]) == (429, "3")
        assert page.form("/signup")["email"] == "kept@example.com", "the form was lost"
    assert await fronted.rows(tables.users) == accounts
    assert (await join(fronted, 1_001, "2001:db8:1::1")).status == 201
    fronted.clock.pass_(seconds=1 / SIGN_UPS.per_second)
    assert (await join(fronted, 1_002, "2001:db8::1")).status == 201


async def test_one_address_tries_so_many_passwords_whatever_accounts_it_names(fronted: Shop) -> None:
    async def guess(number: int, caller: str) -> Reply:
        wish = {"email": f"u{number}@example.com", "password": "wrong one"}
        return await fronted.send("POST", "/api/auth/login/", wish, headers={"X-Forwarded-For": caller})

    for first in range(0, LOG_INS.burst, 50):
        answers = await asyncio.gather(*(guess(first + number, "198.51.100.1") for number in range(50)))
        assert {one.status for one in answers} == {401}
    refused(await guess(1_000, "198.51.100.1"), LOG_INS)
    assert (await guess(1_000, "198.51.100.2")).status == 401


@pytest.mark.parametrize("caller", ["127.0.0.1", "::1", "172.18.0.1", "192.168.7.7", "fd00::1"])
async def test_callers_from_inside_are_not_counted_as_one(fronted: Shop, caller: str) -> None:
    """A proxy that nobody named, a container's gateway, or a program that brings many people."""
    wish, told = {"email": "nobody", "password": PASSWORD, "invite_code": INVITE}, {"X-Forwarded-For": caller}
    for _ in range(SIGN_UPS.burst + 1):
        answer = await fronted.send("POST", "/api/auth/signup/", wish, headers=told)
        assert answer.code == "email_invalid"


def test_only_so_many_callers_are_remembered() -> None:
    limit = RateLimit(HandClock(), Rate(burst=1, per_second=0.001))
    limit.take("first")
    for number in range(KEPT_CALLERS - 1):
        limit.take(str(number))
    with pytest.raises(RequestError):
        limit.take("first")
    for number in range(KEPT_CALLERS):
        limit.take(f"another {number}")
    limit.take("first")
