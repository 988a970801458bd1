"""Stripe stops sending events, or sends others than we read, or its balance falls below zero: noticed within the hour,
and no sale is lost."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from agent.steps import events_sweep, stripe_watch
from gateways.stripe_client import API_VERSION
from sandbox.service import Request
from tests.logged import logged
from tests.week.checker import rows_of
from tests.week.people import eventually, gallery, on_virtual_time, shelf_says
from tests.week.test_refunds import Gallery


def reading(shop: Gallery, name: str) -> int | None:
    rows = rows_of(shop.world, f"SELECT amount FROM readings WHERE name = '{name}'")
    return rows[0]["amount"] if rows else None


def stripe(shop: Gallery, method: str, path: str, **values: str) -> dict[str, Any]:
    """A call of Stripe's API by somebody else with the account's key."""
    headers = {"authorization": "Bearer sk_test_virtual", "content-type": "application/x-www-form-urlencoded"}
    answer = shop.world.stripe.handle(Request(method, path, "", headers, urlencode(values).encode()))
    assert answer.status == 200, answer
    return dict(json.loads(answer.body))


@on_virtual_time
async def test_a_disabled_webhook_endpoint_is_noticed_and_its_sales_are_found_by_the_sweep(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    await eventually(shop.world, "the endpoint was looked at", lambda: _is(reading(shop, "stripe_webhook"), 1))
    await shop.sell()
    endpoint = stripe(shop, "GET", "/v1/webhook_endpoints")["data"][0]["id"]
    stripe(shop, "POST", f"/v1/webhook_endpoints/{endpoint}", disabled="true")
    token, _ = await shop.pay()
    await shop.world.clock.sleep(600)
    assert await shop.library(token) == []
    await shelf_says(shop, token, "owned", 4_000)
    assert reading(shop, "stripe_webhook") == 0
    await shop.close()


@on_virtual_time
async def test_an_endpoint_of_another_version_or_without_a_type_is_told_of_until_it_is_mended(tmp_path: Path) -> None:
    """An endpoint keeps the version of its making, and a dashboard shows which types it sends."""
    shop = gallery(tmp_path)
    await shop.open()
    await eventually(shop.world, "the endpoint was looked at", lambda: _is(reading(shop, "stripe_webhook"), 1))
    (endpoint,) = shop.world.stripe._world.post_office.endpoints.values()

    async def told() -> list[str]:
        with logged(stripe_watch) as lines:
            await shop.world.clock.sleep(3_700)
        return [line["why"] for line in lines if line["event"].startswith("Stripe's webhook endpoint")]

    assert await told() == []
    endpoint.api_version = "2022-08-01"
    assert await told() == ["its API version is 2022-08-01"]
    endpoint.api_version, endpoint.enabled_events = API_VERSION, ["payment_intent.succeeded"]
    (why,) = await told()
    assert why.startswith("it is not told of charge.dispute.closed")
    assert reading(shop, "stripe_webhook") == 1
    endpoint.enabled_events = ["*"]
    assert await told() == []
    await shop.close()


@on_virtual_time
async def test_a_daemon_that_was_down_for_longer_than_stripe_lists_events_says_so(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    await shop.sell()
    with logged(events_sweep) as lines:
        await shop.world.stop()
        shop.world.clock.shift(timedelta(days=3))
        await shop.world.start()
        await shop.sell()
    assert [line for line in lines if line["log_level"] == "error"] == []
    with logged(events_sweep) as lines:
        await shop.world.stop()
        shop.world.clock.shift(timedelta(days=31))
        await shop.world.start()
        await shop.sell()
    (line,) = [line for line in lines if line["log_level"] == "error"]
    assert line["event"].startswith("events of before are listed no more")
    await shop.close()


@on_virtual_time
async def test_a_negative_balance_at_stripe_is_noticed_and_sales_mints_and_payouts_go_on(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    await shop.open()
    controls: Any = shop.world.stripe.controls
    _, _, payment = await shop.sell()
    controls.open_dispute(payment)
    await shop.world.stop()
    await shop.world.start()
    await eventually(shop.world, "the balance was looked at", lambda: _below(reading(shop, "stripe_balance")))
    purchase_id, _, _ = await shop.sell()
    assert purchase_id
    await shop.close()


async def _is(found: int | None, wanted: int) -> bool:
    return found == wanted


async def _below(found: int | None) -> bool:
    return found is not None and found < 0
