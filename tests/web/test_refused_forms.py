"""A form of the console that is not done stands again on its page: as it was filled in, with the reason."""

from collections.abc import AsyncIterator

import pytest

from storage import tables
from storage.work import ask_person
from tests.web.accessible import complaints
from tests.web.shop import Shop
from tests.web.test_admin import parked_job
from tests.web.test_console import LEAD_ELSEWHERE, concrete, pages
from tests.web.test_fuzz import furnished
from tests.web.test_night import batched, owed, write
from tests.web.visitor import Visitor, signed_in, visiting

TOO_LONG = '"><script>x</script>' * 300
"""More than any field takes."""


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


async def test_every_form_that_is_filled_in_wrongly_keeps_what_was_typed(shop: Shop, visitor: Visitor) -> None:
    await furnished(shop)
    await batched(shop)
    now = shop.clock.now()
    await shop.store.write(lambda conn: ask_person(conn, "underpaid", "1", "underpaid", "7 units more are due", now))
    outflow = {"signature": "out", "account": shop.usdc_account, "asset": "usdc_base_units", "amount": -1, "slot": 1}
    await write(shop, tables.chain_movements, [outflow | {"kind": "orphan", "created_at": now}])
    await signed_in(visitor, "approver")
    tried = set()
    for endpoint in pages(shop, "GET"):
        if endpoint.path in LEAD_ELSEWHERE:
            continue
        path = concrete(endpoint)
        shown = await visitor.get(path)
        for target in (one for one in shown.form_targets if one.startswith("/console/do/")):
            form = shown.form(target)
            empty = [name for name, text in form.items() if text in ("", "90") and name not in ("confirm", "role")]
            typed = {name: f"{name} {TOO_LONG}" for name in empty}
            if not typed:
                continue
            tried.add(target)
            again = await visitor.post(target, {**form, **typed, "confirm": "no"})
            assert again.status == 422, (path, target)
            assert again.form(target) == {**form, **typed}, (path, target)
            assert "Not done." in again.words and "hx-get" not in again.text, (path, target)
            assert complaints(again.text) == [], (path, target)
    assert len(tried) >= 10, tried


async def test_a_refused_refund_stands_open_under_the_version_of_now_and_wants_its_word_again(
    shop: Shop, visitor: Visitor
) -> None:
    page = f"/console/purchases/{await owed(shop)}"
    await signed_in(visitor, "approver")
    target = f"{page.replace('/console', '/console/do')}/refund"
    intent = (await shop.all(tables.purchases))[0]["stripe_payment_intent_id"]
    before = (await visitor.get(page)).form(target)
    wish = {"amount": "1,50", "reason": "a kindness", "confirm": intent}
    refused = await visitor.post(target, {**before, **wish})
    assert (refused.status, refused.form(target)) == (422, {**before, **wish, "confirm": ""})
    assert '<details class="panel risky" open>' in refused.text
    assert 'aria-invalid="true" aria-describedby="problem" autofocus' in refused.text
    late = await visitor.post(target, {**before, **wish, "amount": "1.50", "version": "of yesterday"})
    assert (late.status, late.form(target)["version"]) == (412, before["version"])
    assert await shop.rows(tables.refunds) == 0
    done = await visitor.post(target, {**late.form(target), "confirm": intent})
    assert done.headers["Location"] == f"{page}?done=refund"
    assert await shop.rows(tables.refunds) == 1
    assert (await shop.all(tables.audit_log))[-1]["reason"] == "a kindness"


async def test_a_batch_that_has_settled_meanwhile_is_not_paused_and_its_page_says_so(
    shop: Shop, visitor: Visitor
) -> None:
    await batched(shop, status="sending")
    await signed_in(visitor, "operator")
    target = "/console/do/batches/1/pause"
    form = (await visitor.get("/console/batches/1")).form(target)
    await batched(shop, uuid="b-2", key="offcycle:b-2", status="settled")
    refused = await visitor.post(target.replace("1", "2"), {**form, "back": "/console/batches/2", "reason": "a doubt"})
    assert (refused.status, refused.has_form(target.replace("1", "2"))) == (409, False)
    assert "Not done. Batch 2 is settled: nothing of it is sent any more" in refused.words
    assert "offcycle:b-2" in refused.words
    answer = await shop.send("POST", "/admin/api/batches/2/pause", {"reason": "a doubt"}, "admin-operator", admin=True)
    assert (answer.status, answer.code) == (409, "batch_settled")
    assert [row["paused"] for row in await shop.all(tables.batches)] == [False, False]
    assert [row["action"] for row in await shop.all(tables.audit_log)] == ["sign_in"]
    assert (await visitor.post(target, {**form, "reason": "a doubt"})).headers["Location"] == (
        "/console/batches/1?done=pause"
    )


async def test_what_is_done_on_its_own_page_leads_to_the_list_and_what_is_not_stays(
    shop: Shop, visitor: Visitor
) -> None:
    await parked_job(shop, "fee", 1)
    (row,) = await shop.all(tables.jobs)
    page = f"/console/work/jobs/{row['id']}"
    await signed_in(visitor, "operator")
    target = f"{page.replace('/console', '/console/do')}/retry"
    refused = await visitor.send(page, target, confirm="pay")
    assert (refused.status, "Type “retry” to confirm" in refused.words) == (422, True)
    assert "What was committed for it" in refused.words
    done = await visitor.post(target, {**refused.form(target), "confirm": "retry"})
    assert done.headers["Location"] == "/console/work/?done=retry"


@pytest.mark.parametrize("back", ["/console/batches/77", "/console/signin", "/nowhere", "/console/batches"])
async def test_where_the_page_of_a_refused_form_can_t_be_shown_the_reason_has_a_page_of_its_own(
    back: str, shop: Shop, visitor: Visitor
) -> None:
    await signed_in(visitor, "operator")
    csrf = (await visitor.get("/console/")).form("/console/signout")["csrf"]
    refused = await visitor.post("/console/do/batches/77/pause", {"csrf": csrf, "back": back, "reason": "a doubt"})
    assert refused.status == 404
    assert "There is no batch 77." in refused.words and f'href="{back}"' in refused.text
    assert "Sign out" not in refused.words
