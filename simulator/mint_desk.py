"""The treasurer at Circle Mint: has USDC ordered, agrees to the order, and has his bank wire the dollars for it."""

import asyncio
import json
import random
from typing import Any

from sandbox.mint_service.books import Status
from sandbox.service import Request
from simulator.operator import Operator
from simulator.people import Cast

ORDERS = "/admin/api/conversions/orders"
CENT = 10_000
USDC = 10**6
SENT_FROM = ("proposed", "approved")
"""Until then an order can be taken back; afterwards it is Circle's."""
PENDING_MS = (2_000, 2_000, 600_000, 3_600_000)
"""How long Circle takes to credit a wire."""
BETWEEN_WIRES_SECONDS = (5, 200, 900)
IN_PARTS, BEFORE_ITS_APPROVAL, BY_THE_DAEMONS_FIGURE = 0.3, 0.5, 0.5
LOOK_SECONDS, LOOKS_MOST = 60, 100
AHEAD = 4
"""At the pace of the last four weeks at most a quarter of all sales is expected until the next Monday."""


class MintDesk:
    """`fund` is called wherever the treasurer would put USDC into the wallet himself. One order at a time."""

    def __init__(self, cast: Cast, operator: Operator, dice: random.Random) -> None:
        self._cast, self._operator, self._dice = cast, operator, dice
        self._mint = cast.stage.outside.mint
        self._mint.books.switches.deposit_ms = dice.choice(PENDING_MS)
        self._one = asyncio.Lock()

    async def fund(self, part: float) -> None:
        """Order what is missing for everybody, or a part of it; several orders where a cap binds."""
        async with self._one:
            left = -(-int(self._missing() * part) // CENT) * CENT
            while await self._serve(left):
                left -= self._cast.stage.settings.agent_cap_conversion
                if left <= 0:
                    return
                await self._until_served()

    def _missing(self) -> int:
        """Beyond what came and what Circle is sending."""
        stage = self._cast.stage
        sending = sum(one.units for one in self._mint.books.transfers if one.status is Status.PENDING)
        return max(0, self._cast.due_in_all() - stage.records.inflow() - sending)

    async def _serve(self, wanted: int) -> bool:
        """Whatever order is there, or a new one; False when nothing more can be ordered now."""
        order = await self._shown() or await self._propose(wanted)
        if order is None or order["state"] not in SENT_FROM:
            return False
        if self._dice.random() < BEFORE_ITS_APPROVAL:
            await self._wire(order)
        await self._approve(order)
        await self._wire(order)
        return True

    async def _shown(self) -> dict[str, Any] | None:
        """The order under way."""
        shown = await self._ask("GET", f"{ORDERS}?limit=100")
        under_way = (one for one in (shown or {}).get("items", []) if one["origin"] == "order")
        return next((one for one in under_way if one["state"] in (*SENT_FROM, "sending")), None)

    async def _propose(self, wanted: int) -> dict[str, Any] | None:
        """By the daemon's own figure, or by his."""
        if wanted <= 0:
            return None
        made = await self._ask("POST", ORDERS, {}) if self._dice.random() < BY_THE_DAEMONS_FIGURE else None
        if made is not None:
            self._judge(_units(made["amount"]))
        else:
            amount = min(wanted, self._cast.stage.settings.agent_cap_conversion)
            made = await self._ask("POST", ORDERS, {"amount": _decimal(amount)}) or await self._shown()
        if made is not None:
            self._cast.stage.trace.tell("the treasurer orders", made["amount"], "by order", made["id"])
        return made

    def _judge(self, proposed: int) -> None:
        """The daemon may count on sales to come, but not on more than its own pace tells."""
        due = self._cast.due_in_all()
        if proposed > due + due // AHEAD + CENT:
            self._cast.stage.findings.add(f"I11: {proposed} were to be ordered, and all are due {due} together")

    async def _approve(self, order: dict[str, Any]) -> None:
        stage = self._cast.stage
        stage.people.agreed[order["uuid"]] = _units(order["amount"])
        for token in self._operator.tokens:
            path = f"{ORDERS}/{order['id']}/approve"
            await self._cast.ask("POST", path, {"digest": order["digest"]}, token, admin=True)

    async def _wire(self, order: dict[str, Any]) -> None:
        """What the account lacks for it, whatever the daemon has seen of it."""
        books = self._mint.books
        if any(one.status is Status.PENDING for one in books.transfers):
            return  # it is on its way already
        lacking = _units(order["amount"]) - books.available - books.unsettled
        if lacking <= 0:
            return
        first = lacking
        if self._dice.random() < IN_PARTS:
            first = self._dice.randint(1, lacking // CENT) * CENT
        self._bank(first)
        if lacking > first:
            await self._cast.stage.clock.sleep(self._dice.choice(BETWEEN_WIRES_SECONDS))
            self._bank(lacking - first)

    def _bank(self, units: int) -> None:
        body = json.dumps({"usd": _decimal(units)}).encode()
        self._mint.handle(Request("POST", "/_sandbox/wire", "", {}, body))
        self._cast.stage.trace.tell("the treasurer wires", units)

    async def _until_served(self) -> None:
        for _ in range(LOOKS_MOST):
            if await self._shown() is None:
                return
            await self._cast.stage.clock.sleep(LOOK_SECONDS)

    async def _ask(self, method: str, path: str, body: Any = None) -> dict[str, Any] | None:
        """None when no answer came, or a refusal."""
        answer = await self._cast.ask(method, path, body, self._operator.token, admin=True)
        return None if answer is None or answer.status >= 400 else dict(answer.body)


def _decimal(units: int) -> str:
    """Dollars and cents."""
    return f"{units // USDC}.{units % USDC // CENT:02d}"


def _units(text: str) -> int:
    whole, _, places = text.partition(".")
    return int(whole) * USDC + int(places.ljust(6, "0"))
