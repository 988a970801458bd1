"""The operator at night: what waits for a person is told on the first page, and mended from the page of the sale."""

import re
from collections.abc import AsyncIterator
from html import unescape
from typing import Any

import pytest
from sqlalchemy import insert, update

from domain.states import UsdcStatus
from storage import tables
from storage.work import ask_person
from tests.web.sales import fee_known, minted, move_payouts, paid
from tests.web.shop import Shop
from tests.web.test_admin import parked_job
from tests.web.visitor import Visitor, signed_in, visiting


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


async def owed(shop: Shop) -> int:
    """A sale of $3.00, minted and priced."""
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member("buyer@example.com")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    return purchase_id


async def write(shop: Shop, table: Any, rows: list[dict[str, Any]]) -> None:
    await shop.store.write(lambda conn: conn.execute(insert(table), rows))


async def batched(shop: Shop, **columns: Any) -> None:
    now = shop.clock.now()
    row = {"uuid": "b-1", "key": "offcycle:b-1", "cutoff_at": now, "status": "planned", "grouping": "purchase"}
    more = {"rail": "solana", "payout_count": 1, "planned_amount": 2_350_000, "created_at": now}
    await write(shop, tables.batches, [row | more | columns])


async def test_all_is_well_only_while_no_money_waits_for_a_person(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    assert "The wallet can't be read: It was never read so far." in (await visitor.get("/console/")).words
    read = {"name": "treasury_usdc", "amount": 500_000_000, "slot": 1, "read_at": shop.clock.now()}
    await write(shop, tables.readings, [read])
    shop.clock.pass_(seconds=3)
    assert "All well." in (await visitor.get("/console/")).words
    purchase_id = await owed(shop)
    await move_payouts(shop, purchase_id, UsdcStatus.PENDING_DISTRIBUTION, UsdcStatus.FAILED, reason="Circle: DENIED")
    await batched(shop, paused=True, pause_reason="its total is above the cap")
    shop.clock.pass_(seconds=3)
    told = await visitor.get("/console/")
    assert "All well" not in told.words
    assert "Not paid, and given up: 1 payout, 2.35 USDC" in told.words
    assert 'href="/console/purchases/?payout_state=failed"' in told.text
    assert "Paused: offcycle:b-1. Its total is above the cap." in told.words
    shop.clock.pass_(seconds=301)
    assert (
        "The wallet can't be read: Its balances are older than five minutes." in (await visitor.get("/console/")).words
    )


async def test_a_wallet_below_what_is_wanted_is_marked(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    for name, amount, marked, said in (
        (
            "treasury_usdc",
            499_999_999,
            "wait",
            "The wallet is low on USDC: It holds 499.999999 USDC, and 500.00 are wanted.",
        ),
        (
            "treasury_sol",
            499_999_999,
            "bad",
            "The wallet is low on SOL: It holds 0.499999999 SOL, and 0.50 are wanted:",
        ),
    ):
        await write(shop, tables.readings, [{"name": name, "amount": amount, "slot": 1, "read_at": shop.clock.now()}])
        shop.clock.pass_(seconds=3)
        page = await visitor.get("/console/")
        assert said in page.words and "All well" not in page.words
        assert re.search(rf'<div class="figure {marked}">\s*<span class="label"><a[^>]*>Wallet<', page.text)


async def test_what_is_covered_is_in_flight_once_a_batch_has_it(shop: Shop, visitor: Visitor) -> None:
    await signed_in(visitor, "viewer")
    purchase_id = await owed(shop)
    await move_payouts(shop, purchase_id, UsdcStatus.PENDING_DISTRIBUTION)
    seen = (await shop.send("GET", "/admin/api/overview", token="admin-viewer", admin=True)).body
    assert (seen["in_flight"]["amount"], seen["covered"]) == ("0.00", {"number": 1, "amount": "2.35"})
    assert "2.35 more covered, in no batch yet" in (await visitor.get("/console/")).words
    await batched(shop)
    await shop.store.write(lambda conn: conn.execute(tables.payouts.update().values(batch_id=1)).rowcount)
    shop.clock.pass_(seconds=3)
    seen = (await shop.send("GET", "/admin/api/overview", token="admin-viewer", admin=True)).body
    assert (seen["in_flight"], seen["covered"]["number"]) == ({"number": 1, "amount": "2.35"}, 0)
    assert "more covered" not in (await visitor.get("/console/")).words


async def test_amounts_of_the_books_and_of_the_audit_log_have_units_that_people_read(
    shop: Shop, visitor: Visitor
) -> None:
    purchase_id = await owed(shop)
    conversion = {"usd_cents": 11_250, "note": "by wire"}
    announced = await shop.send("POST", "/admin/api/conversions", conversion, "admin-operator", admin=True)
    assert announced.status == 201
    await signed_in(visitor, "viewer")
    purchase = " ".join((await visitor.get(f"/console/purchases/{purchase_id}")).words.split())
    assert "100 %" in purchase and "bps" not in purchase
    for path in (f"purchases/{purchase_id}", "ledger/", "ledger/entries"):
        page = await visitor.get(f"/console/{path}")
        assert "-3.00" in page.words and "-2.35" in page.words and "base units" not in page.words, path
    audit = " ".join((await visitor.get("/console/audit/")).words.split())
    assert "usd 112.50 USD" in audit and "expected usdc 112.50 USDC" in audit


async def test_all_outflows_are_counted_and_the_page_says_that_it_shows_the_newest(
    shop: Shop, visitor: Visitor
) -> None:
    now = shop.clock.now()

    async def stops_sends() -> bool:
        status = (await shop.send("GET", "/admin/api/status", token="admin-viewer", admin=True)).body
        return bool(status["unexplained_outflow"])

    assert not await stops_sends()
    await write(
        shop,
        tables.chain_movements,
        [
            {
                "signature": f"out{number}",
                "account": shop.usdc_account,
                "asset": "usdc_base_units",
                "amount": -1,
                "slot": number,
                "kind": "orphan",
                "created_at": now,
            }
            for number in range(101)
        ],
    )
    assert await stops_sends()
    await signed_in(visitor, "viewer")
    assert "101 outflows of the wallet fit no payout" in (await visitor.get("/console/")).words
    assert "The newest 20; the others follow as these are settled." in (await visitor.get("/console/treasury/")).words


async def test_a_sale_leads_to_all_work_on_it_and_shows_its_packed_attempts(shop: Shop, visitor: Visitor) -> None:
    purchase_id, now = await owed(shop), shop.clock.now()
    await batched(shop)
    (payout,) = await shop.all(tables.payouts)
    transfer = {
        "uuid": "t-1",
        "batch_id": 1,
        "recipient_id": payout["recipient_id"],
        "reference": "r",
        "key_scope": "k",
    }
    goes = {"amount": 2_350_000, "destination_address": "owner", "created_at": now}
    await write(shop, tables.transfers, [transfer | goes])
    await shop.store.write(lambda conn: conn.execute(update(tables.payouts).values(transfer_id=1, batch_id=1)))
    group = {"id": 7, "uuid": "g-7", "batch_id": 1, "state": "open", "format": "v0", "memo": "", "seed": "s"}
    await write(
        shop, tables.payout_groups, [group | {"receipt_address": "slip", "amount": 9_000_000, "created_at": now}]
    )
    member = {"group_id": 7, "transfer_id": 1, "destination_address": "owner", "amount": 2_350_000}
    await write(shop, tables.group_members, [member])
    attempt = {"group_id": 7, "attempt": 1, "state": "sent", "wallet_id": "w", "platform_address": "p"}
    await write(shop, tables.group_attempts, [attempt | {"signature": "packed-signature", "created_at": now}])
    await parked_job(shop, "packed_settle", 7)
    await parked_job(shop, "packed_settle", 8)
    await parked_job(shop, "refund", purchase_id)
    subject = str(payout["id"])
    await shop.store.write(
        lambda conn: ask_person(conn, "underpaid", subject, "underpaid", "7 units more are due", now)
    )
    await signed_in(visitor, "operator")
    shown = await visitor.get(f"/console/purchases/{purchase_id}")
    assert "Attempts to pay, packed with others" in shown.words
    assert 'data-copy="packed-signature"' in shown.text
    mine = {(row["kind"], row["subject"]): row["id"] for row in await shop.all(tables.jobs) if row["state"] == "parked"}
    others = mine.pop(("packed_settle", "8"))
    assert set(mine) == {("packed_settle", "7"), ("refund", str(purchase_id)), ("underpaid", subject)}
    for job_id in mine.values():
        assert f'href="/console/work/jobs/{job_id}"' in shown.text
    assert f'href="/console/work/jobs/{others}"' not in shown.text
    page = f"/console/work/jobs/{mine['refund', str(purchase_id)]}"
    again = await visitor.send(page, page.replace("/console", "/console/do") + "/retry", confirm="retry")
    assert again.headers["Location"] == "/console/work/?done=retry"


async def test_work_of_one_kind_stays_so_on_its_next_page_and_says_so(shop: Shop, visitor: Visitor) -> None:
    for number in (1, 2):
        await parked_job(shop, "mint", number)
    await parked_job(shop, "refund", 1)
    await signed_in(visitor, "viewer")
    first = await visitor.get("/console/work/?kind=mint&limit=1")
    assert "Only mint; all kinds." in first.words
    further = re.search(r'href="([^"]+)" rel="next"', first.text)
    assert further is not None
    second = await visitor.get(unescape(further[1]))
    assert "Only mint" in second.words
    assert "refund" not in second.words


async def test_a_batch_is_followed_closely_until_it_is_settled(shop: Shop, visitor: Visitor) -> None:
    await batched(shop, status="sending")
    await signed_in(visitor, "viewer")
    page = await visitor.get("/console/batches/1")
    assert 'hx-trigger="every 2s"' in page.text
    assert '<span id="number">1</span>' in page.text
    await shop.store.write(lambda conn: conn.execute(update(tables.batches).values(status="settled")))
    assert 'hx-trigger="every 15s"' in (await visitor.get("/console/batches/1")).text


@pytest.mark.parametrize("status", ["sending", "settled"])
async def test_a_paused_batch_goes_on_only_by_its_word(status: str, shop: Shop, visitor: Visitor) -> None:
    """A settled one too: a failed payout of it that is retried waits while it is paused."""
    await batched(shop, status=status, paused=True, pause_reason="above the cap")
    await signed_in(visitor, "operator")
    refused = await visitor.send("/console/batches/1", "/console/do/batches/1/resume")
    assert (refused.status, "type “resume” to confirm" in refused.words.lower()) == (422, True)
    assert [row["paused"] for row in await shop.all(tables.batches)] == [True]
    assert (await visitor.send("/console/batches/1", "/console/do/batches/1/resume", confirm="resume")).status == 303
    assert [row["paused"] for row in await shop.all(tables.batches)] == [False]
