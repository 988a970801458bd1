"""The pages in a real browser before real processes: newcomers sign up, buy and sell; two operators repair a mint and
pay; the creator cashes out. Nobody reloads a page to see what became of something."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp
import pytest
from playwright.async_api import Browser
from solders.keypair import Keypair

from agent.cli.children import running_daemon
from ports.system import SystemClock
from sandbox.faults import Fault, Rule
from sandbox.handover import DATABASE_FILE
from sandbox.week.chain import Chain
from sandbox.week.wire import Wire
from sandbox.world import World, WorldOptions, running_world
from storage import schema
from storage.engines.sqlite import SqliteStore
from storage.people.tokens import ensure_admin_token
from tests.e2e.browser import PHONE, Person, needs_chromium, open_browser, person
from tests.e2e.test_week import free_port_base
from tests.soak.siege import SLOT_MS

XSS = "<script>document.title='owned'</script><img src=x onerror=alert(1)>"
SECOND = "second-approver-of-this-test"
PASSWORD = "correct horse"
PIN = "314159"
EXCHANGE = str(Keypair.from_seed(b"x" * 32).pubkey())
REFUSAL = b'{"code":2,"message":"API parameter invalid"}'
SIGN = "/v1/w3s/developer/sign/transaction"


@needs_chromium
@pytest.mark.timeout(300)
async def test_newcomers_trade_and_two_operators_repair_and_pay_in_their_browsers(tmp_path: Path) -> None:
    async with running(tmp_path) as world, open_browser() as browser:
        agent, circle, stripe = world.agent_url, world.access["circle_api"], world.access["stripe_api"]
        async with person(browser, agent, circle, stripe) as creator, person(browser, agent, circle, stripe) as buyer:
            await sign_up(world, creator, "creator@example.com", XSS[:64])
            await offer(creator)
            await sign_up(world, buyer, "buyer@example.com", "Buyer")
            world.circle.faults.add(
                Rule(SIGN, Fault.STATUS, times=1_000, status=400, body=b'{"code":2,"message":"no"}')
            )
            await buy(buyer)
            await repair(world, browser, buyer)
            await take_back(world, browser)
            await pay(world, browser)
            await cash_out(world, creator)


@asynccontextmanager
async def running(tmp_path: Path) -> AsyncIterator[World]:
    """The world, where Circle waits for PINs, and the daemon, where two have to approve."""
    options = WorldOptions(tmp_path / "data", free_port_base(), slot_ms=SLOT_MS, rsa_bits=2048)
    async with running_world(options) as world:
        world.circle.custody.switches.auto_pin = False
        await let_second_in(tmp_path / "data" / DATABASE_FILE)
        settings = world.environment | {"AGENT_APPROVERS": "2", "AGENT_RETRIES_MAX": "1"}
        async with running_daemon(settings, f"{world.agent_url}/readyz", tmp_path / "daemon.log"):
            yield world


async def let_second_in(database: Path) -> None:
    store, now = SqliteStore(database), SystemClock().now()
    await store.start()
    await store.write(schema.ready)
    await store.write(lambda conn: ensure_admin_token(conn, SECOND, now, "approver", "second"))
    await store.stop()


async def sign_up(world: World, who: Person, email: str, name: str) -> None:
    """From the invite to a wallet that is ready, through Circle's own window."""
    page = who.page
    await page.goto(f"{world.agent_url}/signup")
    filled = {"#invite": world.identity.invite_code, "#email": email, "#username": name, "#password": PASSWORD}
    for field, text in filled.items():
        await page.fill(field, text)
    await page.press("#password", "Enter")
    await page.wait_for_url("**/wallet")
    await who.sees("One step is left")
    await page.click("#pin")
    await enter_pin(who)
    await page.wait_for_url("**/wallet*done=pin")
    await who.sees("Circle has your PIN.")
    await who.sees("Address on Solana")


async def enter_pin(who: Person) -> None:
    frame = who.page.frame_locator("iframe.pin-frame")
    await frame.locator("#pin").fill(PIN)
    await who.shot("pin", PHONE)
    await frame.locator("#pin").press("Enter")


async def offer(creator: Person) -> None:
    page = creator.page
    await page.click("text=Sales")
    await creator.sees("Nothing sold yet")
    await page.click("text=Sell something")
    await page.fill("#title", "<i>Dawn</i>")
    await page.fill("#price", "3.00")
    await page.fill("#teaser", "https://res.cloudinary.com/demo/image/upload/dawn.jpg")
    await page.press("#teaser", "Enter")
    await creator.sees("Is it right like this?")
    await page.click("#change-go")
    assert await page.input_value("#price") == "3.00"
    await creator.shot("offer", PHONE)
    await page.press("#price", "Enter")
    await creator.sees("2.35", "#earners")
    await creator.shot("offer-check", PHONE)
    await page.click("#publish-go")
    await creator.sees("is for sale")


async def buy(buyer: Person) -> None:
    page = buyer.page
    await page.click("text=Shop")
    await page.click("text=Dawn")
    await buyer.shot("content", PHONE)
    await page.click("#buy-go")
    await page.wait_for_url("**/c/pay/**")
    await page.click("#pay-card")
    await page.wait_for_url("**/checkout/success**")
    await page.click("text=My library")
    await buyer.sees("being made")
    assert await page.title() != "owned"


async def repair(world: World, browser: Browser, buyer: Person) -> None:
    """An operator without a mouse finds the failed mint, reads its error, and has it run again."""
    async with person(browser, world.admin_url) as operator:
        page = operator.page
        await enter(operator, world, world.identity.admin_token)
        await operator.sees("Waiting for a person:")
        await operator.shot("overview")
        await operator.keys("g", "w")
        await operator.sees("mint", "#work")
        await operator.shot("work")
        await page.evaluate("window.stayed = true")
        world.circle.faults.clear()
        retry = await page.locator("#work button").first.get_attribute("id")
        await operator.tab_to(str(retry))
        await operator.keys("Enter")
        await operator.sees("Nothing waits for a person.")
        await operator.keys("g", "p")
        await page.locator("#purchases a").first.press("Enter")
        await page.evaluate("window.stayed = true")
        await operator.sees("completed", "#status")
        await operator.sees("pending conversion", "#status")
        assert await page.evaluate("window.stayed") is True, "the page was loaded anew"
        assert await page.title() != "owned"
        await operator.shot("purchase")
    await buyer.sees("yours", ".tag")
    await buyer.shot("library", PHONE)


async def pay(world: World, browser: Browser) -> None:
    """One plans, another looks at the plan and approves it; then it settles before his eyes."""
    async with person(browser, world.admin_url) as first, person(browser, world.admin_url) as second:
        await enter(first, world, world.identity.admin_token)
        await first.page.goto(f"{world.admin_url}/console/batches/preview")
        assert XSS[:64] in await first.page.inner_text("main")
        await first.shot("preview", PHONE)
        await first.tab_to("plan-word")
        await first.keys("plan", "Enter")
        await first.sees("waiting approval", "#status")
        await enter(second, world, SECOND)
        await second.keys("g", "b")
        await second.page.locator("table a").first.press("Enter")
        await second.sees("2.35", "#plan")
        await second.shot("batch")
        digest = await second.page.get_attribute("input[name=digest]", "value")
        await second.page.evaluate("window.stayed = true")
        await second.tab_to("approve-word")
        await second.keys(str(digest)[:8], "Enter")
        await second.sees("Approved.")
        await second.sees("waiting funds", "#status")
        await second.page.evaluate("window.stayed = true")
        await give(world, walletId=world.access["platform_wallet_id"], usdc="2.35")
        await second.sees("settled", "#status", seconds=60)
        assert await second.page.evaluate("window.stayed") is True, "the page was loaded anew"
        await second.shot("settled", PHONE)
        for name in ("treasury", "creators", "audit", "events/stripe", "ledger", "ledger/entries", "audit/access"):
            await second.page.goto(f"{world.admin_url}/console/{name}{'' if '/' in name else '/'}")
            assert await second.page.title() != "owned"
            await second.shot(name.replace("/", "-"), PHONE)


async def take_back(world: World, browser: Browser) -> None:
    """Dollars that were announced by mistake; the wallet's balance, just read, shows that nothing has come for them."""
    async with person(browser, world.admin_url) as operator:
        await enter(operator, world, world.identity.admin_token)
        await operator.keys("g", "t")
        await operator.sees("an announcement explains a deposit")
        await operator.tab_to("announce-usd")
        await operator.keys("112.50", "Enter")
        await operator.sees("Announced.")
        field = await operator.page.locator("input[id^=withdraw-]").first.get_attribute("id")
        await operator.tab_to(str(field))
        await operator.keys("the bank refused it", "Enter")
        await operator.sees("Withdrawn.")
        assert await operator.page.locator("input[id^=withdraw-]").count() == 0
        await operator.shot("withdrawn")


async def enter(who: Person, world: World, token: str) -> None:
    await who.page.goto(f"{world.admin_url}/console/")
    await who.tab_to("token")
    await who.keys(token, "Enter")
    await who.sees("Overview")


async def give(world: World, **gift: str) -> None:
    """From the sandbox's faucet."""
    async with aiohttp.ClientSession() as session:
        async with session.post(f"{world.access['circle_api']}/_sandbox/faucet", json=gift) as answer:
            assert answer.status == 200


async def cash_out(world: World, creator: Person) -> None:
    """What was paid stands in his wallet, and goes where he says, by his PIN."""
    page = creator.page
    await page.goto(f"{world.agent_url}/sales")
    await creator.sees("paid", ".tag")
    await creator.shot("sales")
    await page.goto(f"{world.agent_url}/wallet")
    await give(world, address=await page.inner_text("code.whole"), sol="0.01")
    await page.goto(f"{world.agent_url}/sales")
    await page.click("#cash-out")
    await page.fill("#destination", EXCHANGE)
    await page.fill("#amount", "1.25")
    await page.press("#amount", "Enter")
    await enter_pin(creator)
    await page.wait_for_url("**/cash-out")
    await page.evaluate("window.stayed = true")
    await creator.sees("completed", "#withdrawals", seconds=60)
    assert await page.evaluate("window.stayed") is True, "the page was loaded anew"
    await creator.shot("cash-out")
    async with aiohttp.ClientSession() as session:
        chain = Chain(Wire(session), world.access["solana_rpc"], world.access["usdc_mint"])
        assert await chain.usdc_of(EXCHANGE) == 1_250_000
