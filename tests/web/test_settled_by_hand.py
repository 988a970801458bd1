"""The operator's port and console: what is paid by hand, a debt that is repaid or forgiven, an announcement that was a
mistake. Each is written down, and each is refused once it is another matter."""

from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import Connection

from domain.ledger import Asset
from storage import tables
from storage.treasury.chain_rows import record_reading
from storage.treasury.movement_rows import Movement
from storage.treasury.movements import book_usdc
from tests.storage.test_settled_by_hand import in_debt, underpaid
from tests.web.shop import Shop
from tests.web.visitor import Visitor, signed_in, visiting


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


async def ask(shop: Shop, method: str, path: str, body: Any = None, who: str = "admin-approver") -> Any:
    return await shop.send(method, f"/admin/api/{path}", body, who, admin=True)


async def acts(shop: Shop) -> list[tuple[str, str, str]]:
    return [(row["action"], row["kind"], row["reason"]) for row in await shop.all(tables.audit_log) if row["reason"]]


async def test_what_was_paid_by_hand_is_closed_with_its_amount(shop: Shop) -> None:
    await shop.store.write(underpaid)
    (item,) = [one for one in (await ask(shop, "GET", "work?state=parked")).body["items"] if one["kind"] == "underpaid"]
    path = f"work/jobs/{item['id']}"
    assert (await ask(shop, "GET", path)).body["asked"] == "0.783333"
    for amount in (None, "0.78", "0.783334"):
        told = {"reason": "paid", "amount": amount}
        assert (await ask(shop, "POST", f"{path}/close", told)).code == "amount_differs"
    assert (await ask(shop, "POST", f"{path}/close", {"reason": "paid", "amount": "much"})).status == 422
    wish = {"reason": "sent from the treasury", "amount": "0.783333"}
    assert (await ask(shop, "POST", f"{path}/close", wish)).status == 200
    assert (await ask(shop, "POST", f"{path}/close", wish)).code == "not_parked"
    assert (await ask(shop, "GET", path)).body["asked"] is None
    accounts = {row["account"]: row["amount"] for row in await shop.all(tables.ledger_balances)}
    assert (accounts["outside"], [name for name in accounts if name.startswith("owed:") and accounts[name]]) == (
        -783_333,
        [],
    )
    assert await acts(shop) == [("close_row", "jobs", "sent from the treasury")]


async def test_the_console_shows_what_is_asked_for_and_takes_no_other_amount(shop: Shop, visitor: Visitor) -> None:
    await shop.store.write(underpaid)
    (row,) = [one for one in await shop.all(tables.jobs) if one["kind"] == "underpaid"]
    page, target = f"/console/work/jobs/{row['id']}", f"/console/do/work/jobs/{row['id']}/close"
    await signed_in(visitor, "operator")
    shown = await visitor.get(page)
    assert "To be paid by hand" in shown.words and "0.783333" in shown.words
    wrong = await visitor.send(page, target, amount="0.80", reason="sent")
    assert wrong.status == 409 and "0.783333 USDC are to be paid by hand now" in wrong.words
    done = await visitor.send(page, target, amount="0.783333", reason="sent")
    assert "Closed." in (await visitor.follow(done)).words


async def test_the_overview_counts_what_is_to_be_paid_by_hand_and_what_waits_for_its_nft(
    shop: Shop, visitor: Visitor
) -> None:
    creator = await shop.store.write(underpaid)

    def sell(conn: Connection) -> None:
        sale = creator.shop.paid(conn, creator.content, creator.shop.user(conn, "fan"))
        creator.shop.priced(conn, sale)

    await shop.store.write(sell)
    seen = (await ask(shop, "GET", "overview")).body
    assert seen["by_hand"] == {"number": 1, "amount": "0.783333"}
    assert seen["unminted"] == {"number": 1, "amount": "2.35"}
    assert seen["owed_total"] == "3.133333"
    await signed_in(visitor, "viewer")
    shown = (await visitor.get("/console/")).words
    assert "3.133333" in shown and "held and not minted yet too" in shown
    assert "not minted yet" in shown and "to be paid by hand" in shown
    person = (await ask(shop, "GET", f"users/{creator.user}")).body["creator"]
    assert person["owed"] == seen["owed_total"]


async def test_a_debt_is_repaid_and_forgiven_in_parts_under_the_figure_that_was_looked_at(shop: Shop) -> None:
    creator = await shop.store.write(in_debt)
    path, what = f"users/{creator.user}/debt/settle", {"reason": "he wrote", "owes": "2.35"}
    assert (await ask(shop, "GET", f"users/{creator.user}")).body["owes"] == "2.35"
    repaid = {**what, "way": "repaid", "amount": "2.00"}
    assert (await ask(shop, "POST", path, repaid, "admin-operator")).status == 403
    assert (await ask(shop, "POST", path, {**repaid, "deposit_id": 99})).code == "no_such_deposit"
    assert (await ask(shop, "POST", path, {**repaid, "amount": "2.36"})).code == "too_much"
    assert (await ask(shop, "POST", path, repaid)).body == {"user_id": creator.user, "owes": "0.35"}
    assert (await ask(shop, "POST", path, repaid)).code == "debt_differs"
    forgiven = {**what, "way": "forgiven", "amount": "0.35", "owes": "0.35"}
    assert (await ask(shop, "POST", path, {**forgiven, "deposit_id": 1})).status == 422
    assert (await ask(shop, "POST", path, forgiven)).body["owes"] == "0.00"
    assert (await ask(shop, "POST", "users/9999/debt/settle", repaid)).code == "user_not_found"
    assert await acts(shop) == [("settle_debt", "debt", "he wrote")] * 2
    shown = (await ask(shop, "GET", "audit?kind=debt")).body["items"]
    assert [(one["before"]["debt"], one["after"]["debt"]) for one in shown] == [(350_000, 0), (2_350_000, 350_000)]
    money = (await ask(shop, "GET", f"users/{creator.user}")).body["creator"]
    assert money["debt"] == "0.00"


async def test_an_approver_settles_a_debt_on_its_creators_page_with_a_typed_word(shop: Shop, visitor: Visitor) -> None:
    creator = await shop.store.write(in_debt)
    page, target = f"/console/creators/{creator.user}", f"/console/do/users/{creator.user}/debt/settle"
    await signed_in(visitor, "operator")
    assert not (await visitor.get(page)).has_form(target)
    await signed_in(visitor, "approver")
    filled = {"way": "forgiven", "amount": "2.35", "reason": "an error of ours"}
    assert (await visitor.send(page, target, **filled)).status == 422
    refused = await visitor.send(page, target, **{**filled, "amount": "9"}, confirm="settle")
    assert refused.status == 409 and '<details class="panel risky" open>' in refused.text
    done = await visitor.follow(await visitor.send(page, target, **filled, confirm="settle"))
    assert "Settled, and booked." in done.words
    assert not done.has_form(target)


async def test_a_deposit_of_ones_own_is_accepted_in_the_console_with_a_typed_word(shop: Shop, visitor: Visitor) -> None:
    now = shop.clock.now()
    for name, amount in (("first", 5_000_000), ("second", 7_000_000)):
        came = Movement(name, shop.usdc_account, Asset.USDC, amount, 7, now, "treasurer")
        await shop.store.write(lambda conn, came=came: book_usdc(conn, came, now))  # type: ignore[misc]
    page, target = "/console/treasury/", "/console/do/deposits/1/accept"
    await signed_in(visitor, "operator")
    assert not (await visitor.get(page)).has_form(target)
    await signed_in(visitor, "approver")
    assert (await visitor.send(page, target, reason="a loan")).status == 422
    done = await visitor.follow(await visitor.send(page, target, reason="a loan", confirm="accept"))
    assert "Accepted as your own." in done.words
    assert not done.has_form(target) and done.has_form(target.replace("1", "2"))
    listed = (await ask(shop, "GET", "deposits")).body["items"]
    assert [(one["unexplained"], one["own"]) for one in listed] == [("7.00", "0.00"), ("0.00", "5.00")]
    assert [one["id"] for one in (await ask(shop, "GET", "deposits?unexplained=true")).body["items"]] == [2]
    assert (await ask(shop, "GET", "deposits?unexplained=true&before=2")).body["items"] == []
    assert (
        await ask(shop, "POST", "deposits/1/accept", {"amount": "5.00", "reason": "again"})
    ).code == "amount_differs"
    assert await acts(shop) == [("accept", "deposit", "a loan")]


async def test_a_deposit_that_was_not_an_announcements_is_taken_back_in_the_console(
    shop: Shop, visitor: Visitor
) -> None:
    made = (await ask(shop, "POST", "conversions", {"usd_cents": 500, "note": "wire 7"})).body
    now = shop.clock.now()
    came = Movement("a loan", shop.usdc_account, Asset.USDC, 5_000_000, 7, now, "treasurer")
    await shop.store.write(lambda conn: book_usdc(conn, came, now))
    (row,) = (await ask(shop, "GET", "conversions")).body["items"]
    assert (row["shares"], row["can_be_withdrawn"]) == ([{"deposit_id": 1, "amount": "5.00"}], False)
    page, target = "/console/treasury/", "/console/do/deposits/1/unmatch"
    await signed_in(visitor, "operator")
    assert not (await visitor.get(page)).has_form(target)
    wish = {"conversion_id": made["id"], "amount": "5.00", "reason": "a loan"}
    assert (await ask(shop, "POST", "deposits/1/unmatch", wish, "admin-operator")).status == 403
    await signed_in(visitor, "approver")
    assert (await visitor.send(page, target, reason="a loan")).status == 422
    done = await visitor.follow(await visitor.send(page, target, reason="a loan", confirm="unmatch"))
    assert "Not that one's any more" in done.words
    assert not done.has_form(target) and done.has_form("/console/do/deposits/1/accept")
    assert (await ask(shop, "POST", "deposits/1/unmatch", wish)).code == "undone_already"
    assert (await ask(shop, "POST", "deposits/99/unmatch", wish)).status == 404
    (row,) = (await ask(shop, "GET", "conversions")).body["items"]
    assert (row["shares"], row["can_be_withdrawn"]) == ([], True)
    assert await acts(shop) == [("unmatch", "deposit", "a loan")]


async def test_an_announcement_is_withdrawn_in_the_console_while_nothing_has_come(shop: Shop, visitor: Visitor) -> None:
    made = (await ask(shop, "POST", "conversions", {"usd_cents": 11_250, "note": "wire 7"})).body
    page, target = "/console/treasury/", f"/console/do/conversions/{made['id']}/withdraw"
    assert made["can_be_withdrawn"] is True
    await signed_in(visitor, "viewer")
    assert not (await visitor.get(page)).has_form(target)
    await signed_in(visitor, "operator")
    unknown = await visitor.send(page, target, reason="the bank refused it")
    assert unknown.status == 409 and "nobody knows whether something has come" in unknown.words
    now = shop.clock.now()
    await shop.store.write(lambda conn: record_reading(conn, "treasury_usdc", 0, 9, now))
    done = await visitor.follow(await visitor.send(page, target, reason="the bank refused it"))
    assert "Withdrawn." in done.words
    assert not done.has_form(target)
    assert (await ask(shop, "POST", f"conversions/{made['id']}/withdraw", {"reason": "again"})).code == (
        "withdrawn_already"
    )
    (row,) = (await ask(shop, "GET", "conversions")).body["items"]
    assert (row["withdrawn_at"] is None, row["can_be_withdrawn"]) == (False, False)
    assert {one["account"]: one["amount"] for one in await shop.all(tables.ledger_balances)} == {
        "conversion:clearing": 0,
        "stripe:balance": 0,
    }
    assert await acts(shop) == [("withdraw", "conversion", "the bank refused it")]
