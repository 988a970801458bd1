"""Purchases under the operator's hands: found by any id, held, refunded and released, each act on record."""

from datetime import timedelta
from typing import Any

from sqlalchemy import insert, update

from domain.states import RefundState
from storage import tables
from storage.reading.search import BUYERS_MOST
from storage.sales.returns import DisputeSeen, RefundSeen, record_dispute, record_refund
from storage.store import Store
from tests.verified import first_findings
from tests.web.sales import fee_known, minted, paid, wallet
from tests.web.shop import PASSWORD, Reply, Shop, opened

APPROVER, OPERATOR, VIEWER = "admin-approver", "admin-operator", "admin-viewer"
ROOT = "/admin/api/purchases"


async def get(shop: Shop, path: str) -> Any:
    answer = await shop.send("GET", f"{ROOT}{path}", token=VIEWER, admin=True)
    assert answer.status == 200, answer.body
    return answer.body


async def act(shop: Shop, purchase_id: int, what: str, token: str = APPROVER, **body: Any) -> Reply:
    return await shop.send("POST", f"{ROOT}/{purchase_id}/{what}", {"reason": "asked", **body}, token, admin=True)


async def sold(shop: Shop) -> int:
    """A sale of $3.00, minted and priced: 2.35 USDC are owed."""
    _, author = await shop.member("author@example.com")
    _, buyer = await shop.member("buyer@example.com")
    purchase_id = await paid(shop, await shop.content(author), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    return purchase_id


async def money(shop: Shop, purchase_id: int) -> dict[str, str]:
    """What a money act must carry."""
    shown = await get(shop, f"/{purchase_id}")
    return {"confirm": shown["purchase"]["stripe_payment_intent_id"], "version": shown["version"]}


async def acts(shop: Shop, purchase_id: int) -> list[tuple[str, str | None]]:
    path = f"/admin/api/audit?kind=purchase&subject={purchase_id}"
    answer = await shop.send("GET", path, token=VIEWER, admin=True)
    return [(row["action"], row["reason"]) for row in reversed(answer.body["items"])]


async def test_a_purchase_is_found_by_any_id_that_somebody_may_hold_in_his_hand(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        purchase_id = await sold(shop)
        _, other_buyer = await shop.member("other@example.com")
        other = await paid(shop, 1, other_buyer)
        await shop.store.write(
            lambda conn: record_refund(
                conn, purchase_id, RefundSeen("re_1", 100, RefundState.SUCCEEDED, None), shop.clock.now()
            )
        )
        (row,) = [row for row in await shop.all(tables.purchases) if row["id"] == purchase_id]
        for text in (
            *(str(purchase_id), row["uuid"], row["stripe_payment_intent_id"], row["stripe_checkout_session_id"]),
            *(row["stripe_charge_id"], row["nft_mint_address"], row["mint_signature"], "re_1", "BUYER@"),
        ):
            assert [one["id"] for one in (await get(shop, f"?text={text}"))["items"]] == [purchase_id], text
        assert (await get(shop, "?text=9999999999999999999"))["items"] == []
        for query, wanted in (
            ("status=completed", [purchase_id]),
            ("payout_state=pending_conversion", [purchase_id]),
            ("held=true", []),
            (f"buyer_id={row['buyer_id']}", [purchase_id]),
            ("creator_id=1", [purchase_id]),
            ("content_id=1", [other, purchase_id]),
        ):
            assert [one["id"] for one in (await get(shop, f"?{query}"))["items"]] == wanted, query
        first = await get(shop, "?limit=1")
        assert [one["id"] for one in first["items"]] == [other]
        (line,) = (await get(shop, f"?limit=1&before={first['next']}"))["items"]
        assert (line["creators"], line["platform"], line["gross_amount"]) == ("2.35", "0.26", "3.00")
        assert (line["refunded_amount"], line["usdc_payment_status"]) == ("1.00", "pending_conversion")


async def test_the_first_letter_of_many_addresses_finds_the_newest_sales_of_all_of_them(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        purchase_id = await sold(shop)
        crowd = [
            {
                "uuid": f"crowd-{number}",
                "email": f"b{number}@example.com",
                "username": "b",
                "password_hash": "-",
                "wallet_state": "none",
                "created_at": shop.clock.now(),
            }
            for number in range(BUYERS_MOST)
        ]
        await shop.store.write(lambda conn: conn.execute(insert(tables.users), crowd))
        _, late = await shop.member("bz@example.com")
        last = await paid(shop, 1, late)
        assert [one["id"] for one in (await get(shop, "?text=b"))["items"]] == [last, purchase_id]
        assert [one["id"] for one in (await get(shop, "?text=bz"))["items"]] == [last]
        assert (await get(shop, "?text=c"))["items"] == []


async def test_a_hold_stops_the_money_and_its_end_lets_it_go_but_a_dispute_s_hold_is_stripe_s(shop: Shop) -> None:
    purchase_id = await sold(shop)
    held = await act(shop, purchase_id, "hold", OPERATOR)
    assert (held.status, held.body["purchase"]["usdc_payment_status"]) == (200, "on_hold")
    assert held.body["purchase"]["hold_reason"] == "operator: asked"
    assert (await act(shop, purchase_id, "hold", OPERATOR)).code == "held_already"

    def dispute(status: str) -> Any:
        seen = DisputeSeen("dp_1", 300, status, 0, 0, shop.clock.now())
        return lambda conn: record_dispute(conn, purchase_id, seen, shop.clock.now())

    await shop.store.write(dispute("needs_response"))
    freed = await act(shop, purchase_id, "unhold", OPERATOR)
    assert freed.body["purchase"]["hold_reason"] == "dispute dp_1"
    assert (await act(shop, purchase_id, "unhold", OPERATOR)).code == "held_by_dispute"
    shop.clock.pass_(hours=1)
    await shop.store.write(dispute("won"))
    assert (await get(shop, f"/{purchase_id}"))["purchase"]["usdc_payment_status"] == "pending_conversion"
    assert (await act(shop, purchase_id, "unhold", OPERATOR)).code == "not_held"
    assert await acts(shop, purchase_id) == [("hold", "asked"), ("unhold", "asked")]
    moves = [(row["machine"], row["after"]) for row in (await get(shop, f"/{purchase_id}"))["history"]]
    assert ("hold", "held") in moves and ("hold", "released") in moves


async def test_what_an_operator_writes_beside_a_hold_is_not_told_to_buyer_or_creator(shop: Shop) -> None:
    purchase_id = await sold(shop)
    assert (await act(shop, purchase_id, "hold", reason="the buyer's card looks stolen")).status == 200
    for email, path in (("buyer", f"/api/purchases/{purchase_id}/"), ("author", "/api/creators/1/sales/")):
        wish = {"email": f"{email}@example.com", "password": PASSWORD}
        token = (await shop.send("POST", "/api/auth/login/", wish)).body["token"]
        told = await shop.send("GET", path, token=token)
        assert (told.status, "stolen" in str(told.body), "held by the platform" in str(told.body)) == (200, False, True)
    assert (await get(shop, f"/{purchase_id}"))["purchase"]["hold_reason"] == "operator: the buyer's card looks stolen"


async def test_a_person_holds_what_a_dispute_holds_and_the_end_of_either_leaves_the_other_s_hold(shop: Shop) -> None:
    """A sale that an outflow may have paid is held, whatever a bank decides: it was refused, and a dispute that was won
    let its money go."""
    purchase_id = await sold(shop)

    async def is_told(status: str) -> None:
        shop.clock.pass_(hours=1)
        seen = DisputeSeen("dp_1", 300, status, 0, 0, shop.clock.now())
        await shop.store.write(lambda conn: record_dispute(conn, purchase_id, seen, shop.clock.now()))

    async def shown() -> tuple[str, str, str]:
        purchase = (await get(shop, f"/{purchase_id}"))["purchase"]
        (payout,) = purchase["payouts"]
        return purchase["usdc_payment_status"], purchase["hold_reason"], payout["reason"]

    await is_told("needs_response")
    assert await shown() == ("on_hold", "dispute dp_1", "dispute dp_1")
    assert (await act(shop, purchase_id, "hold", OPERATOR)).status == 200
    assert await shown() == ("on_hold", "operator: asked", "operator: asked")
    await act(shop, purchase_id, "unhold", OPERATOR)
    assert await shown() == ("on_hold", "dispute dp_1", "dispute dp_1")
    await act(shop, purchase_id, "hold", OPERATOR)
    await is_told("won")
    assert await shown() == ("on_hold", "operator: asked", "operator: asked")
    freed = await act(shop, purchase_id, "unhold", OPERATOR)
    assert freed.body["purchase"]["usdc_payment_status"] == "pending_conversion"


async def test_a_refund_needs_an_approver_its_payment_intent_and_what_was_looked_at(shop: Shop) -> None:
    purchase_id = await sold(shop)
    wish = await money(shop, purchase_id)
    assert (await act(shop, purchase_id, "refund", OPERATOR, **wish)).status == 403
    assert (await act(shop, purchase_id, "refund", **{**wish, "confirm": "pi_other"})).code == "not_confirmed"
    await act(shop, purchase_id, "hold", OPERATOR)
    stale = await act(shop, purchase_id, "refund", **wish)
    assert (stale.status, stale.code) == (412, "stale_version")
    wish = await money(shop, purchase_id)
    for amount, code in (("3.01", "too_much"), ("0", "too_much"), ("0.001", "invalid_request")):
        assert (await act(shop, purchase_id, "refund", **wish, amount=amount)).code == code
    asked = await act(shop, purchase_id, "refund", **wish, amount="1.00")
    assert (asked.status, asked.body) == (202, {"purchase_id": purchase_id, "amount": "1.00", "state": "intended"})
    assert (await act(shop, purchase_id, "refund", **wish)).code == "refund_under_way"
    (row,) = await shop.all(tables.refunds)
    assert (row["amount"], row["state"], row["reason"]) == (100, "intended", "asked for by an operator")
    assert [job["kind"] for job in await shop.all(tables.jobs) if job["kind"] == "refund"] == ["refund"]
    assert (await acts(shop, purchase_id))[-1] == ("refund", "asked")


async def test_an_amount_with_a_comma_is_refused_with_how_to_write_it(shop: Shop) -> None:
    purchase_id = await sold(shop)
    refused = await act(shop, purchase_id, "refund", **await money(shop, purchase_id), amount="1,50")
    said = "amount: write it in digits with a point and at most 6 places, like 112.50"
    assert (refused.status, refused.body["error"]["message"]) == (422, said)


async def test_a_sale_that_was_not_paid_has_nothing_to_refund_or_release(shop: Shop) -> None:
    purchase_id = await sold(shop)
    await shop.store.write(lambda conn: conn.execute(update(tables.purchases).values(paid_at=None)))
    wish = await money(shop, purchase_id)
    assert (await act(shop, purchase_id, "refund", **wish)).code == "not_paid"
    assert (await act(shop, purchase_id, "release", **wish)).code == "not_waiting"
    assert (await act(shop, 999, "release", **wish)).status == 404
    assert await acts(shop, purchase_id) == []


async def test_creators_are_paid_for_a_buyer_who_never_made_a_wallet_once_his_time_is_over(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        _, author = await shop.member("author@example.com")
        buyer_id, buyer = await shop.member()
        purchase_id = await paid(shop, await shop.content(author), buyer)
        await fee_known(shop, purchase_id)
        assert (await get(shop, f"/{purchase_id}"))["purchase"]["waits_for_wallet"]
        assert (await act(shop, purchase_id, "release", **await money(shop, purchase_id))).code == "too_early"
        shop.clock._now += timedelta(days=15)
        released = await act(shop, purchase_id, "release", **await money(shop, purchase_id))
        assert (released.status, released.body["purchase"]["usdc_payment_status"]) == (200, "pending_conversion")
        assert released.body["purchase"]["usdc_amount"] == "2.35" and not released.body["purchase"]["nft_minted"]
        assert (await act(shop, purchase_id, "release", **await money(shop, purchase_id))).code == "released_already"
        assert await shop.store.read(first_findings) == {}
        await wallet(shop, buyer_id, "BuyerWallet")
        await minted(shop, purchase_id)
        assert len(await shop.all(tables.payouts)) == 1
        assert (await get(shop, f"/{purchase_id}"))["purchase"]["status"] == "completed"


async def test_a_released_sale_pays_its_creator_what_a_refund_has_left_of_it(store: Store) -> None:
    async with opened(Shop(store)) as shop:
        _, author = await shop.member("author@example.com")
        _, buyer = await shop.member()
        purchase_id = await paid(shop, await shop.content(author), buyer)
        await fee_known(shop, purchase_id)
        half, now = RefundSeen("re_1", 150, RefundState.SUCCEEDED, None), shop.clock.now()
        await shop.store.write(lambda conn: record_refund(conn, purchase_id, half, now))
        shop.clock._now += timedelta(days=15)
        released = await act(shop, purchase_id, "release", **await money(shop, purchase_id))
        assert released.body["purchase"]["usdc_amount"] == "1.175"
        assert await shop.store.read(first_findings) == {}


async def test_no_path_marks_money_as_distributed(shop: Shop) -> None:
    for path in ("purchases/1", "payouts/1", "transfers/1"):
        for method in ("PUT", "PATCH", "POST", "DELETE"):
            answer = await shop.send(method, f"/admin/api/{path}", {"state": "distributed"}, APPROVER, admin=True)
            assert answer.status in (404, 405)
    routes = [(endpoint.method, endpoint.path) for endpoint in shop.app.admin.endpoints if endpoint.method != "GET"]
    assert [route for route in routes if route[0] != "POST"] == []
    assert [path for _, path in routes if any(word in path for word in ("distributed", "paid", "mark", "sent"))] == []
