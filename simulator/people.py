"""Who lives in a simulated week: creators, buyers, Stripe's support desk, the treasurer and the operator.

They speak to the daemon as anybody would, over its API, and have a person's patience: what is not answered is asked
again a little later, a few times.
"""

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from solders.pubkey import Pubkey

from sandbox.circle_service.transactions import Transaction
from sandbox.content_ids import content_id
from sandbox.solana_node.errors import NodeError
from sandbox.stripe_service.errors import ApiError
from simulator.checker import Wish
from simulator.stage import Stage
from simulator.world import Answer

PATIENCE_SECONDS = (0.5, 2.0, 5.0, 15.0, 60.0, 300.0, 1_800.0, 7_200.0)
PASSWORD = "correct horse battery"
PRICES_CENTS = (50, 99, 100, 250, 300, 333, 999, 1_234, 20_000)
EDITIONS = (1, 2, 3, None)
HESITATES_SECONDS = (5, 60, 900, 20_000)
"""Between looking at Stripe's page and paying: meanwhile others buy the last edition, or an old backup is made."""
HESITATES_IN_A_RUSH_SECONDS = (5, 60, 900)
"""Not until the page has run out."""
DECLINED, HESITATES, PAYS = 0.1, 0.4, 0.97
"""Of all buyers' manners, drawn from 0 to 1: up to these; the rest never comes back."""
PAYS_AT_ONCE = 0.5
FINDS_HIS_PIN_SECONDS = (60, 600, 7_200)
"""After having paid: by then Stripe has named its fee, and the mint may pay the creators in the same transaction."""
HAS_AN_ACCOUNT = 0.7
AGAIN = frozenset({429, 502, 503})
WISHES = 3
"""Of a stranger, at one visit."""
REFUNDS_FAIL = 0.3
REGRETS_AFTER_SECONDS = (60, 3_600, 40_000)
"""Whoever wants his money back before anything is paid comes again after that, once or twice."""


def account_of(name: str) -> dict[str, str]:
    """What somebody signs in with."""
    return {"email": f"{name}@example.com", "password": PASSWORD}


def key_of(wish: str) -> str:
    """By which somebody asks for the same once more."""
    return str(UUID(bytes=hashlib.sha256(wish.encode()).digest()[:16], version=4))


@dataclass(slots=True)
class Person:
    name: str
    id: int = 0
    token: str = ""
    address: str | None = None


@dataclass(slots=True)
class Work:
    """Something for sale, and who gets which basis points of its creator side."""

    id: int
    price_cents: int
    shares: tuple[tuple[Person, int], ...]
    editions: int | None
    title: str
    ipfs_hash: str

    def wish_of(self, buyer: Person) -> Wish:
        """What somebody wants who asks for it."""
        shares = {who.id: bps for who, bps in self.shares}
        uri = f"ipfs://{self.ipfs_hash}"
        return Wish(buyer.id, self.id, self.price_cents, shares, self.editions, self.title, uri)


@dataclass(slots=True)
class Cast:
    """Everybody, and what they made and paid."""

    stage: Stage
    dice: random.Random
    creators: list[Person] = field(default_factory=list)
    buyers: list[Person] = field(default_factory=list)
    works: list[Work] = field(default_factory=list)
    titles: int = 0
    paid: int = 0
    accepted: set[str] = field(default_factory=set)
    """Signatures of outflows that the operator declared his own."""
    own_moves: list[Transaction] = field(default_factory=list)
    """What the treasurer moved out by hand in Circle's console."""
    moved_out: int = 0
    """Base units that he has put in for it, or is about to."""
    newcomers: int = 0
    without_pin: int = 0
    fund: Callable[[float], Awaitable[None]] | None = None
    """How the treasurer gets a part of what is missing where he does not send USDC himself."""
    sold: dict[str, Work] = field(default_factory=dict)
    """Paid Session → what was bought."""

    @property
    def explained(self) -> set[str]:
        """Signatures of outflows that no payout has to explain."""
        return self.accepted | {one.tx_hash for one in self.own_moves if one.tx_hash is not None}

    async def gather(self, creators: int, buyers: int, bring_over: Callable[["Cast", str], Awaitable[bool]]) -> None:
        """Everybody signs up, or is there from before, every creator publishes."""
        for number in range(creators):
            name = f"creator{number}"
            self.creators.append(await (self.enter(name) if await bring_over(self, name) else self._sign_up(name)))
        for number in range(buyers):
            self.buyers.append(await self._sign_up(f"buyer{number}"))
        for number, creator in enumerate(self.creators):
            await self._publish(creator, editions=None if number else self.dice.choice(EDITIONS))
        if len(self.creators) > 1:
            first, second = self.creators[:2]
            await self._publish(first, shares=((first, 3_333), (second, 6_667)))

    async def ask(
        self, method: str, path: str, body: Any = None, token: str | None = None, *, admin: bool = False
    ) -> Answer | None:
        """As a person asks: again when nobody answers; None when he gives up."""
        for seconds in PATIENCE_SECONDS:
            answer = await self.stage.call(method, path, body, token, admin=admin)
            if answer is not None and answer.status not in AGAIN:
                return answer
            await self.stage.clock.sleep(seconds)
        return None

    async def _sign_up(self, name: str) -> Person:
        body = {**account_of(name), "invite_code": "welcome", "username": name}
        await self.ask("POST", "/api/auth/signup/", body)
        return await self.enter(name)

    async def enter(self, name: str) -> Person:
        """Sign in. Raises RuntimeError when that can't be done."""
        login = await self.ask("POST", "/api/auth/login/", account_of(name))
        if login is None or login.status != 200:
            raise RuntimeError(f"{name} can't sign in: {login}")
        person = Person(name, token=login.body["token"])
        self.stage.records.secrets.update((person.token, PASSWORD))
        profile = await self.ask("GET", "/api/profile/", token=person.token)
        if profile is None or profile.status != 200:
            raise RuntimeError(f"{name} has no profile: {profile}")
        person.id = int(profile.body["user_id"])
        return person

    async def _publish(
        self,
        author: Person,
        editions: int | None = None,
        shares: tuple[tuple[Person, int], ...] = (),
        dice: random.Random | None = None,
    ) -> Work:
        price = (dice or self.dice).choice(PRICES_CENTS)
        title, self.titles = f"Sunrise {self.titles}", self.titles + 1
        ipfs_hash = content_id(title.encode())
        body: dict[str, Any] = {"title": title, "description": "", "price_cents": price, "ipfs_hash": ipfs_hash}
        body["idempotency_key"] = key_of(title)
        if editions is not None:
            body["editions"] = editions
        if shares:
            body["collaborators"] = [{"user_id": who.id, "share_bps": bps} for who, bps in shares]
        made = await self.ask("POST", "/api/content/", body, author.token)
        if made is None or made.status != 201:
            raise RuntimeError(f"{author.name} can't publish: {made}")
        shared = shares or ((author, 10_000),)
        self.works.append(Work(int(made.body["id"]), price, shared, editions, title, ipfs_hash))
        return self.works[-1]

    async def publish(self, dice: random.Random) -> None:
        """Some creator has made another work; he asks again when he isn't told that it is for sale."""
        try:
            await self._publish(dice.choice(self.creators), dice=dice)
        except RuntimeError as error:
            self.stage.trace.tell("nothing is published:", error)

    # --- the shop ---------------------------------------------------------------------------------------------

    async def buy(self) -> None:
        """Somebody buys something: most pay at once, some are declined first, some never come back."""
        buyer, work, manner = self.dice.choice(self.buyers), self.dice.choice(self.works), self.dice.random()
        await self.shop(buyer, work, manner)

    async def rush(self) -> None:
        """A work of few editions is new, many open its page at once, and more of them pay than there are editions: all
        who pay when everybody has the page, for the shop sends away whoever comes when the last edition is taken."""
        editions = self.dice.randint(1, max(1, len(self.buyers) - 1))
        try:
            work = await self._publish(self.dice.choice(self.creators), editions)
        except RuntimeError as error:
            self.stage.trace.tell("nobody comes:", error)
            return
        hesitates = self.dice.choice(HESITATES_IN_A_RUSH_SECONDS)
        async with asyncio.TaskGroup() as group:
            for buyer in self.buyers:
                group.create_task(self.shop(buyer, work, HESITATES, hesitates))

    async def newcomer(self) -> None:
        """Somebody signs up and pays before he has a wallet; the treasurer has sent money ahead of sales, and most
        creators have been paid in USDC before."""
        self.newcomers += 1
        work, custody = self.dice.choice(self.works), self.stage.circle.custody
        switches = custody.switches
        for wallet in list(custody.wallets.wallets.values()):
            if self.dice.random() < HAS_AN_ACCOUNT:
                with suppress(NodeError):  # it is there, and frozen or given away
                    self.stage.node.mint_usdc(Pubkey.from_string(wallet.address), 0)
        await self.top_up()
        await self.deposit(work.price_cents * 9_000)
        self.without_pin, switches.auto_pin = self.without_pin + 1, False
        try:
            await self.shop(await self._sign_up(f"newcomer{self.newcomers}"), work, PAYS_AT_ONCE)
            await self.stage.clock.sleep(self.dice.choice(FINDS_HIS_PIN_SECONDS))
        except RuntimeError as error:
            self.stage.trace.tell("a newcomer gives up:", error)
        finally:
            self.without_pin -= 1
            switches.auto_pin = self.without_pin == 0

    async def shop(
        self,
        buyer: Person,
        work: Work,
        manner: float,
        hesitates: float | None = None,
        until: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """`until` is waited for when the page is open, by somebody who pays at once otherwise."""
        wish = {"content_id": work.id, "payment_method": "card"}
        opened = await self.ask("POST", "/api/checkout/stripe/", wish, buyer.token)
        if opened is None or opened.status != 200:
            self.stage.trace.tell(buyer.name, "could not buy:", opened.status if opened else "no answer")
            return
        session, controls = opened.body["session_id"], self.stage.stripe.controls
        if not self.stage.records.restored:  # an old backup gives the ids of the works that it forgot to new ones
            self.stage.people.wishes[session] = work.wish_of(buyer)
        try:
            if manner < DECLINED:
                controls.decline(session)
                await self.stage.clock.sleep(20)
            elif manner <= HESITATES:
                await self.stage.clock.sleep(hesitates or self.dice.choice(HESITATES_SECONDS))
            if until is not None:
                await until()
            if manner > PAYS:
                self.stage.trace.tell(buyer.name, "leaves", session, "unpaid")
                return
            controls.pay(session)
        except ApiError as error:
            self.stage.trace.tell(buyer.name, "can't pay", session, error.message)
            return
        self.paid += 1
        self.sold[session] = work
        self.stage.trace.tell(buyer.name, "pays", session, "for work", work.id, f"at {work.price_cents} cents")

    async def pester(self) -> None:
        """Somebody asks for what nobody gets, again and again: each is refused, or not answered, and leaves nothing
        behind."""
        buyer = self.dice.choice(self.buyers)
        account = {**account_of(buyer.name), "password": "a wrong password"}
        wishes: tuple[tuple[str, Any, Person | None], ...] = (
            ("/api/auth/signup/", {"email": "x@example.com", "password": PASSWORD, "invite_code": "guessed"}, None),
            ("/api/auth/login/", account, None),
            ("/api/content/", {"title": "Cheap", "description": "", "price_cents": 49, "ipfs_hash": "QmX"}, buyer),
            ("/api/checkout/stripe/", {"content_id": 999_999, "payment_method": "card"}, buyer),
            ("/api/checkout/stripe/", {"content_id": self.works[0].id, "payment_method": "cash"}, buyer),
            ("/api/checkout/stripe/", {"content_id": self.works[0].id, "payment_method": "card"}, None),
            ("/api/checkout/webhook/", {"id": "evt_forged"}, None),
            ("/api/circle/webhook/", {"notificationId": "forged"}, None),
        )
        for path, body, who in self.dice.sample(wishes, k=WISHES):
            answer = await self.stage.call("POST", path, body, who.token if who else None)
            if answer is not None and answer.status < 400:
                self.stage.findings.add(f"I16: POST {path} of a stranger was answered {answer.status}")
        stolen = await self.stage.call("POST", "/admin/api/batches", {}, "guessed", admin=True)
        if stolen is not None and stolen.status < 400:
            self.stage.findings.add(f"I16: a batch was planned with a guessed token: {stolen.status}")

    # --- money that comes back --------------------------------------------------------------------------------

    async def refund(self) -> None:
        """The platform's support gives a buyer back all or a part; now and then his bank sends it back."""
        payment = await self._some_payment()
        if payment is None:
            return
        left = payment["gross_cents"] - payment["refunded_cents"]
        amount = left if self.dice.random() < 0.5 else self.dice.randint(1, max(1, left))
        fails = self.dice.random() < REFUNDS_FAIL
        made = self._give_back(payment, amount)
        if fails and made is not None:
            await self.stage.clock.sleep(self.dice.choice((5, 600, 86_400)))
            with suppress(ApiError):  # it had been left pending, and has failed meanwhile
                self.stage.stripe.controls.fail_refund(made)
                self.stage.trace.tell("refund", made, "fails")

    async def exchange(self) -> None:
        """Somebody gives back what he bought, and buys another work of the same creators."""
        payment = await self._some_payment()
        if payment is None:
            return
        self._give_back(payment, payment["gross_cents"] - payment["refunded_cents"])
        await self.stage.clock.sleep(self.dice.choice((5, 600)))
        before = {who.id for who, _ in self.sold[payment["session"]].shares}
        works = [work for work in self.works if before & {who.id for who, _ in work.shares}]
        await self.shop(self.dice.choice(self.buyers), self.dice.choice(works), PAYS_AT_ONCE)

    def _give_back(self, payment: Any, cents: int) -> str | None:
        """The refund's id; None when Stripe refuses it."""
        try:
            made: Any = self.stage.stripe.controls.refund(payment["payment_intent"], cents)
        except ApiError:
            return None
        self.stage.trace.tell("refund", made["id"], "of", cents, "for", payment["payment_intent"])
        return str(made["id"])

    async def dispute(self) -> None:
        """A buyer complains at his bank; days later it is decided."""
        payment = await self._some_payment()
        controls = self.stage.stripe.controls
        if payment is None or payment["disputes"]:
            return
        inquiry, outcome = self.dice.random() < 0.3, self.dice.choice(("won", "lost"))
        wait = self.dice.choice((60, 3_600, 200_000))
        try:
            made: Any = controls.open_dispute(payment["payment_intent"], inquiry=inquiry)
            self.stage.trace.tell("dispute", made["id"], "of", payment["payment_intent"])
            await self.stage.clock.sleep(wait)
            if inquiry and outcome == "lost":
                controls.escalate_dispute(made["id"])
            closed = "warning_closed" if inquiry and outcome == "won" else outcome
            controls.close_dispute(made["id"], closed)
            self.stage.trace.tell("dispute", made["id"], "is", closed)
        except ApiError:
            return

    async def _some_payment(self) -> Any:
        """One of all that were made, waited for a little; None where nobody pays."""
        for seconds in REGRETS_AFTER_SECONDS:
            paid = [one for one in self.stage.records.payments() if one["status"] == "succeeded"]
            if paid:
                return self.dice.choice(paid)
            await self.stage.clock.sleep(seconds)
        return None

    # --- the treasury -----------------------------------------------------------------------------------------

    async def deposit(self, base_units: int) -> None:
        """A conversion lands in the platform wallet."""
        if base_units > 0:
            self.stage.node.mint_usdc(Pubkey.from_string(self.stage.platform.address), base_units)
            self.stage.trace.tell("deposit of", base_units)

    def due_in_all(self) -> int:
        """More than all creators together can be due of what was paid so far, beside what is moved out (base units)."""
        return self.moved_out + sum(int(one["gross_cents"]) for one in self.stage.records.payments()) * 9_000

    async def top_up(self, part: float = 1.0) -> None:
        """Deposit what is missing for everybody, or a part of it."""
        if self.fund is not None:
            await self.fund(part)
            return
        missing = self.due_in_all() - self.stage.records.inflow()
        await self.deposit(int(missing * part))
