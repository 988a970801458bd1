"""Orders of USDC on the operator's port and in the console: who may do what, and what has to be typed."""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import pytest

from agent.web.conversion_rules import ConversionRules
from gateways.circle_mint import WireInstructions
from storage import tables
from storage.engines.sqlite import SqliteStore
from tests.web.shop import PLATFORM_ADDRESS, Shop, opened
from tests.web.visitor import signed_in, visiting

USDC = 10**6
ORDERS = "/admin/api/conversions/orders"


@pytest.fixture
async def converting(sqlite_store: SqliteStore) -> AsyncIterator[Shop]:
    """Two approvers, at most 500 USDC an order."""
    shop = Shop(sqlite_store)
    shop.settings = replace(shop.settings, conversion=ConversionRules(True, 500 * USDC, 900 * USDC, approvers=2))
    async with opened(shop):
        yield shop


async def asked(shop: Shop, method: str, path: str, body: Any = None, who: str = "approver") -> Any:
    return await shop.send(method, path, body, f"admin-{who}", admin=True)


async def test_an_order_needs_its_digest_and_as_many_people_as_the_settings_say(converting: Shop) -> None:
    made = await asked(converting, "POST", ORDERS, {"amount": "250.10", "note": "Friday"}, "operator")
    assert (made.status, made.body["state"], made.body["destination_address"]) == (201, "proposed", PLATFORM_ADDRESS)
    approve = f"{ORDERS}/{made.body['id']}/approve"
    digest = {"digest": made.body["digest"]}
    assert (await asked(converting, "POST", approve, digest, "operator")).status == 403
    assert (await asked(converting, "POST", approve, {"digest": "0" * 64})).code == "digest_differs"
    for _ in range(2):
        assert (await asked(converting, "POST", approve, digest)).body["state"] == "proposed"
    other = {"name": "second", "role": "approver"}
    mine = (await asked(converting, "POST", "/admin/api/tokens", other)).body["secret"]
    same = await converting.send("POST", approve, digest, mine, admin=True)
    assert (same.status, same.code) == (403, "same_person")
    assert await converting.rows(tables.conversion_approvals) == 1
    acts = [(row["action"], row["kind"]) for row in await converting.all(tables.audit_log)]
    assert acts[0] == ("propose", "conversion_order") and ("approve", "conversion_order") in acts


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"amount": "500.01"}, 409, "cap_exceeded"),
        ({"amount": "1.001"}, 422, "invalid_request"),
        ({"amount": "0"}, 422, "invalid_request"),
        ({}, 409, "nothing_to_convert"),
    ],
)
async def test_what_is_no_order_is_refused(converting: Shop, body: dict[str, str], status: int, code: str) -> None:
    refused = await asked(converting, "POST", ORDERS, body, "operator")
    assert (refused.status, refused.code) == (status, code)


async def test_the_console_proposes_shows_and_takes_back_and_asks_for_the_digest_of_what_it_approves(
    converting: Shop,
) -> None:
    page, do = "/console/treasury/", "/console/do/conversions/orders"
    converting.wires = [WireInstructions("w1", "CIR13FB13A", "CIRCLE", "A BANK", "****7427", "322286803", "SIVGUS66")]
    async with visiting(converting.admin.port) as visitor:
        await signed_in(visitor, "approver")
        assert (await visitor.send(page, do, amount="250.10", note="Friday")).status == 303
        (row,) = await converting.all(tables.conversion_orders)
        shown = await visitor.get(page)
        assert "250.10" in shown.words and row["digest"][:8] in shown.words
        assert (await visitor.send(page, f"{do}/1/approve", digest=row["digest"], confirm="approve")).status == 422
        agreed = await visitor.send(page, f"{do}/1/approve", digest=row["digest"], confirm=row["digest"][:8])
        assert "Approved." in (await visitor.follow(agreed)).words
        assert "CIR13FB13A" in (await visitor.get("/console/treasury/wire")).words
        gone = await visitor.send(page, f"{do}/1/cancel", reason="not today")
        assert "Taken back." in (await visitor.follow(gone)).words


async def test_with_manual_conversion_the_page_offers_no_order_and_the_api_says_why(shop: Shop) -> None:
    refused = await asked(shop, "POST", ORDERS, {"amount": "1.00"}, "operator")
    assert (refused.status, refused.code) == (409, "conversion_is_manual")
    async with visiting(shop.admin.port) as visitor:
        await signed_in(visitor, "approver")
        assert "Orders at Circle Mint" not in (await visitor.get("/console/treasury/")).words
        assert (await visitor.get("/console/treasury/wire")).status == 404
