"""A process that dies before or after a commit or call of a checkout, a sale, a wallet, a refund: it happens once.

The rows of the exactly-once table (docs/EXACTLY_ONCE.md) that move no USDC; payouts die in `test_payout_faults.py` and
`test_transfer_death.py`. A few points in every run of the tests, every point in `make soak`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import pytest

from sandbox.service import Request
from simulator.outside import ADMIN_TOKEN, STRIPE_KEY
from simulator.world import Answer, World
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import Market, MortalWorld
from tests.week.selling import Sale as Sold

TREASURY_POLL_SECONDS = 20
"""Rare beside what a story does: a point at which a process may die should be one of the story's."""
KILLS = 2
"""Deaths spread over each story; the soak test tries every point."""


class Story(Protocol):
    """Something that happens once a round, whatever dies meanwhile."""

    shop: Market

    async def ready(self, name: str) -> None:
        """What comes before; nothing dies yet."""

    async def act(self) -> None:
        """It begins; nobody may be there to answer."""

    async def happened(self) -> None:
        """Whoever got no answer asks again; wait until it is done, and count."""


class Checkout:
    """A buyer asks for a Session until he has one: Stripe has made one for him."""

    def __init__(self, shop: Market) -> None:
        self.shop, self.token, self.rounds = shop, "", 0
        self.answer: Answer | None = None

    async def ready(self, name: str) -> None:
        _, self.token = await self.shop.sign_up(name)
        self.rounds += 1

    async def act(self) -> None:
        wish = {"content_id": self.shop.creators["ada"].content, "payment_method": "card"}
        self.answer = await World.call(self.shop.world, "POST", "/api/checkout/stripe/", wish, self.token)

    async def happened(self) -> None:
        async def has_session() -> bool:
            if self.answer is None or self.answer.status != 200:
                await self.act()
            return self.answer is not None and self.answer.status == 200

        await self.shop.world.until("he has his Session", has_session)
        headers = {"authorization": f"Bearer {STRIPE_KEY}"}
        asked = Request("GET", "/v1/checkout/sessions", "limit=100&status=open", headers, b"")
        listed = json.loads(self.shop.world.stripe.handle(asked).body)
        assert len(listed["data"]) == self.rounds


class Sale:
    """A paid Session becomes a purchase, its edition, its fee and its NFT."""

    def __init__(self, shop: Market) -> None:
        self.shop, self.session, self.rounds = shop, "", 0

    async def ready(self, name: str) -> None:
        _, token = await self.shop.sign_up(name)
        wish = {"content_id": self.shop.creators["ada"].content, "payment_method": "card"}
        opened = await self.shop.world.call("POST", "/api/checkout/stripe/", wish, token)
        self.session = opened.body["session_id"]
        self.rounds += 1

    async def act(self) -> None:
        self.shop.world.stripe.controls.pay(self.session)

    async def happened(self) -> None:
        async def minted() -> bool:
            return self._count("status = 'completed' AND stripe_fee IS NOT NULL") == self.rounds

        await self.shop.world.until("the sale is minted and priced", minted)
        assert self._count("edition_held") == self._count("1 = 1") == self.rounds
        numbers = rows_of(self.shop.world, "SELECT edition_number FROM purchases ORDER BY 1")
        assert [row["edition_number"] for row in numbers] == list(range(1, self.rounds + 1))

    def _count(self, condition: str) -> int:
        return int(rows_of(self.shop.world, f"SELECT COUNT(*) n FROM purchases WHERE {condition}")[0]["n"])


class Wallet:
    """Somebody signs up, if need be again, and has one wallet."""

    def __init__(self, shop: Market) -> None:
        self.shop = shop
        self.body: dict[str, str] = {}

    async def ready(self, name: str) -> None:
        email, password = f"{name}@example.com", "correct horse battery"
        self.body = {"email": email, "password": password, "invite_code": "welcome", "username": name}

    async def act(self) -> None:
        await World.call(self.shop.world, "POST", "/api/auth/signup/", self.body)

    async def happened(self) -> None:
        world, known = self.shop.world, {key: self.body[key] for key in ("email", "password")}
        login = await world.call("POST", "/api/auth/login/", known)
        if login.status != 200:
            await self.act()
            login = await world.call("POST", "/api/auth/login/", known)
        token = login.body["token"]

        async def has_wallet() -> bool:
            profile = await world.call("GET", "/api/profile/", token=token)
            return profile.body["circle_wallet_address"] is not None

        await world.until("the wallet is there", has_wallet)
        people = rows_of(world, "SELECT id FROM users WHERE circle_wallet_id IS NOT NULL")
        platform = 1
        assert len(world.circle.custody.wallets.wallets) == len(people) + platform


class Refund:
    """The operator gives a buyer his money back, and asks again where he got no answer."""

    def __init__(self, shop: Market) -> None:
        self.shop, self.sale = shop, Sold(0, "")
        self.body: dict[str, Any] = {}

    async def ready(self, name: str) -> None:
        (self.sale,) = await self.shop.sell("ada")
        path = f"/admin/api/purchases/{self.sale.purchase_id}"
        seen = (await self.shop.world.operator("GET", path)).body
        self.body = {
            "reason": "asked by the buyer",
            "confirm": seen["purchase"]["stripe_payment_intent_id"],
            "version": seen["version"],
        }

    async def act(self) -> None:
        path = f"/admin/api/purchases/{self.sale.purchase_id}/refund"
        await World.call(self.shop.world, "POST", path, self.body, ADMIN_TOKEN, admin=True)

    async def happened(self) -> None:
        async def refunded() -> bool:
            sql = f"SELECT state FROM refunds WHERE purchase_id = {self.sale.purchase_id}"
            found = [row["state"] for row in rows_of(self.shop.world, sql)]
            if not found:
                await self.act()
            return found == ["succeeded"]

        await self.shop.world.until("the money is back", refunded)
        ledger: Any = self.shop.world.stripe.controls.ledger()
        (entry,) = [one for one in ledger["payments"] if one["payment_intent"] == self.sale.payment]
        assert [one["amount"] for one in entry["refunds"]] == [300]


STORIES: dict[str, Callable[[Market], Story]] = {"checkout": Checkout, "sale": Sale, "wallet": Wallet, "refund": Refund}


async def _round(story: Story, world: MortalWorld, name: str, point: int | None) -> int:
    """One round whose process dies at that point and is started again; the points passed."""
    await story.ready(name)
    world.fuse.arm(point)
    await story.act()
    if point is not None:
        await world.died()
        await world.start()
    await story.happened()
    passed = world.fuse.points
    world.fuse.disarm()
    return passed


async def _begin(folder: Path, what: str) -> tuple[Story, MortalWorld, int]:
    """A shop open, and how many points a round has in which nothing dies."""
    world = MortalWorld(folder, AGENT_TREASURY_POLL_MS=str(TREASURY_POLL_SECONDS * 1_000))
    shop = Market(world)
    await shop.open("ada")
    story = STORIES[what](shop)
    return story, world, await _round(story, world, "first", None)


async def _close(story: Story) -> None:
    """Once the last process has looked at the treasury: a story may end before it has."""
    await story.shop.world.clock.sleep(2 * TREASURY_POLL_SECONDS)
    await story.shop.close()


@pytest.mark.parametrize("what", STORIES)
@on_virtual_time
async def test_a_process_that_dies_on_the_way_does_it_once(what: str, tmp_path: Path) -> None:
    story, world, points = await _begin(tmp_path, what)
    for number in range(KILLS):
        await _round(story, world, f"person{number}", (2 * number + 1) * points // (2 * KILLS) or 1)
    await _close(story)


@pytest.mark.soak
@pytest.mark.timeout(1_200)
@pytest.mark.parametrize("what", STORIES)
@on_virtual_time
async def test_a_process_that_dies_at_any_point_does_it_once(what: str, tmp_path: Path) -> None:
    story, world, points = await _begin(tmp_path, what)
    for point in range(1, points + 1):
        await _round(story, world, f"person{point}", point)
    await _close(story)
