"""A shop whose operator converts through Circle Mint, and what happens at its bank."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from sandbox.faults import Fault, Rule
from sandbox.mint_service.books import Transfer
from sandbox.service import Request
from tests.week.checker import rows_of
from tests.week.selling import Market
from tests.week.virtual_world import MONDAY, VirtualWorld

USDC = 10**6
LOOK_SECONDS, LOOKS_MOST = 20, 180
ORDERS = "/admin/api/conversions/orders"
ON = {
    "AGENT_CONVERSION": "circle_mint",
    "AGENT_CAP_CONVERSION": str(500 * USDC),
    "AGENT_CAP_CONVERSION_DAY": str(600 * USDC),
}


def converting(folder: Path, **settings: str) -> "Converting":
    return Converting(VirtualWorld(folder, 1, MONDAY, **{**ON, **settings}))


class Converting(Market):
    """A market, and its account at Circle Mint."""

    @property
    def mint(self) -> Any:
        return self.world.outside.mint

    @property
    def transfers(self) -> list[Transfer]:
        found: list[Transfer] = self.mint.books.transfers
        return found

    def wire(self, usdc: int) -> None:
        """A person's bank sends dollars to Circle Mint."""
        books = self.mint.books
        self.mint._sending.expect(books.wired(books.wires[0], usdc))

    def transfer_by_hand(self, usdc: int) -> None:
        """Somebody sends to the platform wallet in Circle Mint's console."""
        body = json.dumps({"usd": f"{usdc // USDC}.00"}).encode()
        assert self.mint.handle(Request("POST", "/_sandbox/transfer", "", {}, body)).status == 200

    def fault(self, fault: Fault, match: str = "POST /v1/businessAccount/transfers", times: int = 1) -> None:
        self.mint.faults.add(Rule(match, fault, times))

    async def propose(self, amount: str | None = None) -> Any:
        body = {} if amount is None else {"amount": amount}
        return await self.world.operator("POST", ORDERS, body)

    async def approve(self, order: dict[str, Any]) -> Any:
        return await self.world.operator("POST", f"{ORDERS}/{order['id']}/approve", {"digest": order["digest"]})

    async def ordered(self, amount: str) -> int:
        """An approved order; its id."""
        order = (await self.propose(amount)).body
        assert (await self.approve(order)).status == 200
        return int(order["id"])

    async def order(self, order_id: int = 1) -> dict[str, Any]:
        shown = await self.world.operator("GET", f"{ORDERS}/{order_id}")
        assert shown.status == 200, shown
        return dict(shown.body)

    async def order_is(self, state: str, order_id: int = 1) -> dict[str, Any]:
        async def holds() -> bool:
            return bool((await self.order(order_id))["state"] == state)

        await self.slowly(f"order {order_id} is {state}", holds)
        return await self.order(order_id)

    async def until_order_says(self, text: str) -> None:
        """Wait until the order's work says why it waits."""

        async def says() -> bool:
            return any(text in (row["error"] or "") for row in await self.open_work("conversion"))

        await self.slowly(f"the order says: {text}", says)

    async def slowly(self, what: str, holds: Callable[[], Awaitable[bool]]) -> None:
        """As `until`, with fewer looks: an order moves in minutes."""
        for _ in range(LOOKS_MOST):
            self.world.check_alive()
            if await holds():
                return
            await self.world.clock.sleep(LOOK_SECONDS)
        raise AssertionError(f"still not: {what}; {await self.open_work('conversion')}")

    def deposits(self) -> list[tuple[int, int]]:
        """What arrived at the platform wallet, and what of it nothing explains."""
        rows = rows_of(self.world, "SELECT amount, unexplained FROM chain_movements WHERE kind = 'deposit' ORDER BY id")
        return [(row["amount"], row["unexplained"]) for row in rows]
