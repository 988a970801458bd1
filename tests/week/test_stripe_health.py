"""Stripe stops sending events, or its balance falls below zero: noticed within the hour, and no sale is lost."""

import json
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from sandbox.service import Request
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
