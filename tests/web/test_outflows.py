"""Outflows that nothing explains, in the console: taken for one's own, or adopted by the payouts that they paid."""

from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from uuid import UUID

import pytest
from sqlalchemy import Connection, update

from domain.evidence import PackedOutflow
from domain.ledger import Asset
from storage import tables
from storage.recovery import dues_paid
from storage.recovery.adoption import submitted
from storage.treasury.movement_rows import Movement
from storage.treasury.movements import book_usdc
from tests.web.sales import fee_known, minted, paid, wallet
from tests.web.shop import Shop
from tests.web.visitor import Visitor, signed_in, visiting


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.admin.port) as visitor:
        yield visitor


async def test_an_outflow_that_may_have_been_a_payout_is_accepted_by_who_ticks_that_it_was_none(
    shop: Shop, visitor: Visitor
) -> None:
    author_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    await wallet(shop, author_id, "creator's")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    now = shop.clock.now()
    for owner in ("creator's", "a stranger's"):
        gone = Movement(f"to {owner}", "usdc", Asset.USDC, -2_350_000, 7, now, owner)
        await shop.store.write(lambda conn, gone=gone: book_usdc(conn, gone, now))  # type: ignore[misc]
    of_the_creator, of_a_stranger = ("/console/do/outflows/1/accept", "/console/do/outflows/2/accept")
    await signed_in(visitor, "approver")
    page = "/console/treasury/"
    assert (await visitor.get(page)).words.count("None of it went to somebody who is still to be paid") == 1
    filled = {"reason": "it was mine", "confirm": "accept"}
    assert (await visitor.send(page, of_a_stranger, **filled)).status == 303
    refused = await visitor.send(page, of_the_creator, **filled)
    assert refused.status == 409 and "would be paid once more" in refused.words
    assert (await visitor.send(page, of_the_creator, not_a_payout="true", **filled)).status == 303
    assert "Every outflow is explained." in (await visitor.get(page)).words


async def test_an_outflow_to_a_creator_of_a_sale_whose_nft_is_not_known_yet_may_have_been_its_payout(
    shop: Shop, visitor: Visitor
) -> None:
    """A restored database may lack the mint and the payout; the sale was paid once more, without a question."""
    author_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    await wallet(shop, author_id, "creator's")
    await paid(shop, await shop.content(author), buyer)
    now = shop.clock.now()
    for name, owner in (("hers", "creator's"), ("of several", None), ("a stranger's", "a stranger's")):
        gone = Movement(name, "usdc", Asset.USDC, -2_350_000, 7, now, owner)
        await shop.store.write(lambda conn, gone=gone: book_usdc(conn, gone, now))  # type: ignore[misc]
    await signed_in(visitor, "approver")
    filled, page = {"reason": "it was mine", "confirm": "accept"}, "/console/treasury/"
    for movement_id, status in ((1, 409), (2, 409), (3, 303)):
        assert (await visitor.send(page, f"/console/do/outflows/{movement_id}/accept", **filled)).status == status


async def test_an_outflow_is_adopted_by_the_payouts_that_a_person_names(shop: Shop, visitor: Visitor) -> None:
    author_id, author = await shop.member("author@example.com")
    other_id, other = await shop.member("other@example.com")
    _, buyer = await shop.member()
    for user_id, name, token in ((author_id, "creator's", author), (other_id, "another's", other)):
        await wallet(shop, user_id, name)
        purchase_id = await paid(shop, await shop.content(token), buyer)
        await fee_known(shop, purchase_id)
        await minted(shop, purchase_id)
    now = shop.clock.now()
    for owner, amount in (("creator's", -2_350_000), ("creator's", -1), (None, -2_350_000)):
        gone = Movement(f"{amount} to {owner}", "usdc", Asset.USDC, amount, 7, now, owner)
        await shop.store.write(lambda conn, gone=gone: book_usdc(conn, gone, now))  # type: ignore[misc]
    await signed_in(visitor, "approver")
    page = "/console/treasury/"
    assert (await visitor.get(page)).words.count("Numbers of the payouts that it paid") == 2
    filled = {"reason": "paid by hand", "confirm": "adopt"}
    for movement, payouts, status, said in (
        (1, "2", 409, "not all of these payouts are of whoever is paid at creator's"),
        (1, "1, 2", 409, "not all of these payouts are of whoever is paid at creator's"),
        (1, "99", 404, "there is no payout 99"),
        (1, "one", 422, "numbers of payouts, separated by commas"),
        (1, ",", 422, ""),
        (2, "1", 409, "these payouts, all unpaid, were not paid with 1 base units"),
    ):
        refused = await visitor.send(page, f"/console/do/outflows/{movement}/adopt", payouts=payouts, **filled)
        assert (refused.status, said in refused.words.lower()) == (status, True), refused.words
    for movement, status, code in ((3, 409, "several_recipients"), (4, 404, "outflow_not_found")):
        wish, path = {"reason": "paid by hand", "payout_ids": [1]}, f"/admin/api/outflows/{movement}/adopt"
        answer = await shop.send("POST", path, wish, "admin-approver", admin=True)
        assert (answer.status, answer.body["error"]["code"]) == (status, code)
    assert await shop.rows(tables.transfers) == 0
    assert (await visitor.send(page, "/console/do/outflows/1/adopt", payouts="#1", **filled)).status == 303
    (attempt,) = await shop.all(tables.transfer_attempts)
    assert (attempt["state"], attempt["signature"], attempt["wallet_id"]) == (
        "submitted",
        "-2350000 to creator's",
        "platform-wallet",
    )
    states = {row["id"]: row["state"] for row in await shop.all(tables.payouts)}
    assert states == {1: "pending_distribution", 2: "pending_conversion"}
    told = [row for row in await shop.all(tables.audit_log) if row["action"] == "adopt"]
    assert [(row["subject"], row["reason"]) for row in told] == [("1", "paid by hand")]
    assert '"kind": "orphan"' in told[0]["before"] and '"kind": "payout"' in told[0]["after"]


async def test_payouts_whose_order_circle_lists_get_no_outflow_by_hand(shop: Shop, visitor: Visitor) -> None:
    """Its answer was lost, the daemon has not heard of it since, and it pays."""
    author_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    await wallet(shop, author_id, "creator's")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    long_ago = shop.clock.now() - timedelta(hours=1)
    reference = await shop.store.write(lambda conn: _ordered(conn, long_ago))
    await signed_in(visitor, "approver")
    wish = {"reason": "paid by hand", "payout_ids": [1]}
    shop.at_circle.add(reference)
    refused = await shop.send("POST", "/admin/api/outflows/1/adopt", wish, "admin-approver", admin=True)
    assert (refused.status, refused.body["error"]["code"]) == (409, "may_be_on_its_way")
    shop.at_circle.clear()
    adopted = await shop.send("POST", "/admin/api/outflows/1/adopt", wish, "admin-approver", admin=True)
    assert (adopted.status, adopted.body["items"]) == (200, [])


def _ordered(conn: Connection, at: datetime) -> str:
    """The payout's order, sent, and an equal outflow that was booked before."""
    conn.execute(update(tables.payouts).values(state="pending_distribution"))
    named = {"uuid": "order", "reference": "purchase-1-distribution", "key_scope": "-"}
    batch = dues_paid.adopted_batch(conn, "circle", at)
    transfer = dues_paid.new_transfer(conn, batch, 1, named, 2_350_000, "creator's", at)
    conn.execute(update(tables.payouts).values(transfer_id=transfer.id, batch_id=batch))
    book_usdc(conn, Movement("by hand", "usdc", Asset.USDC, -2_350_000, 7, at, "creator's"), at)
    submitted(conn, transfer.id, "platform-wallet", "platform", {"adopted": "-"}, UUID(int=7), at)
    return named["reference"]


async def test_the_parts_of_a_packed_outflow_are_shown_and_adopted_all_or_none(shop: Shop, visitor: Visitor) -> None:
    _, buyer = await shop.member()
    for name in ("ada's", "bob's"):
        author_id, author = await shop.member(f"{name[:3]}@example.com")
        await wallet(shop, author_id, name)
        for _ in range(2 if name == "ada's" else 1):
            purchase_id = await paid(shop, await shop.content(author), buyer)
            await fee_known(shop, purchase_id)
            await minted(shop, purchase_id)
    now = shop.clock.now()
    legs = (("ada's", 2_350_000), ("bob's", 2_350_000))
    shop.packed["packed"] = PackedOutflow("packed", "receipt", "seed", legs, 7, now)
    gone = Movement("packed", "usdc", Asset.USDC, -4_700_000, 7, now, None)
    await shop.store.write(lambda conn: book_usdc(conn, gone, now))
    await signed_in(visitor, "approver")
    page, adopt = "/console/treasury/", "/console/do/outflows/1/adopt"
    words = (await visitor.get(page)).words
    assert words.count("2.35 USDC to") == 2 and words.count(", sale ") == 3
    filled = {"reason": "the export names them", "confirm": "adopt"}
    for payouts in ("1, 2", "1, 2, 3"):
        refused = await visitor.send(page, adopt, payouts=payouts, **filled)
        assert (refused.status, await shop.rows(tables.payout_groups)) == (409, 0)
    assert (await visitor.send(page, adopt, payouts="2", **filled)).status == 303
    states = {row["id"]: row["state"] for row in await shop.all(tables.payouts)}
    assert states == {1: "pending_conversion", 2: "pending_distribution", 3: "pending_distribution"}
    (attempt,) = await shop.all(tables.group_attempts)
    assert (attempt["state"], attempt["signature"]) == ("sent", "packed")
    assert "Every outflow is explained." in (await visitor.get(page)).words
