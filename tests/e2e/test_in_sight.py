"""Every button of a page can be seen without scrolling to the side, whatever people call themselves."""

import pytest

from domain.ledger import Asset
from storage.engines.sqlite import SqliteStore
from storage.treasury.movement_rows import Movement
from storage.treasury.movements import book_usdc
from tests.e2e.browser import needs_chromium, open_browser, person
from tests.web.sales import fee_known, minted, paid, wallet
from tests.web.shop import INVITE, PASSWORD, PLATFORM_ADDRESS, Shop, opened

LONG = "W" * 64
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
