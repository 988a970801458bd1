"""The official SDK against the sandbox's Stripe, over real sockets."""

import aiohttp
import pytest
import stripe

from sandbox.faults import Fault, Rule
from tests.sandbox.stripe.conftest import READER_KEY, Town

PARAMS: dict[str, object] = {
    "mode": "payment",
    "line_items": [
        {
            "quantity": 1,
            "price_data": {"currency": "usd", "unit_amount": 300, "product_data": {"name": "Still life & co"}},
        }
    ],
    "client_reference_id": "purchase-1",
    "allowed_payment_method_types": ["card"],
    "payment_intent_data": {"metadata": {"purchase": "1"}},
    "success_url": "https://shop.example/ok?sid={CHECKOUT_SESSION_ID}",
    "cancel_url": "https://shop.example/back",
}


async def open_session(town: Town, key: str = "order-1") -> stripe.checkout.Session:
    params: object = PARAMS
    options: object = {"idempotency_key": key}
    return await town.client.v1.checkout.sessions.create_async(params, options)  # type: ignore[arg-type]


async def subscribe(town: Town, events: list[str]) -> None:
    params: object = {"url": town.shop.url, "enabled_events": events, "api_version": "2026-10-28.endive"}
    endpoint = await town.client.v1.webhook_endpoints.create_async(params)  # type: ignore[arg-type]
    assert endpoint.secret is not None
    town.shop.secret = endpoint.secret


async def press_pay(url: str) -> str:
    """As a browser does: open the page, press Pay; answers where the browser is sent."""
    async with aiohttp.ClientSession() as browser:
        async with browser.get(url) as page:
            assert "Still life &amp; co" in await page.text()
        async with browser.post(f"{url}/pay", data={"method": "card"}, allow_redirects=False) as answer:
            return answer.headers["Location"]


async def test_from_checkout_to_the_balance_transaction(town: Town) -> None:
    await subscribe(town, ["*"])
    session = await open_session(town)
    assert session.url is not None
    assert session.payment_intent is None
    assert await press_pay(session.url) == f"https://shop.example/ok?sid={session.id}"
    await town.shop.until(lambda: "charge.updated" in town.shop.types())
    assert set(town.shop.types()) >= {"payment_intent.succeeded", "checkout.session.completed", "charge.succeeded"}

    paid = await town.client.v1.checkout.sessions.retrieve_async(session.id)
    assert isinstance(paid.payment_intent, str)
    intent = await town.client.v1.payment_intents.retrieve_async(
        paid.payment_intent, {"expand": ["latest_charge.balance_transaction"]}
    )
    charge = intent.latest_charge
    assert isinstance(charge, stripe.Charge)
    booked = charge.balance_transaction
    assert isinstance(booked, stripe.BalanceTransaction)
    assert (booked.amount, booked.fee, booked.net) == (300, 39, 261)
    again = await town.client.v1.balance_transactions.list_async({"source": charge.id})
    assert [row.id for row in again.data] == [booked.id]
    assert intent.metadata["purchase"] == charge.metadata["purchase"] == "1"
    found = await town.client.v1.checkout.sessions.list_async({"payment_intent": intent.id})
    assert [row.client_reference_id for row in found.data] == ["purchase-1"]


async def test_a_refused_webhook_comes_again_with_a_fresh_signature(town: Town) -> None:
    await subscribe(town, ["checkout.session.expired"])
    town.shop.statuses = [500, 503]
    session = await open_session(town)
    await town.client.v1.checkout.sessions.expire_async(session.id)
    await town.shop.until(lambda: bool(town.shop.taken))
    assert len(town.shop.refused) == 2
    assert len({event.id for event in town.shop.taken}) == 1


async def test_the_events_list_pages_through_everything(town: Town) -> None:
    for number in range(7):
        session = await open_session(town, f"order-{number}")
        town.controls.pay(session.id)
    first = await town.client.v1.events.list_async({"limit": 5})
    assert first.has_more
    ids = [event.id async for event in first.auto_paging_iter()]
    assert len(ids) == len(set(ids)) == 28

    oldest = ids[-1]
    newer = await town.client.v1.events.list_async(
        {"limit": 5, "ending_before": oldest, "types": ["payment_intent.succeeded"], "delivery_success": True}
    )
    assert len([event async for event in newer.auto_paging_iter()]) == 7


async def test_the_same_key_gives_the_same_session(town: Town) -> None:
    first = await open_session(town)
    again = await open_session(town)
    assert again.id == first.id
    assert again.last_response is not None
    assert again.last_response.headers["Idempotent-Replayed"] == "true"
    with pytest.raises(stripe.IdempotencyError):
        params: object = {**PARAMS, "client_reference_id": "other"}
        await town.client.v1.checkout.sessions.create_async(
            params,  # type: ignore[arg-type]
            {"idempotency_key": "order-1"},
        )


async def test_a_lost_answer_is_mended_by_the_sdks_retry(town: Town) -> None:
    town.controls.add_fault(Rule("POST /v1/checkout/sessions", Fault.LOSE_ANSWER))
    town.client = town.client_with(town.client._requestor.api_key or "", retries=2)
    session = await open_session(town)
    found = await town.client.v1.checkout.sessions.list_async()
    assert [row.id for row in found.data] == [session.id]


async def test_errors_are_the_sdks_own_classes(town: Town) -> None:
    with pytest.raises(stripe.InvalidRequestError) as unknown:
        await town.client.v1.payment_intents.retrieve_async("pi_unknown")
    assert (unknown.value.http_status, unknown.value.code) == (404, "resource_missing")
    assert (unknown.value.request_id or "").startswith("req_")
    with pytest.raises(stripe.InvalidRequestError) as wrong:
        params: object = {**PARAMS, "payment_method_types": ["card"]}
        await town.client.v1.checkout.sessions.create_async(params)  # type: ignore[arg-type]
    assert (wrong.value.http_status, wrong.value.param) == (400, "payment_method_types")
    with pytest.raises(stripe.AuthenticationError):
        await town.client_with("sk_test_wrong").v1.events.list_async()
    with pytest.raises(stripe.PermissionError):
        await town.client_with(READER_KEY).v1.charges.list_async()
    town.controls.limit_rate()
    with pytest.raises(stripe.RateLimitError):
        await town.client.v1.events.list_async()
    town.controls.add_fault(Rule("GET /v1/events", Fault.HTML))
    with pytest.raises(stripe.APIError):
        await town.client.v1.events.list_async()


async def test_an_answer_cut_in_its_body_is_a_transport_error(town: Town) -> None:
    town.controls.add_fault(Rule("GET /v1/account", Fault.CUT_BODY))
    with pytest.raises(aiohttp.ClientPayloadError):
        await town.client.v1.accounts.retrieve_current_async()


async def test_refunds_and_disputes_reach_the_shop(town: Town) -> None:
    await subscribe(town, ["refund.created", "charge.refunded", "charge.dispute.created", "charge.dispute.closed"])
    session = await open_session(town)
    intent = town.controls.pay(session.id)["payment_intent"]
    refund = await town.client.v1.refunds.create_async({"payment_intent": intent, "amount": 100})
    assert refund.status == "succeeded"
    dispute = town.controls.open_dispute(intent, 200)
    town.controls.close_dispute(dispute["id"], "won")
    town.front.poke()
    await town.shop.until(lambda: len(town.shop.taken) == 4)
    assert set(town.shop.types()) == {
        "refund.created",
        "charge.refunded",
        "charge.dispute.created",
        "charge.dispute.closed",
    }
    listed = await town.client.v1.disputes.list_async({"payment_intent": intent})
    assert [row.status for row in listed.data] == ["won"]


async def test_the_controls_answer_over_http(town: Town) -> None:
    session = await open_session(town)
    async with aiohttp.ClientSession(town.url) as control:
        async with control.post(f"/_sandbox/sessions/{session.id}/pay", json={"email": "ann@example.com"}) as answer:
            paid = await answer.json()
        async with control.get("/_sandbox/ledger") as answer:
            ledger = await answer.json()
    assert paid["customer_details"]["email"] == "ann@example.com"
    assert ledger["payments"][0]["payment_intent"] == paid["payment_intent"]


async def test_balance_payouts_and_account_read_through_the_sdk(town: Town) -> None:
    balance = await town.client.v1.balance.retrieve_async()
    assert balance.available[0].currency == "usd"
    account = await town.client.v1.accounts.retrieve_current_async()
    assert account.id == town.service.account_id
    with pytest.raises(stripe.InvalidRequestError) as short:
        await town.client.v1.payouts.create_async({"amount": 100, "currency": "usd"})
    assert short.value.code == "balance_insufficient"
