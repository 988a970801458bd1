"""What operators do besides their duty: each of it may be refused, none of it may break a rule."""

import random
from collections.abc import Awaitable, Callable
from typing import Any

from simulator.checker.dashboards import units
from simulator.operator import Operator
from simulator.people import Cast, Person, key_of
from simulator.treasurer import Treasurer
from simulator.world import Answer

BECAUSE = {"reason": "looked at"}
A_WHILE_SECONDS = (5, 600, 40_000)
DOLLARS_CENTS = (1, 1_000, 500_000)
ORDERED = ("0.01", "10.00", "49.99")
TAKEN_BACK = 0.7
SETTLES = 0.5
CRUMB, NOTICED_SECONDS = 1, 60
PARTS = (None, "0.01", "0.50", "1.00")
"""Of a payment that is given back, in dollars; None: all of it."""


def decimal(base_units: int) -> str:
    """USDC as the API takes it."""
    return f"{base_units // 10**6}.{base_units % 10**6:06d}"


class Whims:
    """`act` is one of them, drawn anew each time; `end` undoes what would keep money for ever."""

    def __init__(self, cast: Cast, operator: Operator, dice: random.Random, own: random.Random) -> None:
        """`own` are the dice of what came later: no world of before is another one by it."""
        self._own = own
        self._cast, self._operator, self._dice = cast, operator, dice
        self._treasurer = Treasurer(cast, operator, dice)
        self._announced = 0

    async def act(self) -> None:
        acts: tuple[Callable[[], Awaitable[None]], ...] = (
            self._hold,
            self._unhold,
            self._refund,
            self._refund,
            self._release,
            self._pause_a_batch,
            self._stop_sends,
            self._replay,
            self._take_down,
            self._reconcile,
            self._announce,
            self._end_a_token,
            self._close_an_invite,
            self._retry_wallets,
            self._treasurer.move_out,
        )
        if self._cast.stage.settings.converts:
            acts = (*acts, self._order, self._order)
        await self._dice.choice(acts)()
        if self._own.random() < SETTLES:
            await self._own.choice((self._announce_by_mistake, self._settle_a_debt, self._accept_a_deposit))()

    async def end(self) -> None:
        """Nothing is held any more but what may be paid already. Some of those who owe by now don't wait for sales."""
        for purchase_id in self._may_be_let_go():
            await self._cast.ask(
                "POST", f"/admin/api/purchases/{purchase_id}/unhold", BECAUSE, self._operator.token, admin=True
            )
        for creator in self._cast.creators:
            if self._own.random() < SETTLES:
                await self._settle_debt_of(creator)

    async def _ask(self, method: str, path: str, body: Any = None) -> Answer | None:
        """None when no answer came, or a refusal."""
        stage = self._cast.stage
        answer = await stage.call(method, f"/admin/api/{path}", body, self._operator.token, admin=True)
        stage.trace.tell("on a whim", method, path, answer.status if answer else "no answer")
        if answer is not None and answer.status == 500:
            stage.findings.add(f"an operator's wish was answered with a failure: {method} {path}: {answer.body}")
        return None if answer is None or answer.status >= 400 else answer

    def _sales(self) -> list[int]:
        return [row["id"] for row in self._cast.stage.checker.db.rows("SELECT id FROM purchases ORDER BY id")]

    def _may_be_let_go(self) -> list[int]:
        return [one for one in self._sales() if one not in self._operator.held_for_good]

    def _one(self) -> int | None:
        sales = self._sales()
        return self._dice.choice(sales) if sales else None

    async def _a_while(self) -> None:
        await self._cast.stage.clock.sleep(self._dice.choice(A_WHILE_SECONDS))

    async def _hold(self) -> None:
        await self._ask("POST", f"purchases/{self._one()}/hold", BECAUSE)

    async def _unhold(self) -> None:
        sales = self._may_be_let_go()
        if sales:
            await self._ask("POST", f"purchases/{self._dice.choice(sales)}/unhold", BECAUSE)

    async def _refund(self) -> None:
        amount = self._dice.choice(PARTS)
        await self._move_money("refund", {} if amount is None else {"amount": amount})

    async def _release(self) -> None:
        await self._move_money("release", {})

    async def _move_money(self, how: str, more: dict[str, str]) -> None:
        """What moves money is typed twice, and names the version that was looked at."""
        purchase_id = self._one()
        shown = await self._ask("GET", f"purchases/{purchase_id}")
        if shown is not None:
            seen = {"confirm": shown.body["purchase"]["stripe_payment_intent_id"], "version": shown.body["version"]}
            if how == "refund":
                self._cast.stage.people.asked_back[seen["confirm"]] += 1
            await self._ask("POST", f"purchases/{purchase_id}/{how}", {**BECAUSE, **seen, **more})

    async def _pause_a_batch(self) -> None:
        shown = await self._ask("GET", "batches")
        if shown is not None and shown.body["items"]:
            batch = f"batches/{shown.body['items'][0]['id']}"
            await self._ask("POST", f"{batch}/pause", BECAUSE)
            await self._a_while()
            await self._ask("POST", f"{batch}/resume", {})

    async def _stop_sends(self) -> None:
        await self._ask("POST", "sends/pause", BECAUSE)
        await self._a_while()
        await self._ask("POST", "sends/resume")

    async def _replay(self) -> None:
        source = f"events/{self._dice.choice(('stripe', 'circle'))}"
        shown = await self._ask("GET", source)
        if shown is not None and shown.body["items"]:
            await self._ask("POST", f"{source}/{self._dice.choice(shown.body['items'])['id']}/replay")

    async def _take_down(self) -> None:
        work = f"contents/{self._dice.choice(self._cast.works).id}"
        await self._ask("POST", f"{work}/take-down", BECAUSE)
        await self._a_while()
        await self._ask("POST", f"{work}/restore", BECAUSE)

    async def _reconcile(self) -> None:
        await self._ask("POST", "reconciliations", {})

    async def _announce(self) -> None:
        """Dollars that are to become USDC; they release nothing."""
        await self.announce(self._dice.choice(DOLLARS_CENTS))

    async def announce(self, cents: int) -> None:
        """Asked for again by its own key when no answer comes."""
        self._announced += 1
        note = f"wire {self._announced}"
        wish = {"usd_cents": cents, "note": note, "idempotency_key": key_of(note)}
        stage, path = self._cast.stage, "/admin/api/conversions"
        answer = await self._cast.ask("POST", path, wish, self._operator.token, admin=True)
        stage.trace.tell("on a whim", note, "of", cents, answer.status if answer else "no answer")
        if answer is not None and answer.status == 500:
            stage.findings.add(f"an operator's wish was answered with a failure: {path}: {answer.body}")

    async def _announce_by_mistake(self) -> None:
        """Withdrawn a while later, if nothing has come for it by then, and a stranger's crumb has the wallet looked at;
        asked for twice, as who sees no answer does."""
        await self.announce(self._own.choice(DOLLARS_CENTS))
        await self._cast.stage.clock.sleep(self._own.choice(A_WHILE_SECONDS))
        await self._cast.deposit(CRUMB)
        await self._cast.stage.clock.sleep(NOTICED_SECONDS)
        shown = await self._ask("GET", "conversions")
        waits = [one for one in shown.body["items"] if one["can_be_withdrawn"]] if shown is not None else []
        if waits:
            chosen = self._own.choice(waits)["id"]
            self._cast.stage.people.withdrawn.add(chosen)
            for _ in range(2):
                await self._ask("POST", f"conversions/{chosen}/withdraw", BECAUSE)

    async def _settle_a_debt(self) -> None:
        await self._settle_debt_of(self._own.choice(self._cast.creators))

    async def _settle_debt_of(self, creator: Person) -> None:
        """He may owe, has sent dollars, or is let off, for all of it or a part."""
        shown = await self._ask("GET", f"users/{creator.id}")
        owes = 0 if shown is None else units(shown.body["owes"])
        if shown is None or not owes:
            return
        way, amount = self._own.choice(("repaid", "forgiven")), self._own.choice((owes, max(1, owes // 3)))
        self._cast.stage.people.said_settled[way] += amount
        told = {"way": way, "amount": decimal(amount), "owes": shown.body["owes"]}
        for _ in range(2):
            await self._ask("POST", f"users/{creator.id}/debt/settle", {**BECAUSE, **told})

    async def _accept_a_deposit(self) -> None:
        """Some of the treasurer's money was no conversion. What Circle Mint brings is one, whenever it is heard of."""
        if self._cast.stage.settings.converts:
            return
        shown = await self._ask("GET", "deposits?unexplained=true")
        if shown is not None and shown.body["items"]:
            chosen = self._own.choice(shown.body["items"])
            self._cast.stage.people.said_settled["own"] += units(chosen["unexplained"])
            for _ in range(2):
                told = {**BECAUSE, "amount": chosen["unexplained"]}
                await self._ask("POST", f"deposits/{chosen['id']}/accept", told)

    async def _order(self) -> None:
        """USDC from Circle Mint that nobody needs, taken back a while later if nobody has agreed to it by then."""
        made = await self._ask("POST", "conversions/orders", {"amount": self._dice.choice(ORDERED)})
        if made is not None and self._dice.random() < TAKEN_BACK:
            await self._a_while()
            await self._ask("POST", f"conversions/orders/{made.body['id']}/cancel", BECAUSE)

    async def _end_a_token(self) -> None:
        made = await self._ask("POST", "tokens", {"name": f"guest{self._dice.randrange(10**6)}", "role": "viewer"})
        if made is not None:
            self._cast.stage.records.secrets.add(str(made.body["secret"]))
            await self._ask("POST", f"tokens/{made.body['token']['id']}/revoke")

    async def _close_an_invite(self) -> None:
        if await self._ask("POST", "invites", {"uses": 1}) is not None:
            shown = await self._ask("GET", "invites")
            if shown is not None and shown.body["items"]:
                await self._ask("POST", f"invites/{shown.body['items'][0]['id']}/close")

    async def _retry_wallets(self) -> None:
        await self._ask("POST", "retry/wallet", {"all": True})
