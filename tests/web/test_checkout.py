"""From a buyer's wish to one Stripe Checkout Session, whatever Stripe does meanwhile."""

import asyncio
import json
from typing import Any
from urllib.parse import parse_qs

import pytest
from sqlalchemy import update

from sandbox.faults import Fault, Rule
from storage import tables
from tests.web.shop import STRIPE_API, Shop, is_uuid

PATH = "/api/checkout/stripe/"
CREATE = "POST /v1/checkout/sessions"


async def for_sale(shop: Shop, **changes: Any) -> tuple[int, str]:
    """A content for sale, and a buyer's token."""
    _, token = await shop.member()
    return await shop.content(token, **changes), token


def created(shop: Shop) -> list[dict[str, list[str]]]:
    """The forms with which Sessions were asked for."""
    return [
        parse_qs(request.body.decode())
        for request in shop.transport.sent
        if request.method == "POST" and request.url == f"{STRIPE_API}/v1/checkout/sessions"
    ]


async def test_a_session_carries_our_uuid_on_itself_and_on_its_payment_and_takes_cards_only(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    begun = await shop.send("POST", PATH, {"content_id": content_id, "payment_method": "card"}, token)
    assert (begun.status, set(begun.body)) == (200, {"session_id", "redirect_url"})
    assert begun.body["session_id"].startswith("cs_")
    (row,) = await shop.all(tables.checkouts)
    assert (row["state"], row["stripe_session_id"], row["price_cents"]) == ("open", begun.body["session_id"], 300)
    (form,) = created(shop)
    assert is_uuid(row["uuid"])
    for name in ("metadata[checkout]", "payment_intent_data[metadata][checkout]", "client_reference_id"):
        assert form[name] == [row["uuid"]]
    (content,), buyer = await shop.all(tables.contents), (await shop.all(tables.users))[row["buyer_id"] - 1]
    for name in ("metadata", "payment_intent_data[metadata]"):
        assert (form[f"{name}[content]"], form[f"{name}[buyer]"]) == ([content["uuid"]], [buyer["uuid"]])
    assert form["allowed_payment_method_types[0]"] == ["card"]
    assert form["adaptive_pricing[enabled]"] == ["False"] or form["adaptive_pricing[enabled]"] == ["false"]
    assert form["expires_at"] == [str(int(row["expires_at"].timestamp()))]
    assert json.loads(row["params"])["expires_at"] == int(row["expires_at"].timestamp())


async def test_while_a_session_is_open_the_same_one_is_returned_and_afterwards_a_new_one(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    first = await shop.send("POST", PATH, {"content_id": content_id}, token)
    shop.clock.pass_(minutes=30)
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).body == first.body
    shop.clock.pass_(minutes=31)
    second = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert second.body["session_id"] != first.body["session_id"]
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["expired", "open"]


async def test_two_requests_that_race_get_one_session_and_two_buyers_get_two(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    answers = await asyncio.gather(*(shop.send("POST", PATH, {"content_id": content_id}, token) for _ in range(6)))
    assert [answer.status for answer in answers] == [200] * 6
    assert len({answer.body["session_id"] for answer in answers}) == 1
    assert await shop.rows(tables.checkouts) == 1
    _, other = await shop.member("other@example.com")
    theirs = await shop.send("POST", PATH, {"content_id": content_id}, other)
    assert theirs.body["session_id"] != answers[0].body["session_id"]


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_REQUEST, Fault.HTML, Fault.CUT_BODY, Fault.STATUS])
async def test_a_lost_answer_is_asked_for_again_with_the_same_key_and_makes_one_session(
    shop: Shop, fault: Fault
) -> None:
    content_id, token = await for_sale(shop)
    shop.stripe.faults.add(Rule(CREATE, fault, status=503))
    begun = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert begun.status == 200
    keys = {request.headers.get("Idempotency-Key") for request in shop.transport.sent}
    assert len(created(shop)) == 2 and len(keys) == 1
    assert len({str(form) for form in created(shop)}) == 1


async def test_when_stripe_stays_silent_the_buyer_gets_503_and_his_next_request_goes_on_with_the_same_key(
    shop: Shop,
) -> None:
    content_id, token = await for_sale(shop)
    shop.stripe.faults.add(Rule(CREATE, Fault.LOSE_ANSWER, times=3))
    refused = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (503, "stripe_unavailable")
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["creating"]
    shop.clock.pass_(minutes=5)
    begun = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert begun.status == 200
    assert len({str(form) for form in created(shop)}) == 1
    assert await shop.rows(tables.checkouts) == 1


@pytest.mark.parametrize("fault", [Fault.STATUS, Fault.MASKED], ids=["made_nothing", "made_one_all_the_same"])
async def test_a_key_over_which_stripe_failed_and_says_so_for_a_day_is_replaced_at_once(
    shop: Shop, fault: Fault
) -> None:
    """Stripe keeps the answer of a key's first call, a 500 too: the buyer was told for an hour to ask again."""
    content_id, token = await for_sale(shop)
    shop.stripe.controls.add_fault(Rule(CREATE, fault, status=500), inside=True)
    begun = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert begun.status == 200
    first, second = await shop.all(tables.checkouts)
    assert (first["state"], second["state"]) == ("expired", "open")
    assert second["stripe_session_id"] == begun.body["session_id"]
    assert [form["client_reference_id"] for form in created(shop)] == [
        [first["uuid"]],
        [first["uuid"]],
        [second["uuid"]],
    ]
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).body == begun.body


async def test_a_key_whose_refusal_stripe_repeats_for_a_day_is_replaced_where_its_code_is_unknown(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    unheard = b'{"error":{"type":"invalid_request_error","code":"new_since_then","message":"Not now."}}'
    shop.stripe.controls.add_fault(Rule(CREATE, Fault.STATUS, status=400, body=unheard), inside=True)
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 200
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["expired", "open"]


async def test_while_stripe_fails_within_each_request_of_the_buyer_tries_one_more_key(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    shop.stripe.controls.add_fault(Rule(CREATE, Fault.STATUS, times=3, status=500), inside=True)
    refused = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (503, "stripe_unavailable")
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["expired", "creating"]
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 503
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 200
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["expired"] * 3 + ["open"]


async def test_a_checkout_never_answered_whose_time_grew_too_short_is_replaced(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    shop.stripe.faults.add(Rule(CREATE, Fault.LOSE_REQUEST, times=3))
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 503
    shop.clock.pass_(minutes=40)
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 200
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["expired", "open"]


async def test_one_whose_time_grew_too_short_stays_as_it_is_when_the_last_edition_goes_before_it_is_replaced(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`simulate --faults pauses,two_workers`: the 409 had closed the row that it was not given another one for."""
    content_id, token = await for_sale(shop)
    shop.stripe.faults.add(Rule(CREATE, Fault.LOSE_REQUEST, times=3))
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 503
    shop.clock.pass_(minutes=40)

    async def somebody_buys_it(seconds: float) -> None:
        sold = update(tables.contents).values(editions=1, editions_taken=1)
        await shop.store.write(lambda conn: conn.execute(sold).rowcount)

    monkeypatch.setattr(shop.transport, "_sleep", somebody_buys_it)
    refused = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (409, "sold_out")
    assert [row["state"] for row in await shop.all(tables.checkouts)] == ["creating"]


async def test_a_request_that_stripe_refuses_for_good_is_a_502_and_leaves_the_buyer_free(shop: Shop) -> None:
    content_id, token = await for_sale(shop)
    body = b'{"error":{"type":"invalid_request_error","code":"amount_too_small","message":"no"}}'
    shop.stripe.faults.add(Rule(CREATE, Fault.STATUS, status=400, body=body))
    refused = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (502, "stripe_refused")
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 200


@pytest.mark.parametrize(
    ("wish", "status", "code"),
    [
        ({"payment_method": "crypto"}, 422, "payment_method_unknown"),
        ({"currency": "eur"}, 422, "currency_unsupported"),
        ({"currency": "jpy"}, 422, "currency_unsupported"),
        ({"content_id": 999}, 404, "content_not_found"),
        ({"content_id": 2**53 - 1}, 404, "content_not_found"),
        ({"content_id": 2**63}, 422, "invalid_request"),
        ({"content_id": "1"}, 422, "invalid_request"),
        ({"content_id": 0}, 422, "invalid_request"),
        ({"content_id": None}, 422, "invalid_request"),
        ({"amount": 1}, 422, "invalid_request"),
    ],
)
async def test_a_wrong_wish_is_a_clear_4xx_and_neither_a_row_nor_a_call_to_stripe(
    shop: Shop, wish: dict[str, Any], status: int, code: str
) -> None:
    content_id, token = await for_sale(shop)
    answer = await shop.send("POST", PATH, {"content_id": content_id, **wish}, token)
    assert (answer.status, answer.code) == (status, code)
    assert await shop.rows(tables.checkouts) == 0
    assert shop.transport.sent == []


async def test_a_sold_out_content_is_a_409_also_for_a_buyer_with_an_open_session(shop: Shop) -> None:
    content_id, token = await for_sale(shop, editions=1)
    assert (await shop.send("POST", PATH, {"content_id": content_id}, token)).status == 200
    await shop.store.write(lambda conn: conn.execute(update(tables.contents).values(editions_taken=1)))
    refused = await shop.send("POST", PATH, {"content_id": content_id}, token)
    assert (refused.status, refused.code) == (409, "sold_out")
    assert (await shop.send("GET", f"/api/content/{content_id}/")).body["sold_out"] is True


async def test_checking_out_needs_a_signed_in_buyer(shop: Shop) -> None:
    assert (await shop.send("POST", PATH, {"content_id": 1})).status == 401
