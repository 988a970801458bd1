"""Plays the week, stage by stage, and then looks at everything anew from outside."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial

from sandbox.week.access import Access
from sandbox.week.arithmetic import creator_side, shared, usdc_text
from sandbox.week.chain import Chain
from sandbox.week.facts import Creator, Member, Sale, Seen
from sandbox.week.outside import Outside
from sandbox.week.plan import WeekPlan
from sandbox.week.report import Outcome, outcome
from sandbox.week.shop import DISTRIBUTED, Shop
from sandbox.week.stages import Stages
from sandbox.week.wire import NO_PROGRESS_SECONDS, WeekFailed, Wire, each, follow

LAST_LINES = 15
LAST_WAIT_SECONDS = 60.0
"""How long the batch command may take to notice that everything is paid."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A command that has ended: its exit code and all it wrote."""

    exit_code: int
    output: str


RunCommand = Callable[[Sequence[str]], Awaitable[Finished]]
"""Runs `distribute_usdc_batch` with these options, as the operator would in a terminal."""


@dataclass(frozen=True, slots=True)
class Published:
    """A content of the week, as the platform listed it. `shares` are basis points by user id."""

    content_id: int
    uri: str
    shares: dict[int, int]


class Week:
    """One week. `play` never raises WeekFailed: what fails is a violation in its outcome. `in_real_time`: USDC is there
    before the sales, each is paid as it is minted, and the batch has what is left."""

    def __init__(
        self,
        access: Access,
        plan: WeekPlan,
        wire: Wire,
        stages: Stages,
        distribute_usdc_batch: RunCommand,
        *,
        in_real_time: bool = False,
        no_progress_seconds: float = NO_PROGRESS_SECONDS,
    ) -> None:
        self._access = access
        self._plan = plan
        self._stages = stages
        self._distribute = distribute_usdc_batch
        self._in_real_time = in_real_time
        self._follow = partial(follow, no_progress_seconds=no_progress_seconds)
        self._shop = Shop(wire, access)
        self._outside = Outside(wire, access)
        self._chain = Chain(wire, access.solana_rpc, access.usdc_mint)
        self._creators: list[Member] = []
        self._buyers: list[Member] = []
        self._published: list[Published] = []
        self._seen = Seen()
        self._pay_page: str | None = None

    async def play(self) -> Outcome:
        """The whole week and its checks."""
        began = time.monotonic()
        for part in (self._sell, self._pay_out, self._look):
            try:
                await part()
            except WeekFailed as error:
                self._seen.failures.append(str(error))
                if part is self._sell:
                    break
        people = (self._creators, self._buyers)
        return outcome(self._seen, time.monotonic() - began, self._stages.seconds, people, self._pay_page)

    async def _sell(self) -> None:
        await self._sign_up()
        await self._publish()
        if self._in_real_time:
            prices = [self._plan.pieces[piece].price_cents for piece in self._plan.sales]
            await self._convert(sum(creator_side(price, 0) for price in prices))
        await self._buy()
        with self._stages.stage("NFTs minted", len(self._seen.sales)) as advance:
            await self._follow("minting", self._seen.sales, self._shop.is_minted, advance)

    async def _sign_up(self) -> None:
        people = [*self._plan.creators, *self._plan.buyers]
        with self._stages.stage("Accounts", len(people)) as advance:

            async def join(number: int) -> Member:
                member = await self._shop.join(people[number])
                advance(1)
                return member

            members = await each(join, range(len(people)))
        self._creators, self._buyers = members[: len(self._plan.creators)], members[len(self._plan.creators) :]
        with self._stages.stage("Wallets", len(members)) as advance:
            await self._follow("wallets", members, self._shop.has_wallet, advance)

    async def _publish(self) -> None:
        with self._stages.stage("Contents", len(self._plan.pieces)) as advance:
            for piece in self._plan.pieces:
                shares = {self._creators[place].user_id: bps for place, bps in piece.shares.items()}
                told = await self._shop.publish(self._creators[piece.author], piece, shares)
                self._published.append(Published(told["id"], told["metadata_uri"], shares))
                advance(1)

    async def _buy(self) -> None:
        with self._stages.stage("Purchases paid", len(self._plan.sales)) as advance:

            async def buy(place: int) -> Sale:
                piece, buyer = self._plan.sales[place], self._buyers[place]
                content = self._published[piece]
                session_id = (await self._shop.check_out(buyer, content.content_id))["session_id"]
                await self._outside.pay(session_id)
                advance(1)
                return Sale(
                    buyer, self._plan.pieces[piece], content.content_id, content.uri, content.shares, session_id
                )

            self._seen.sales = await each(buy, range(len(self._plan.sales)))

    async def _pay_out(self) -> None:
        """By the batch: the dry run, the conversion, the batch. In real time the batch is for what is left."""
        await self._work_out_dues()
        if self._in_real_time:
            await self._watch_real_time()
        await self._dry_run()
        if not self._in_real_time:
            await self._convert(sum(creator.due for creator in self._seen.creators))
        await self._run_batch()

    async def _watch_real_time(self) -> None:
        """Until every sale is paid without anybody's doing, or nothing more happens."""
        sales, seen = self._seen.sales, self._seen
        with self._stages.stage("Paid in real time", len(sales)) as advance:
            try:
                await self._follow("real-time payout", sales, self._shop.is_distributed, advance)
            except WeekFailed as error:
                self._stages.say(f"{error}; the batch has the rest")
        unpaid = [sale for sale in sales if sale.purchase.get("usdc_payment_status") != DISTRIBUTED]
        seen.paid_in_real_time, seen.before_batch = len(sales) - len(unpaid), unpaid

    async def _dry_run(self) -> None:
        self._stages.say("\n$ python main.py distribute_usdc_batch --dry-run")
        dry = await self._distribute(["--dry-run"])
        self._seen.dry_run = dry.output
        self._stages.say(dry.output + "\n")
        if dry.exit_code != 0:
            self._seen.failures.append(f"distribute_usdc_batch --dry-run ended with {dry.exit_code}")

    async def _run_batch(self) -> None:
        sales = self._seen.sales
        with self._stages.stage("Paid out", len(sales)) as advance:
            command = asyncio.ensure_future(self._distribute(["--auto-confirm", "--wait"]))
            watch = asyncio.create_task(self._follow("distribution", sales, self._shop.is_distributed, advance))
            try:
                await asyncio.wait((command, watch), return_when=asyncio.FIRST_COMPLETED)
                if command.done() and command.result().exit_code != 0:
                    raise _command_failed(command.result())
                await watch
                async with asyncio.timeout(LAST_WAIT_SECONDS):
                    paid = await command
            except TimeoutError:
                raise WeekFailed("distribute_usdc_batch --wait goes on after everything is paid") from None
            finally:
                command.cancel()
                watch.cancel()
                await asyncio.gather(command, watch, return_exceptions=True)
        if paid.exit_code != 0:
            raise _command_failed(paid)

    async def _work_out_dues(self) -> None:
        """Who must get what, from Stripe's record of the fees."""
        payments = await self._outside.payments()
        by_user = {member.user_id: Creator(member) for member in self._creators}
        for sale in self._seen.sales:
            sale.payment = payments.get(sale.session_id, {})
            if sale.payment.get("fee_cents") is None:
                raise WeekFailed(f"Stripe has no fee for session {sale.session_id}")
            side = creator_side(sale.payment["gross_cents"], sale.payment["fee_cents"])
            for user_id, part in shared(side, sale.shares).items():
                by_user[user_id].due += part
                by_user[user_id].sales += 1
        self._seen.creators, self._seen.before_batch = list(by_user.values()), self._seen.sales

    async def _convert(self, base_units: int) -> None:
        """The operator turns dollars into USDC and sends them; waits until the chain calls it final."""
        wallet, seen = self._access.platform_wallet_address, self._seen
        seen.platform_before = await self._chain.usdc_of(wallet)
        seen.deposited = base_units
        with self._stages.stage("USDC converted", 1) as advance:
            await self._outside.convert(seen.deposited)

            async def arrived(_: None) -> bool:
                return await self._chain.usdc_of(wallet) >= seen.platform_before + seen.deposited

            await self._follow("the conversion's USDC", [None], arrived, advance)
        self._stages.say(f"{usdc_text(seen.deposited)} USDC arrived in the platform wallet {wallet}")

    async def _look(self) -> None:
        """Everything once more, from the chain and from each person's own pages."""
        seen = self._seen
        with self._stages.stage("Checks", len(seen.sales) + len(seen.creators)) as advance:

            async def check_sale(sale: Sale) -> None:
                await self._shop.refresh(sale)
                seen.nfts.extend(await self._chain.nfts_of(sale.buyer.address))
                advance(1)

            async def check_creator(creator: Creator) -> None:
                creator.on_chain = await self._chain.usdc_of(creator.member.address)

            await each(check_sale, seen.sales)
            await each(check_creator, seen.creators)
            await self._follow("dashboards", seen.creators, self._shop.has_dashboard, advance)
            seen.platform_after = await self._chain.usdc_of(self._access.platform_wallet_address)
            seen.ledger_sum = await self._shop.ledger_imbalance()
        await self._open_a_checkout()

    async def _open_a_checkout(self) -> None:
        """A checkout that nobody pays, for whoever wants to see the pay page."""
        unlimited = next((place for place, piece in enumerate(self._plan.pieces) if piece.editions is None), None)
        if unlimited is not None:
            told = await self._shop.check_out(self._buyers[-1], self._published[unlimited].content_id)
            self._pay_page = told["redirect_url"]


def _command_failed(finished: Finished) -> WeekFailed:
    last = "\n".join(finished.output.splitlines()[-LAST_LINES:])
    return WeekFailed(f"distribute_usdc_batch ended with {finished.exit_code}: {last}")
