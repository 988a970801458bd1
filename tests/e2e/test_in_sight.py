"""Every button of a page can be seen without scrolling to the side, whatever people call themselves."""

import pytest

from domain.ledger import Asset
from storage.engines.sqlite import SqliteStore
from storage.treasury.movement_rows import Movement
from storage.treasury.movements import book_usdc
from tests.e2e.browser import Person, needs_chromium, open_browser, person
from tests.web.sales import fee_known, minted, paid, wallet
from tests.web.shop import INVITE, PASSWORD, PLATFORM_ADDRESS, Shop, opened

LONG = "W" * 64
STICKS_OUT = """() => [...document.querySelectorAll(".panel, header.top")].flatMap((panel) =>
  [...panel.querySelectorAll("*")].filter((one) =>
    one.getBoundingClientRect().right > panel.getBoundingClientRect().right + 1 && !one.closest(".scroll, svg")
  ).map((one) => one.outerHTML.slice(0, 80)))"""
HIDDEN = """() => [...document.querySelectorAll("main button")].filter((button) => {
  const box = (button.closest(".scroll") || document.documentElement).getBoundingClientRect();
  const own = button.getBoundingClientRect();
  return own.width > 0 && (own.right > Math.min(box.right, innerWidth) + 1 || own.left < 0);
}).map((button) => button.textContent)"""


@needs_chromium
@pytest.mark.timeout(120)
async def test_every_button_of_the_console_is_in_sight(sqlite_store: SqliteStore) -> None:
    async with opened(Shop(sqlite_store)) as shop, open_browser() as browser:
        author_id = await long_names(shop)
        origin = f"http://localhost:{shop.admin.port}"
        async with person(browser, origin) as operator:
            page = operator.page
            await page.goto(f"{origin}/console/")
            await page.fill("#token", "admin-approver")
            await page.press("#token", "Enter")
            await operator.sees("Overview")
            for path in ("treasury/", "contents/", "audit/access", "purchases/1", f"creators/{author_id}", "work/"):
                await page.goto(f"{origin}/console/{path}")
                for width in (1280, 320):
                    await page.set_viewport_size({"width": width, "height": 860})
                    assert await page.evaluate(HIDDEN) == [], (path, width)
                    assert await page.evaluate("document.documentElement.scrollWidth") <= width, (path, width)


@needs_chromium
@pytest.mark.timeout(120)
async def test_people_s_pages_hold_long_names_and_show_what_is_sold_with_whom(sqlite_store: SqliteStore) -> None:
    async with opened(Shop(sqlite_store)) as shop, open_browser() as browser:
        await long_names(shop)
        origin = f"http://localhost:{shop.public.port}"
        async with person(browser, origin) as seller, person(browser, origin) as author:
            code = await code_of(author, origin)
            await enter(seller, origin, "buyer@example.com")
            page = seller.page
            await page.goto(f"{origin}/sales/new")
            filled = {"#title": "Dusk", "#price": "999999.99", "#teaser": TEASER, "#code-1": code, "#share-1": "33.33"}
            for field, text in filled.items():
                await page.fill(field, text)
            await holds(seller, "the form")
            await page.press("#share-1", "Enter")
            await seller.sees(LONG, "#earners")
            await holds(seller, "what was understood")
            await seller.tab_to("publish-go")
            await seller.keys("Enter")
            await seller.sees("66.67 %")
            for path in ("content/2", "sales", "library", "wallet", "cash-out", ""):
                for who in (seller, author):
                    await who.page.goto(f"{origin}/{path}")
                    await holds(who, path)


TEASER = "https://res.cloudinary.com/demo/image/upload/" + "dusk" * 40 + ".jpg"


async def enter(who: Person, origin: str, email: str) -> None:
    await who.page.goto(f"{origin}/signin")
    await who.page.fill("#email", email)
    await who.page.fill("#password", PASSWORD)
    await who.page.press("#password", "Enter")
    await who.sees("What is for sale")


async def code_of(author: Person, origin: str) -> str:
    await enter(author, origin, "author@example.com")
    await author.page.goto(f"{origin}/sales")
    return await author.page.inner_text("section[aria-labelledby=h-code] code")


async def holds(who: Person, name: str) -> None:
    for width in (1280, 390, 320):
        await who.page.set_viewport_size({"width": width, "height": 860})
        assert await who.page.evaluate(HIDDEN) == [], (name, width)
        assert await who.page.evaluate(STICKS_OUT) == [], (name, width)
        assert await who.page.evaluate("document.documentElement.scrollWidth") <= width, (name, width)


async def long_names(shop: Shop) -> int:
    """A sale that is owed, and an outflow that may have paid it; the author's id."""
    wish = {"email": "author@example.com", "password": PASSWORD, "invite_code": INVITE, "username": LONG}
    author_id: int = (await shop.send("POST", "/api/auth/signup/", wish)).body["user_id"]
    entered = await shop.send("POST", "/api/auth/login/", {"email": wish["email"], "password": PASSWORD})
    _, buyer = await shop.member()
    await wallet(shop, author_id, PLATFORM_ADDRESS)
    purchase_id = await paid(shop, await shop.content(entered.body["token"], title=LONG[:22]), buyer)
    await fee_known(shop, purchase_id)
    await minted(shop, purchase_id)
    now = shop.clock.now()
    gone = Movement("a signature", "usdc", Asset.USDC, -2_350_000, 7, now, PLATFORM_ADDRESS)
    await shop.store.write(lambda conn: book_usdc(conn, gone, now))
    return author_id
