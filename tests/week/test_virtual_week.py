"""One small week on virtual time: a card payment goes in, an NFT and USDC come out."""

import asyncio
from pathlib import Path
from typing import Any

from ports.virtual import VirtualLoop
from sandbox.content_ids import content_id
from tests.week.virtual_world import VirtualWorld

IPFS_HASH = content_id(b"Sunrise")


def run_virtually(main: Any) -> Any:
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main)


class People:
    """Signs people up and buys, through the daemon's own API."""

    def __init__(self, world: VirtualWorld) -> None:
        self.world = world

    async def sign_up(self, name: str) -> tuple[int, str]:
        email, password = f"{name}@example.com", "correct horse battery"
        made = await self.world.call(
            "POST",
            "/api/auth/signup/",
            {"email": email, "password": password, "invite_code": "welcome", "username": name},
        )
        assert made.status == 201, made
        login = await self.world.call("POST", "/api/auth/login/", {"email": email, "password": password})
        return made.body["user_id"], login.body["token"]

    async def publish(self, token: str, price_cents: int, **more: Any) -> int:
        body = {"title": "Sunrise", "description": "", "price_cents": price_cents, "ipfs_hash": IPFS_HASH, **more}
        made = await self.world.call("POST", "/api/content/", body, token)
        assert made.status == 201, made
        return int(made.body["id"])

    async def buy(self, token: str, content_id: int) -> str:
        opened = await self.world.call(
            "POST", "/api/checkout/stripe/", {"content_id": content_id, "payment_method": "card"}, token
        )
        assert opened.status == 200, opened
        self.world.stripe.controls.pay(opened.body["session_id"])
        return str(opened.body["session_id"])

    async def library(self, token: str) -> list[dict[str, Any]]:
        found = await self.world.call("GET", "/api/library/", token=token)
        return list(found.body["items"])


def test_a_card_payment_becomes_an_nft_and_usdc(tmp_path: Path) -> None:
    async def week() -> None:
        world = VirtualWorld(tmp_path)
        people = People(world)
        await world.start()
        creator, creator_token = await people.sign_up("ada")
        buyers = [await people.sign_up(f"buyer{n}") for n in range(4)]
        content = await people.publish(creator_token, 300)
        for _, token in buyers:
            await people.buy(token, content)

        async def owned() -> bool:
            shelves = [await people.library(token) for _, token in buyers]
            return all(shelf and shelf[0]["status"] == "owned" for shelf in shelves)

        await world.until("every buyer owns the NFT", owned)
        world.node.mint_usdc(_key(world.platform.address), 100_000_000)

        async def deposited() -> bool:
            shown = await world.operator("GET", "/admin/api/treasury")
            return any(row["amount"] == "100.00" for row in shown.body["readings"])

        await world.until("the deposit is seen", deposited)
        planned = await world.operator("POST", "/admin/api/batches", {})
        assert planned.status in (200, 201), planned

        async def paid() -> bool:
            shown = await world.call("GET", f"/api/creators/{creator}/dashboard/", token=creator_token)
            return bool(shown.body["paid_out"] == "9.40")

        await world.until("the creator is paid 4 x 2.35", paid)
        wallet = await world.call("GET", "/api/profile/", token=creator_token)
        assert _usdc_of(world, wallet.body["circle_wallet_address"]) == 9_400_000
        ledger = await world.operator("GET", "/admin/api/ledger")
        assert ledger.body["imbalance"] == 0, ledger
        await world.close()

    run_virtually(week())


def _key(address: str) -> Any:
    from solders.pubkey import Pubkey

    return Pubkey.from_string(address)


def _usdc_of(world: VirtualWorld, address: str) -> int:
    accounts = world.node.token_accounts(_key(address))
    return sum(int.from_bytes(account.data[64:72], "little") for _, account in accounts if len(account.data) == 165)
