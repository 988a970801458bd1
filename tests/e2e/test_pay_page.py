"""The sandbox's hosted pay page, as a buyer sees it."""

from pathlib import Path

import aiohttp

from sandbox.world import World, WorldOptions, running_world
from tests.e2e.browser import needs_chromium, open_page
from tests.e2e.test_week import free_port_base

XSS = "<script>document.title='owned'</script>"


@needs_chromium
async def test_a_declined_card_may_try_again_and_a_paid_one_comes_back_to_the_shop(tmp_path: Path) -> None:
    options = WorldOptions(tmp_path / "data", port_base=free_port_base(), rsa_bits=2048)
    async with running_world(options) as world, open_page(tmp_path / "shots") as page:
        session_id, url = await _session(world)
        await page.goto(url)
        assert await page.title() != "owned"
        assert "$3.00" in await page.inner_text("body")
        await page.screenshot(path=tmp_path / "shots" / "pay.png")
        await page.click("#decline")
        assert "declined" in (await page.inner_text("body")).lower()
        await page.screenshot(path=tmp_path / "shots" / "declined.png")
        await page.click("#pay-card")
        await page.wait_for_url(lambda url: url.endswith(f"/ping?sid={session_id}"))


async def _session(world: World) -> tuple[str, str]:
    """A Checkout Session that comes back to an address that answers: the sandbox's Circle."""
    back = f"{world.access['circle_api']}/ping?sid={{CHECKOUT_SESSION_ID}}"
    form = {
        "mode": "payment",
        "line_items[0][quantity]": "1",
        "line_items[0][price_data][currency]": "usd",
        "line_items[0][price_data][unit_amount]": "300",
        "line_items[0][price_data][product_data][name]": f"Sunrise {XSS}",
        "success_url": back,
        "cancel_url": back,
    }
    headers = {"authorization": f"Bearer {world.access['stripe_secret_key']}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        async with session.post(f"{world.access['stripe_api']}/v1/checkout/sessions", data=form) as answer:
            told = await answer.json()
    assert answer.status == 200, told
    return told["id"], told["url"]
