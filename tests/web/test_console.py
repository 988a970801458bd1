"""The console's door and its forms: sessions, roles, tokens of forms, typed words, and strange names."""

import re
from collections.abc import AsyncIterator
from datetime import timedelta
from functools import partial
from hashlib import sha256
from typing import Any

import pytest
from sqlalchemy import Connection, update

from agent.web.console.app import NAVIGATION
from agent.web.endpoint import Access, Endpoint, Face
from agent.web.messages import WebRequest
from agent.web.pages.files import FOLDER
from domain.realtime import Backlog, Bar, Left
from storage import tables
from storage.work import ask_person
from tests.plans import growing, plans_kept
from tests.web.accessible import complaints
from tests.web.sales import fee_known, minted, paid
from tests.web.shop import ROLES, Shop
from tests.web.test_admin import parked_job
from tests.web.test_fuzz import furnished
from tests.web.visitor import Visitor, signed_in, visiting

LEAD_ELSEWHERE = {"/", "/console/events/", *(href.removesuffix("/") for _, href, _ in NAVIGATION)}
FILTERED = (
    "/console/purchases/?held=true",
    "/console/purchases/?text=pi_1",
    "/console/people/?text=ada@example.com",
    "/console/events/stripe?state=parked",
    "/console/events/circle?state=due",
    "/console/audit/?actor=Ada",
    "/console/audit/?kind=purchase&subject=1",
    "/console/ledger/entries?subject=pi_1",
)
"""What is looked for when something is wrong."""
XSS = "<script>document.title='owned'</script><img src=x onerror=alert(1)>\"'"


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


def pages(shop: Shop, method: str) -> list[Endpoint]:
    return [one for one in shop.app.admin.endpoints if one.face is Face.PAGE and one.method == method]


def concrete(endpoint: Endpoint) -> str:
    """An address of this page that means something."""
    known = {"{source}": "stripe" if "/events/" in endpoint.path else "jobs", "{kind}": "mint"}
    return re.sub(r"{[a-z_]+}", lambda found: known.get(found.group(), "1"), endpoint.path)


async def test_a_token_opens_a_session_whose_cookie_no_script_and_no_other_site_gets(
    shop: Shop, visitor: Visitor
) -> None:
    entered = await visitor.send("/console/signin", "/console/signin", token="admin-viewer")
    assert (entered.status, entered.headers["Location"]) == (303, "/console/")
    cookie = entered.headers["Set-Cookie"]
    assert {"HttpOnly", "SameSite=Strict", "Path=/console", "Max-Age=28800"} <= set(cookie.split("; "))
    assert "Secure" not in cookie
    (row,) = await shop.all(tables.sessions)
    assert row["session_hash"] not in cookie
    assert row["expires_at"] == shop.clock.now() + timedelta(hours=8)
    words = (await visitor.follow(entered)).words
    assert "viewer" in words and "weekly, over the circle rail: one transfer for each purchase" in words


async def test_the_overview_says_what_real_time_leaves_to_the_monday(shop: Shop, visitor: Visitor) -> None:
    shop.realtime = Backlog(Left(payouts=3, amount=7_050_000, uncovered=3), Bar.FUNDS)
    await signed_in(visitor, "viewer")
    words = (await visitor.get("/console/")).words
    assert "Not paid in real time: 3 payouts, 7.05 USDC: the platform wallet's free USDC does not cover" in words


async def test_behind_tls_the_cookie_travels_only_encrypted(shop: Shop) -> None:
    await shop.close()
    shop.settings = type(shop.settings)(**{**_fields(shop.settings), "admin_url": "https://ops.example"})
    await shop.open()
    async with visiting(shop.admin.port) as visitor:
        entered = await visitor.get("/console/signin")
        assert "; Secure" in entered.headers["Set-Cookie"]


def _fields(settings: Any) -> dict[str, Any]:
    return {name: getattr(settings, name) for name in settings.__dataclass_fields__}


async def test_wrong_tokens_of_every_kind_get_one_answer_and_then_a_wait(shop: Shop, visitor: Visitor) -> None:
    _, user_token = await shop.member()
    texts = set()
    for token in ("nonsense", user_token, "é" * 20):
        refused = await visitor.send("/console/signin", "/console/signin", token=token)
        assert refused.status == 401
        texts.add(re.sub(r'value="[^"]*"', "", refused.text))
    assert len(texts) == 1
    assert await shop.rows(tables.sessions) == 0
    statuses = [(await visitor.send("/console/signin", "/console/signin", token="no")).status for _ in range(5)]
    assert statuses[-1] == 429
    assert (await visitor.send("/console/signin", "/console/signin", token="admin-viewer")).status == 303


async def test_a_session_is_found_among_cookies_of_other_sites_of_the_same_name(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    own = f"console={visitor.cookie('console')}"
    for cookies in (
        f'consent={{"ads": true}}; {own}',
        f"list[0]=a b; {own}; console=of-another-site",
        f'half="x; {own}; caf\udce9=1',
        f"flag; path=/;{own}",
    ):
        headers = {"host": "localhost", "cookie": cookies}
        answer = await shop.app.admin.dispatch(WebRequest("GET", "/console/", headers=headers))
        assert answer.status == 200, cookies
    for nobody in ("console=", "console=\udce9", "console"):
        headers = {"host": "localhost", "cookie": nobody, "accept": "text/html"}
        assert (await shop.app.admin.dispatch(WebRequest("GET", "/console/", headers=headers))).status == 303


async def test_every_page_sends_guests_to_sign_in_and_back(shop: Shop, visitor: Visitor) -> None:
    walked = 0
    for endpoint in pages(shop, "GET"):
        if endpoint.access is Access.PUBLIC:
            continue
        walked += 1
        path = concrete(endpoint)
        refused = await visitor.get(path)
        assert (refused.status, refused.headers["Location"]) == (303, f"/console/signin?next={path}")
        live = await visitor.get(path, HX_Request="true")
        assert (live.status, live.headers["HX-Redirect"]) == (401, f"/console/signin?next={path}")
    assert walked > 5
    entered = await visitor.send("/console/signin?next=/console/work/", "/console/signin", token="admin-viewer")
    assert entered.headers["Location"] == "/console/work/"


async def test_signing_in_leads_nowhere_else(shop: Shop, visitor: Visitor) -> None:
    for elsewhere in ("//evil.example", "https://evil.example/", "/\\evil.example", "javascript:1"):
        entered = await visitor.send("/console/signin", "/console/signin", token="admin-viewer", next=elsewhere)
        assert entered.headers["Location"] == "/console/"
        visitor.forget()


async def test_a_session_ends_by_signing_out_by_time_and_with_its_token(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    out = await visitor.send("/console/", "/console/signout")
    assert out.headers["Location"] == "/console/signin?done=out"
    assert (await visitor.get("/console/")).status == 303
    await signed_in(visitor, "viewer")
    assert (await visitor.get("/console/")).status == 200
    shop.clock.pass_(hours=8, seconds=1)
    assert (await visitor.get("/console/")).status == 303
    await signed_in(visitor, "operator")
    revoked = update(tables.tokens).values(revoked_at=shop.clock.now())
    await shop.store.write(lambda conn: conn.execute(revoked))
    assert (await visitor.get("/console/")).status == 303


async def test_neither_a_token_opens_a_page_nor_a_session_the_api(shop: Shop, visitor: Visitor) -> None:
    assert (await visitor.get("/console/", Authorization="Bearer admin-approver")).status == 303
    await signed_in(visitor, "approver")
    session = visitor.cookie("console")
    assert session is not None
    headers = {"Cookie": f"console={session}"}
    answer = await shop.send("GET", "/admin/api/status", headers=headers, admin=True)
    assert answer.status == 401
    assert (await shop.send("GET", "/admin/api/status", token=session, admin=True)).status == 401


async def test_every_form_needs_its_token_its_own_site_and_its_role(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    walked = 0
    for endpoint in pages(shop, "POST"):
        path = concrete(endpoint)
        for fields in ({}, {"csrf": "nonsense"}):
            refused = await visitor.post(path, fields)
            assert refused.status == 403, (path, refused.status)
        if endpoint.access not in (Access.PUBLIC, Access.VIEWER):
            walked += 1
            csrf = (await visitor.get("/console/")).form("/console/signout")["csrf"]
            assert (await visitor.post(path, {"csrf": csrf})).status == 403, path
    assert walked > 8
    await signed_in(visitor, "operator")
    csrf = (await visitor.get("/console/")).form("/console/signout")["csrf"]
    target, wish = "/console/do/sends/pause", {"csrf": csrf, "reason": "a test"}
    for headers in (
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ):
        assert (await visitor.post(target, wish, **headers)).status == 403
    assert (await visitor.get(target)).status == 405
    assert (await shop.all(tables.switches)) == []
    own = {"Origin": visitor.origin, "Sec-Fetch-Site": "same-origin"}
    assert (await visitor.post(target, wish, **own)).status == 303
    (switch,) = await shop.all(tables.switches)
    assert (switch["is_on"], switch["reason"], switch["set_by"]) == (True, "a test", "operator")


async def test_a_form_of_another_session_is_refused(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "operator")
    stolen = (await visitor.get("/console/")).form("/console/signout")["csrf"]
    visitor.forget()
    await signed_in(visitor, "operator")
    refused = await visitor.post("/console/do/sends/pause", {"csrf": stolen, "reason": "x"})
    assert refused.status == 403
    assert "earlier session" in refused.words


async def test_what_moves_money_asks_for_its_word_and_changes_nothing_without(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "approver")
    csrf = (await visitor.get("/console/")).form("/console/signout")["csrf"]
    for typed in ({}, {"confirm": "yes"}):
        refused = await visitor.post("/console/do/batches", {"csrf": csrf, **typed})
        assert refused.status == 422
        assert "type “plan” to confirm" in refused.words.lower()
    assert shop.planner.approved_by == []
    planned = await visitor.post(
        "/console/do/batches", {"csrf": csrf, "confirm": " PLAN ", "back": "/console/batches/"}
    )
    assert planned.headers["Location"] == "/console/batches/?done=nothing"
    assert shop.planner.approved_by == ["approver"]
    assert "Nothing is payable now" in (await visitor.follow(planned)).words


async def test_a_parked_mint_stands_in_the_list_with_its_error_and_runs_again_from_there(
    shop: Shop, visitor: Visitor
) -> None:
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await parked_job(shop, "mint", purchase_id)
    await signed_in(visitor, "viewer")
    target = f"/console/do/retry/mint/{purchase_id}"
    shown = await visitor.get("/console/work/")
    assert "attempts_used_up" in shown.words
    assert "Circle: no answer" in shown.words
    assert not shown.has_form(target)
    visitor.forget()
    await signed_in(visitor, "operator")
    again = await visitor.send("/console/work/", target)
    assert again.headers["Location"] == "/console/work/?done=retry"
    after = await visitor.follow(again)
    assert "It runs again." in after.words
    assert "Nothing waits for a person." in after.words
    twice = await visitor.post(
        target, (await visitor.get("/console/")).form("/console/signout") | {"back": "/console/work/"}
    )
    assert twice.status == 409
    assert "has not failed" in twice.words
    assert 'href="/console/work/"' in twice.text


async def test_a_sale_whose_payment_failed_offers_no_mint_to_retry(shop: Shop, visitor: Visitor) -> None:
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    purchase_id = await paid(shop, await shop.content(author), buyer)
    page, target = f"/console/purchases/{purchase_id}", f"/console/do/retry/mint/{purchase_id}"
    await signed_in(visitor, "operator")
    for why, offered in (("would cost more", True), ("payment_failed", False)):
        failed = update(tables.purchases).values(status="failed", status_reason=why)
        await shop.store.write(partial(Connection.execute, statement=failed))
        assert (await visitor.get(page)).has_form(target) is offered


async def test_the_treasury_says_that_the_time_to_convert_is_over(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    assert "Convert by 28 Nov 09:00 UTC" in (await visitor.get("/console/treasury/")).words
    shop.clock.pass_(days=6)
    visitor.forget()
    await signed_in(visitor, "viewer")
    assert "To convert since 28 Nov 09:00 UTC" in (await visitor.get("/console/treasury/")).words


async def test_what_only_a_person_can_settle_is_closed_on_its_page_with_a_reason(shop: Shop, visitor: Visitor) -> None:
    now = shop.clock.now()
    await shop.store.write(lambda conn: ask_person(conn, "underpaid", "1", "underpaid", "7 units more are due", now))
    (row,) = await shop.all(tables.jobs)
    page, target = f"/console/work/jobs/{row['id']}", f"/console/do/work/jobs/{row['id']}/close"
    await signed_in(visitor, "operator")
    listed = await visitor.get("/console/work/")
    assert f'href="{page}"' in listed.text
    assert not (await visitor.get(page)).has_form(target.replace("close", "retry"))
    closed = await visitor.send(page, target, amount="0", reason="paid from the other wallet")
    assert closed.headers["Location"] == "/console/work/?done=close"
    after = await visitor.follow(closed)
    assert "Closed." in after.words
    assert "Nothing waits for a person." in after.words


async def test_strange_names_are_text_and_pages_run_nothing_inline(shop: Shop, visitor: Visitor) -> None:
    wish = {"email": "x@example.com", "password": "long enough", "invite_code": "come-in-please", "username": XSS[:64]}
    assert (await shop.send("POST", "/api/auth/signup/", wish)).status == 201
    author = (await shop.send("POST", "/api/auth/login/", {"email": "x@example.com", "password": "long enough"})).body
    _, buyer = await shop.member()
    content_id = await shop.content(author["token"], title="<b onclick=x>&'")
    purchase_id = await paid(shop, content_id, buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    await signed_in(visitor, "approver")
    for endpoint in pages(shop, "GET"):
        if endpoint.path in LEAD_ELSEWHERE:
            continue
        page = await visitor.get(concrete(endpoint))
        assert page.status in (200, 404, 409, 422), (endpoint.path, page.status, page.words)
        assert "<script>document" not in page.text
        assert "<b onclick" not in page.text
        assert not re.search(r"<script(?! src=\"/static/)", page.text), endpoint.path
        assert not {name for name in page.attributes if name == "style" or name.startswith("on")}, endpoint.path
        assert not re.search(r"(src|href|action)=\"(https?:)?//", page.text), endpoint.path
        assert complaints(page.text) == [], endpoint.path
    shown = await visitor.get(f"/console/purchases/{purchase_id}")
    assert XSS[:64] in shown.words
    assert "<b onclick=x>&'" in shown.words


async def test_pages_carry_strict_headers_and_files_never_change_under_their_name(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    page = await visitor.get("/console/")
    policy = page.headers["Content-Security-Policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["Cache-Control"] == "no-store"
    files = set(re.findall(r"/static/[^\"]+", page.text))
    assert len(files) == 4
    for path in files:
        served = await visitor.get(path)
        assert served.status == 200
        assert "immutable" in served.headers["Cache-Control"]
        assert served.headers["X-Content-Type-Options"] == "nosniff"
    assert (await visitor.get("/static/licences/htmx.txt")).status == 404
    (htmx,) = (path for path in files if "htmx" in path)
    digest = sha256((await visitor.get(htmx)).text.encode()).hexdigest()
    assert digest in (FOLDER / "licences" / "README.md").read_text(), "htmx is not the version that it says it is"


async def test_a_page_s_live_part_comes_alone_when_the_page_asks_for_it(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    whole = await visitor.get("/console/")
    part = await visitor.get("/console/", HX_Request="true", HX_Target="live")
    assert "<html" in whole.text
    assert "<html" not in part.text
    assert "Overview" in part.text


async def test_signing_in_is_on_record(shop: Shop, visitor: Visitor) -> None:
    for role in ROLES:
        await signed_in(visitor, role)
        visitor.forget()
    found = [(row["actor"], row["action"]) for row in await shop.all(tables.audit_log)]
    assert found == [(role, "sign_in") for role in ROLES]


async def test_an_address_as_people_type_it_leads_to_its_page(shop: Shop, visitor: Visitor) -> None:
    for path in ("/console", "/console/treasury", "/console/audit"):
        answer = await visitor.get(path)
        assert (answer.status, answer.headers["Location"]) == (303, f"{path}/")


async def test_wrong_addresses_are_told_in_a_page(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    for path, status in (
        ("/console/nothing", 404),
        ("/console/batches/999", 404),
        ("/console/batches/abc", 404),
        ("/console/batches/?before=x", 422),
        ("/console/work/?state=odd", 422),
        ("/console/work/?strange=1", 422),
    ):
        page = await visitor.get(path)
        assert page.status == status, path
        assert "To the first page" in page.words
        assert page.headers["Content-Type"].startswith("text/html")


async def test_the_console_finds_holds_and_refunds_by_the_api_s_own_rules(shop: Shop, visitor: Visitor) -> None:
    author_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    await signed_in(visitor, "approver")
    page = f"/console/purchases/{purchase_id}"
    for query in ("text=buyer@", f"creator_id={author_id}", "status=completed", "held=false", "payout_state=&text="):
        assert f'href="{page}"' in (await visitor.get(f"/console/purchases/?{query}")).text, query
    assert "No purchase fits" in (await visitor.get("/console/purchases/?text=nobody@&held=true")).words
    held = await visitor.send(page, f"/console/do/purchases/{purchase_id}/hold", reason="looks odd")
    assert "Held." in (await visitor.follow(held)).words
    refund = f"/console/do/purchases/{purchase_id}/refund"
    wish = (await visitor.get(page)).form(refund) | {"reason": "a kindness"}
    intent = (await shop.all(tables.purchases))[0]["stripe_payment_intent_id"]
    assert (await visitor.post(refund, {**wish, "confirm": "pi_other"})).status == 422
    assert (await visitor.post(refund, {**wish, "confirm": intent, "version": "old"})).status == 412
    assert await shop.rows(tables.refunds) == 0
    done = await visitor.post(refund, {**wish, "confirm": intent})
    assert "refund is asked for" in (await visitor.follow(done)).words
    assert [row["action"] for row in await shop.all(tables.audit_log)] == ["sign_in", "hold", "refund"]
    assert "looks odd" in (await visitor.get("/console/audit/?kind=purchase")).words
    rules = re.findall(r'href="(/console/ledger/rules/check[^"]+)"', (await visitor.get("/console/ledger/rules")).text)
    assert len(rules) > 5
    assert "rows looked at" in (await visitor.get(rules[0])).words


async def test_a_token_and_an_invite_are_shown_once_and_dollars_are_announced_as_dollars(
    shop: Shop, visitor: Visitor
) -> None:
    await signed_in(visitor, "approver")
    made = await visitor.send("/console/audit/access", "/console/do/tokens", name="Night shift", role="operator")
    assert made.status == 200
    secret = re.search(r'data-copy="([\w-]{30,})"', made.text)
    assert secret is not None
    assert (await shop.send("GET", "/admin/api/status", token=secret[1], admin=True)).status == 200
    listed = await visitor.get("/console/audit/access")
    assert "Night shift" in listed.words
    assert secret[1] not in listed.text
    assert "shown here once" in (await visitor.send("/console/audit/access", "/console/do/invites", uses="3")).words
    announced = await visitor.send("/console/treasury/", "/console/do/conversions", usd="112.50", note="wire 7")
    assert "Announced." in (await visitor.follow(announced)).words
    (row,) = await shop.all(tables.conversions)
    assert (row["usd_cents"], row["expected_usdc"], row["note"]) == (11_250, 112_500_000, "wire 7")
    wrong = await visitor.send("/console/treasury/", "/console/do/conversions", usd="1.234")
    assert wrong.status == 422


async def test_no_page_reads_what_all_weeks_before_have_left(shop: Shop, visitor: Visitor) -> None:
    await furnished(shop)
    await signed_in(visitor, "approver")
    with plans_kept() as plans:
        for path in (*map(concrete, pages(shop, "GET")), *FILTERED):
            assert (await visitor.get(path)).status < 500
    assert len(plans) > 80
    assert growing(plans) == {}
