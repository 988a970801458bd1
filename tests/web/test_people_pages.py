"""The shop's pages: signing up and in, buying, selling, and that what is somebody's own is shown to nobody else."""

import re
from collections.abc import AsyncIterator

import pytest
from solders.keypair import Keypair
from sqlalchemy import Connection, update

from agent.web.endpoint import Access, Face
from domain.states import UsdcStatus
from storage import tables
from storage.people import withdrawals
from tests.web.accessible import complaints
from tests.web.sales import fee_known, minted, move_payouts, paid
from tests.web.shop import INVITE, PASSWORD, PLATFORM_ADDRESS, Shop
from tests.web.test_console import XSS, concrete
from tests.web.visitor import Page, Visitor, visiting

OWN_ADDRESS, OTHER_ADDRESS = (str(Keypair.from_seed(seed * 32).pubkey()) for seed in (b"o", b"x"))


@pytest.fixture
async def visitor(shop: Shop) -> AsyncIterator[Visitor]:
    async with visiting(shop.public.port) as visitor:
        yield visitor


async def sign_in(visitor: Visitor, email: str, password: str = PASSWORD, path: str = "/signin") -> Page:
    return await visitor.send(path, "/signin", email=email, password=password)


async def test_a_newcomer_signs_up_and_stands_before_his_wallet(shop: Shop, visitor: Visitor) -> None:
    wish = {"email": "new@example.com", "password": PASSWORD, "username": XSS[:64]}
    refused = await visitor.send("/signup", "/signup", **wish, invite_code="wrong-code")
    assert refused.status == 403
    assert "invite code is unknown" in refused.words
    assert refused.form("/signup")["email"] == "new@example.com"
    assert PASSWORD not in refused.text
    entered = await visitor.send("/signup", "/signup", **wish, invite_code=INVITE)
    assert (entered.status, entered.headers["Location"]) == (303, "/wallet")
    assert {"HttpOnly", "SameSite=Lax", "Path=/"} <= set(entered.headers["Set-Cookie"].split("; "))
    wallet = await visitor.follow(entered)
    assert "Your wallet is being prepared" in wallet.words
    (user,) = await shop.all(tables.users)
    assert user["wallet_state"] == "queued"


async def test_a_wrong_password_asks_again_and_a_right_one_leads_where_one_wanted_to_go(
    shop: Shop, visitor: Visitor
) -> None:
    await shop.member("ada@example.com")
    wrong = await sign_in(visitor, "ada@example.com", "not it")
    assert wrong.status == 401
    assert wrong.form("/signin")["email"] == "ada@example.com"
    guest = await visitor.get("/library")
    assert guest.headers["Location"] == "/signin?next=/library"
    entered = await sign_in(visitor, "ada@example.com", path="/signin?next=/library")
    assert entered.headers["Location"] == "/library"
    assert "Nothing here yet" in (await visitor.follow(entered)).words
    out = await visitor.send("/library", "/signout")
    assert out.headers["Location"] == "/?done=out"
    assert (await visitor.get("/library")).status == 303
    live = [row for row in await shop.all(tables.tokens) if row["role"] == "user" and row["revoked_at"] is None]
    assert len(live) == 1, "the token of the session was left behind"


async def test_buying_goes_to_stripe_and_back_and_the_piece_stands_in_the_library(shop: Shop, visitor: Visitor) -> None:
    _, author = await shop.member("author@example.com")
    _, token = await shop.member()
    content_id = await shop.content(author, title="Dawn <&>")
    page, buy = f"/content/{content_id}", f"/content/{content_id}/buy"
    guest = await visitor.get(page)
    assert not guest.has_form(buy)
    assert f'href="/signin?next={page}"' in guest.text
    assert "Dawn <&>" in (await visitor.get("/")).words
    await sign_in(visitor, "buyer@example.com")
    paying = await visitor.send(page, buy)
    (checkout,) = await shop.all(tables.checkouts)
    assert paying.headers["Refresh"] == f"0; url={checkout['url']}"
    assert checkout["url"] in paying.text
    assert "on its way" in (await visitor.get("/checkout/success?session_id=cs_1")).words
    assert "Nothing was charged" in (await visitor.get("/checkout/cancel")).words
    purchase_id = await paid(shop, content_id, token)
    assert "waits for your wallet" in (await visitor.get("/library")).words
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    shelf = await visitor.get("/library")
    assert "Dawn <&>" in shelf.words
    assert "yours" in shelf.words
    assert complaints(shelf.text) == []
    assert f'href="{page}"' in shelf.text
    gone = f"/admin/api/contents/{content_id}/take-down"
    assert (await shop.send("POST", gone, {"reason": "asked to"}, "admin-operator", admin=True)).status == 200
    shelf = await visitor.get("/library")
    assert "Dawn <&>" in shelf.words
    assert f'href="{page}"' not in shelf.text, "it leads to a page that is not there any more"


async def test_a_link_that_was_shared_leads_to_its_page_whatever_was_added_to_it(shop: Shop, visitor: Visitor) -> None:
    _, author = await shop.member("author@example.com")
    content_id = await shop.content(author)
    for path in ("/", f"/content/{content_id}", "/signin", "/signup", "/checkout/cancel"):
        assert (await visitor.get(f"{path}?fbclid=IwAR0&utm_source=chat")).status == 200, path
    assert (await visitor.get("/?before=x&fbclid=IwAR0")).status == 422


async def test_a_creator_sees_his_own_sales_and_nobody_else_s(shop: Shop, visitor: Visitor) -> None:
    author_id, author = await shop.member("author@example.com")
    _, token = await shop.member()
    purchase_id = await paid(shop, await shop.content(author, title="Dusk"), token)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    await sign_in(visitor, "author@example.com")
    sales = await visitor.get("/sales")
    assert "Dusk" in sales.words
    assert "waits for payout" in sales.words
    assert complaints(sales.text) == []
    assert "You have no wallet yet." in sales.words
    assert "2.35" in sales.words
    answer = await shop.send("GET", f"/api/creators/{author_id}/sales/", token=author)
    assert [(line["title"], line["amount"], line["status"]) for line in answer.body["items"]] == [
        ("Dusk", "2.35", "pending_conversion")
    ]
    assert (await shop.send("GET", f"/api/creators/{author_id}/sales/", token=token)).status == 404
    await move_payouts(shop, purchase_id, UsdcStatus.PENDING_DISTRIBUTION)
    covered = await visitor.get("/sales")
    assert "ready for payout" in covered.words and "on its way" not in covered.words, "no batch has it"
    visitor.forget()
    await sign_in(visitor, "buyer@example.com")
    assert "Nothing sold yet" in (await visitor.get("/sales")).words


async def test_what_is_wrong_with_an_address_or_an_amount_stands_above_the_form_that_keeps_it(
    shop: Shop, visitor: Visitor
) -> None:
    user_id, _ = await shop.member("author@example.com")
    await sign_in(visitor, "author@example.com")
    former = {"wallet_provider": "external", "wallet_address": PLATFORM_ADDRESS, "wallet_state": "none"}
    await change_user(shop, user_id, **former)
    refused = await visitor.send("/wallet", "/wallet/external", wallet_address="no address")
    assert (refused.status, refused.form("/wallet/external")["wallet_address"]) == (422, "no address")
    assert "is not a Solana address" in refused.words
    await change_user(shop, user_id, wallet_state="ready", circle_wallet_id="w-1", circle_wallet_address=OWN_ADDRESS)
    for amount, address, said in (
        ("1,50", OTHER_ADDRESS, "The amount is written in digits with a point, like 112.50"),
        ("1.50", "short", "That is no Solana address"),
        ("1.50", OTHER_ADDRESS, "The wallet holds 0.00 USDC"),
    ):
        refused = await visitor.send("/cash-out", "/cash-out", destination_address=address, amount=amount)
        form = refused.form("/cash-out")
        assert (refused.status, form["destination_address"], form["amount"]) == (422, address, amount)
        assert said in refused.words
        assert complaints(refused.text) == []


async def test_what_may_be_on_its_way_is_not_called_given_up(shop: Shop, visitor: Visitor) -> None:
    user_id, _ = await shop.member("author@example.com")
    await sign_in(visitor, "author@example.com")
    await change_user(shop, user_id, wallet_state="ready", circle_wallet_id="w-1", circle_wallet_address=OWN_ADDRESS)
    now, wish = shop.clock.now(), withdrawals.Wish("9f0c6b0e-7a61-4c53-9d0a-0a4dbf0c7a10", OTHER_ADDRESS, 1_500_000)

    def asked(conn: Connection) -> int:
        row = withdrawals.begin(conn, user_id, wish, now)
        withdrawals.challenged(conn, row.id, "challenge-1", now)
        return int(row.id)

    drop = f"/cash-out/{await shop.store.write(asked)}/drop"
    unknown = await visitor.send("/cash-out", drop)
    assert (unknown.status, unknown.has_form(drop)) == (503, True)
    assert "Circle does not answer now" in unknown.words
    shop.circle.pins["challenge-1"] = "transaction-1"
    for _ in range(2):
        sent = await visitor.post(drop, unknown.form(drop))
        assert sent.headers["Location"] == "/cash-out"
    assert not (await visitor.follow(sent)).has_form(drop)
    (row,) = await shop.all(tables.withdrawals)
    assert (row["state"], row["circle_transaction_id"]) == ("sending", "transaction-1")


async def change_user(shop: Shop, user_id: int, **columns: str) -> None:
    change = update(tables.users).where(tables.users.c.id == user_id).values(**columns)
    await shop.store.write(lambda conn: conn.execute(change).rowcount)


async def test_pages_of_one_s_own_send_guests_and_operators_to_sign_in(shop: Shop, visitor: Visitor) -> None:
    await shop.content((await shop.member())[1], title=XSS[:28])
    own = [one for one in shop.app.public.endpoints if one.face is Face.PAGE and one.access is Access.USER]
    assert len(own) >= 8
    for endpoint in own:
        path = concrete(endpoint)
        if endpoint.method == "GET":
            refused = await visitor.get(path)
            assert (refused.status, refused.headers["Location"]) == (303, f"/signin?next={path}")
        else:
            assert (await visitor.post(path, {})).status == 303
    for endpoint in shop.app.public.endpoints:
        if endpoint.face is Face.PAGE and endpoint.method == "GET" and endpoint.access is Access.PUBLIC:
            page = await visitor.get(concrete(endpoint))
            assert page.status == 200
            assert "<script>document" not in page.text
            assert not {name for name in page.attributes if name == "style" or name.startswith("on")}
            assert not re.search(r"<(script|link|img)[^>]+(src|href)=\"(?!/static/)", page.text)
            assert complaints(page.text) == [], endpoint.path
    async with visiting(shop.admin.port) as operator:
        await operator.send("/console/signin", "/console/signin", token="admin-approver")
        session = operator.cookie("console")
    assert (await visitor.get("/library", Cookie=f"shop={session}")).status == 303
