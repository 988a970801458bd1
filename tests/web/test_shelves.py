"""Library, purchase and dashboard: the figures of product.md, for their owner alone."""

from typing import Any

from domain.states import PurchaseStatus, UsdcStatus
from storage import tables
from storage.history import advance
from storage.store import Store
from tests.web.sales import fee_known, minted, move_payouts, paid, wallet
from tests.web.shop import Shop, opened


async def test_a_purchase_shows_every_figure_of_the_three_dollar_example_as_it_becomes_known(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        author_id, author = await shop.member("author@example.com")
        buyer_id, buyer = await shop.member()
        purchase_id = await paid(shop, await shop.content(author), buyer)
        path = f"/api/purchases/{purchase_id}/"
        fresh = (await shop.send("GET", path, token=buyer)).body
        assert (fresh["gross_amount"], fresh["status"]) == ("3.00", "payment_completed")
        assert (fresh["stripe_fee"], fresh["net_after_stripe"], fresh["usdc_amount"]) == (None, None, None)
        assert (fresh["usdc_payment_status"], fresh["payouts"], fresh["nft_minted"]) == ("", [], False)
        assert (fresh["waits_for_wallet"], fresh["circle_mint_transaction_id"]) == (True, "")
        await wallet(shop, buyer_id, "BuyerWallet")
        await fee_known(shop, purchase_id)
        await minted(shop, purchase_id)
        done = (await shop.send("GET", path, token=buyer)).body
        assert (done["stripe_fee"], done["net_after_stripe"], done["usdc_amount"]) == ("0.39", "2.61", "2.35")
        assert (fresh["available_on"], done["available_on"]) == (None, "2026-11-23T09:20:00Z")
        assert (done["status"], done["nft_minted"], done["mint_cost"]) == ("completed", True, "0.00")
        assert (done["network_cost_lamports"], done["mint_signature"]) == (5_000, f"sig{purchase_id}")
        assert done["usdc_payment_status"] == "pending_conversion"
        (payout,) = done["payouts"]
        assert (payout["recipient_id"], payout["amount"], payout["share_bps"]) == (author_id, "2.35", 10_000)
        await move_payouts(
            shop,
            purchase_id,
            UsdcStatus.PENDING_DISTRIBUTION,
            UsdcStatus.DISTRIBUTED,
            signature="transfer-sig",
            in_full=True,
            distributed_at=shop.clock.now(),
        )
        settled = (await shop.send("GET", path, token=buyer)).body
        assert (settled["usdc_payment_status"], settled["usdc_transfer_signature"]) == ("distributed", "transfer-sig")
        assert settled["usdc_distributed_at"] == "2026-11-23T09:20:00Z"


async def test_with_two_recipients_the_signatures_are_in_the_payouts_only(shop: Shop) -> None:
    author_id, author = await shop.member("author@example.com")
    second, _ = await shop.member("second@example.com")
    _, buyer = await shop.member()
    shares = [{"user_id": author_id, "share_bps": 5_000}, {"user_id": second, "share_bps": 5_000}]
    purchase_id = await paid(shop, await shop.content(author, collaborators=shares), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    await move_payouts(
        shop,
        purchase_id,
        UsdcStatus.PENDING_DISTRIBUTION,
        UsdcStatus.DISTRIBUTED,
        signature="transfer-sig",
        in_full=True,
    )
    shown = (await shop.send("GET", f"/api/purchases/{purchase_id}/", token=buyer)).body
    assert (shown["usdc_payment_status"], shown["usdc_transfer_signature"]) == ("distributed", None)
    assert [payout["amount"] for payout in shown["payouts"]] == ["1.175", "1.175"]
    assert {payout["usdc_transfer_signature"] for payout in shown["payouts"]} == {"transfer-sig"}


async def test_the_library_names_where_each_purchase_stands(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        _, author = await shop.member("author@example.com")
        buyer_id, buyer = await shop.member()
        first = await paid(shop, await shop.content(author, title="First"), buyer)
        second = await paid(shop, await shop.content(author, title="Second"), buyer)

        async def statuses() -> dict[int, str]:
            items = (await shop.send("GET", "/api/library/", token=buyer)).body["items"]
            return {item["purchase_id"]: item["status"] for item in items}

        assert await statuses() == {second: "waiting_for_wallet", first: "waiting_for_wallet"}
        await wallet(shop, buyer_id, "BuyerWallet")
        assert await statuses() == {second: "minting", first: "minting"}
        await minted(shop, first)
        await shop.store.write(lambda conn: advance(conn, second, PurchaseStatus.FAILED, shop.clock.now(), "no luck"))
        assert await statuses() == {second: "minting", first: "owned"}
        await shop.store.write(
            lambda conn: conn.execute(
                tables.purchases.update().where(tables.purchases.c.id == first).values(nft_transferred=True)
            )
        )
        await shop.store.write(lambda conn: advance(conn, second, PurchaseStatus.REFUNDED, shop.clock.now()))
        assert await statuses() == {second: "refunded", first: "transferred"}


async def test_an_unpaid_session_is_not_in_the_library(shop: Shop) -> None:
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    content_id = await shop.content(author)
    await shop.send("POST", "/api/checkout/stripe/", {"content_id": content_id}, buyer)
    assert (await shop.send("GET", "/api/library/", token=buyer)).body == {"items": [], "next": None}


async def test_the_dashboard_counts_a_sale_once_from_its_fee_to_its_payout(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        creator_id, author = await shop.member("author@example.com")
        _, buyer = await shop.member()
        path = f"/api/creators/{creator_id}/dashboard/"

        async def figures() -> tuple[Any, ...]:
            shown = (await shop.send("GET", path, token=author)).body
            names = ("total_sales_usd", "pending_distribution", "pending_sales", "paid_out", "held", "debt")
            return tuple(shown[name] for name in names)

        content_id = await shop.content(author)
        first = await paid(shop, content_id, buyer)
        assert await figures() == ("0.00", "0.00", 0, "0.00", "0.00", "0.00")
        await fee_known(shop, first)
        assert await figures() == ("2.35", "2.35", 1, "0.00", "0.00", "0.00")
        await minted(shop, first)
        assert await figures() == ("2.35", "2.35", 1, "0.00", "0.00", "0.00")
        await move_payouts(
            shop, first, UsdcStatus.PENDING_DISTRIBUTION, UsdcStatus.ON_HOLD, state_before_hold="pending_distribution"
        )
        assert await figures() == ("2.35", "0.00", 0, "0.00", "2.35", "0.00")
        await move_payouts(
            shop,
            first,
            UsdcStatus.PENDING_DISTRIBUTION,
            UsdcStatus.DISTRIBUTED,
            signature="transfer-sig",
            in_full=True,
        )
        assert (await figures())[:5] == ("2.35", "0.00", 0, "2.35", "0.00")
        shown = (await shop.send("GET", path, token=author)).body
        assert shown["next_payout_at"] == "2026-11-30T09:00:00Z"


async def test_the_available_balance_is_what_the_chain_says_or_nothing_never_an_invented_zero(shop: Shop) -> None:
    creator_id, author = await shop.member()
    path = f"/api/creators/{creator_id}/dashboard/"

    async def available() -> tuple[str | None, bool]:
        shown = (await shop.send("GET", path, token=author)).body
        return shown["available_balance"], shown["available_balance_unavailable"]

    assert await available() == (None, False)
    await wallet(shop, creator_id, "CreatorWallet")
    assert await available() == ("0.00", False)
    shop.usdc = 2_350_000
    assert await available() == ("2.35", False)
    shop.usdc = None
    assert await available() == (None, True)


async def test_what_belongs_to_others_does_not_exist(shop: Shop) -> None:
    creator_id, author = await shop.member("author@example.com")
    _, buyer = await shop.member()
    _, stranger = await shop.member("stranger@example.com")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    for path in (
        f"/api/purchases/{purchase_id}/",
        f"/api/creators/{creator_id}/dashboard/",
        "/api/purchases/999/",
        "/api/creators/999/dashboard/",
    ):
        answer = await shop.send("GET", path, token=stranger)
        assert (answer.status, answer.code) == (404, "not_found"), path
    assert (await shop.send("GET", "/api/library/", token=stranger)).body["items"] == []
    assert (await shop.send("GET", f"/api/purchases/{purchase_id}/", token=author)).status == 404
