"""The distribution command against a real admin port, planner and database: what it prints and how it ends."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

import pytest
from sqlalchemy import Connection

from agent.cli.client import AdminClient, AnswerLost, CommandFailed, DaemonDown
from agent.cli.distribution import Distribution, Exit, Report, Wishes
from agent.cli.terminal import ShowProgress
from agent.web.admin.batch_bodies import BatchRow, Preview
from config.admin_access import AdminAccess
from domain.states import BatchStatus
from storage import tables
from storage.payouts import batches
from storage.treasury import funding
from tests.cli.conftest import House
from tests.sales import START


class Screen:
    """A terminal that keeps what it is shown, and answers as told; None = nobody is there."""

    def __init__(self, answer: bool | None = None) -> None:
        self.answer, self.lines, self.questions, self.shown = answer, list[str](), list[str](), list[str]()

    @property
    def can_ask(self) -> bool:
        return self.answer is not None

    def say(self, line: str) -> None:
        self.lines += line.split("\n")

    def ask(self, question: str) -> bool:
        self.questions.append(question.strip())
        return bool(self.answer)

    @contextmanager
    def progress(self) -> Iterator[ShowProgress]:
        yield lambda text, done, total: self.shown.append(f"{text}: {done}/{total}")


class Steps:
    """A clock whose nth sleep runs what the daemon would have done by then."""

    def __init__(self, house: House, *happen: Callable[[], Awaitable[object]]) -> None:
        self._clock, self._happen = house.shop.clock, list(happen)

    def now(self) -> datetime:
        return self._clock.now()

    def monotonic(self) -> float:
        return self._clock.monotonic()

    async def sleep(self, seconds: float) -> None:
        await self._clock.sleep(seconds)
        if self._happen:
            await self._happen.pop(0)()


async def sell(house: House, *counts: int, deposit: int = 0) -> None:
    """As many purchases for each creator, 2.35 USDC each."""

    def write(conn: Connection) -> None:
        buyer = house.sales.user(conn, "buyer")
        for number, purchases in enumerate(counts):
            creator = house.sales.user(conn, f"creator {number}")
            content = house.sales.content(conn, creator)
            for _ in range(purchases):
                house.sales.sold(conn, content, buyer, START)
        if deposit:
            house.sales.deposit(conn, deposit)

    await house.shop.store.write(write)


async def go(
    house: House, client: AdminClient, screen: Screen, wishes: Wishes, *happen: Callable[[], Awaitable[object]]
) -> tuple[Exit, Report]:
    work = Distribution(client, wishes, screen, Steps(house, *happen))
    return await work.go(), work.report


async def test_nothing_owed_is_nothing_to_pay(house: House, client: AdminClient) -> None:
    screen = Screen()
    code, report = await go(house, client, screen, Wishes())
    assert (code, report.outcome) == (Exit.ACCEPTED, "nothing_to_pay")
    assert screen.lines[:3] == ["Total purchases: 0", "Total USDC to distribute: 0.00", "Number of creators: 0"]
    assert await house.shop.rows(tables.batches) == 0


async def test_a_covered_batch_is_accepted_and_its_lines_are_sorted_by_amount(
    house: House, client: AdminClient
) -> None:
    await sell(house, 1, 3, deposit=9_400_000)
    screen = Screen()
    code, report = await go(house, client, screen, Wishes(auto_confirm=True))
    assert (code, report.outcome) == (Exit.ACCEPTED, "accepted")
    assert screen.lines[:3] == ["Total purchases: 4", "Total USDC to distribute: 9.40", "Number of creators: 2"]
    assert screen.lines[5:7] == [
        "  creator 1  $7.05 USDC  (3 purchases)",
        "  creator 0  $2.35 USDC  (1 purchase)",
    ]
    assert "Platform wallet: 500.00 USDC, 2.50 SOL" in screen.lines
    assert "Batch 1" in screen.lines[-1]
    assert await house.shop.rows(tables.batches) == 1


async def test_without_a_terminal_and_without_auto_confirm_nothing_is_planned(
    house: House, client: AdminClient, capsys: pytest.CaptureFixture[str]
) -> None:
    await sell(house, 1, deposit=5_000_000)
    code, _ = await go(house, client, Screen(None), Wishes())
    assert code == Exit.NO_TERMINAL
    assert "--auto-confirm" in capsys.readouterr().err
    assert await house.shop.rows(tables.batches) == 0


@pytest.mark.parametrize(("answer", "code", "planned"), [(False, Exit.ERROR, 0), (True, Exit.ACCEPTED, 1)])
async def test_on_a_terminal_it_asks_with_the_figures_in_the_question(
    house: House, client: AdminClient, answer: bool, code: Exit, planned: int
) -> None:
    await sell(house, 2, deposit=5_000_000)
    screen = Screen(answer)
    assert (await go(house, client, screen, Wishes()))[0] == code
    assert screen.questions == ["Pay 4.70 USDC to 1 creator for 2 purchases?"]
    assert await house.shop.rows(tables.batches) == planned


async def test_what_the_wallet_does_not_cover_is_exit_3_with_need_have_and_short(
    house: House, client: AdminClient
) -> None:
    await sell(house, 3, deposit=5_000_000)
    screen = Screen()
    code, report = await go(house, client, screen, Wishes(auto_confirm=True))
    assert (code, report.outcome) == (Exit.NOT_COVERED, "not_covered")
    assert report.shortage == {"need": "7.05", "have": "5.00", "short": "2.05"}
    assert "Still to convert: 2.05 USDC" in screen.lines
    assert "InsufficientBalanceError: need 7.05, have 5.00, short 2.05 USDC" in screen.lines[-1]


async def test_an_unreadable_balance_stops_the_run_before_anything_is_planned(
    house: House, client: AdminClient
) -> None:
    await sell(house, 1, deposit=5_000_000)
    house.shop.treasury = None
    with pytest.raises(CommandFailed, match="platform wallet can't be read"):
        await go(house, client, Screen(), Wishes(auto_confirm=True))
    assert await house.shop.rows(tables.batches) == 0


async def test_with_wait_an_uncovered_batch_is_followed_until_it_is_paid(house: House, client: AdminClient) -> None:
    await sell(house, 2, deposit=2_350_000)
    store, sales, clock = house.shop.store, house.sales, house.shop.clock

    def arrive(conn: Connection) -> None:
        sales.deposit(conn, 2_350_000, clock.now())
        funding.fund(conn, sales.usdc_account, clock.now())
        batches.move(conn, 1, BatchStatus.SENDING, clock.now())

    def finish(conn: Connection) -> None:
        sales.pay(conn, 1, clock.now())
        sales.settle(conn, 1, clock.now())

    screen = Screen()
    code, report = await go(
        house,
        client,
        screen,
        Wishes(auto_confirm=True, wait=True),
        lambda: store.write(lambda conn: batches.move(conn, 1, BatchStatus.WAITING_FUNDS, clock.now())),
        lambda: store.write(arrive),
        lambda: store.write(finish),
    )
    assert (code, report.outcome, report.shortage) == (Exit.ACCEPTED, "paid", None)
    assert screen.shown == [
        "Batch 1 planned: 0/2",
        "Batch 1 waiting funds: 0/2",
        "Batch 1 sending: 0/2",
        "Batch 1 settled: 2/2",
    ]
    assert screen.lines[-1] == "Batch 1 is settled: 2 of 2 paid"


async def test_failed_payouts_at_the_end_of_the_wait_are_exit_4(house: House, client: AdminClient) -> None:
    await sell(house, 3, deposit=7_050_000)

    def finish(conn: Connection) -> None:
        house.sales.pay(conn, 1, house.shop.clock.now(), fails=1)
        house.sales.settle(conn, 1, house.shop.clock.now())

    screen = Screen()
    wishes = Wishes(auto_confirm=True, wait=True)
    code, _ = await go(house, client, screen, wishes, lambda: house.shop.store.write(finish))
    assert code == Exit.FAILED_PAYOUTS
    assert screen.lines[-1] == "Batch 1 is settled: 2 of 3 paid, 1 failed"


@pytest.mark.parametrize(("deposit", "code"), [(0, Exit.NOT_COVERED), (5_000_000, Exit.ERROR)])
async def test_the_time_to_wait_is_bounded_when_asked(
    house: House, client: AdminClient, deposit: int, code: Exit
) -> None:
    await sell(house, 2, deposit=deposit)
    wishes = Wishes(auto_confirm=True, wait=True, timeout_seconds=3.0)
    assert (await go(house, client, Screen(), wishes))[0] == code


async def test_a_second_run_with_wait_follows_the_batch_that_is_on_its_way(house: House, client: AdminClient) -> None:
    await sell(house, 1)
    assert (await go(house, client, Screen(), Wishes(auto_confirm=True)))[0] == Exit.NOT_COVERED
    screen = Screen()
    code, report = await go(house, client, screen, Wishes(auto_confirm=True))
    assert (code, report.outcome) == (Exit.ACCEPTED, "nothing_to_pay")
    assert "Still on its way: Batch 1" in screen.lines[-1]

    def finish(conn: Connection) -> None:
        house.sales.deposit(conn, 2_350_000)
        funding.fund(conn, house.sales.usdc_account, START)
        house.sales.pay(conn, 1, START)
        house.sales.settle(conn, 1, START)

    code, report = await go(house, client, Screen(), Wishes(wait=True), lambda: house.shop.store.write(finish))
    assert (code, report.outcome) == (Exit.ACCEPTED, "paid")


async def test_a_daemon_that_restarts_meanwhile_is_waited_for_and_one_that_stays_away_is_not(
    house: House, client: AdminClient
) -> None:
    await sell(house, 1, deposit=2_350_000)
    port = house.front.port

    def finish(conn: Connection) -> None:
        house.sales.pay(conn, 1, START)
        house.sales.settle(conn, 1, START)

    async def back() -> None:
        await house.shop.store.write(finish)
        house.front.port = port
        await house.front.start()

    async def nothing() -> None:
        """Still away."""

    wishes = Wishes(auto_confirm=True, wait=True)
    code, _ = await go(house, client, Screen(), wishes, house.front.stop, nothing, back)
    assert code == Exit.ACCEPTED
    await sell(house, 1)
    with pytest.raises(DaemonDown, match=r"start it with `python main\.py run`"):
        await go(house, client, Screen(), wishes, house.front.stop)


async def test_a_lost_answer_to_the_plan_says_that_it_may_have_happened(house: House, client: AdminClient) -> None:
    class LosesThePlan:
        async def preview(self) -> Preview:
            return await client.preview()

        async def plan(self) -> BatchRow | None:
            await client.plan()
            raise AnswerLost("the connection broke")

    await sell(house, 1)
    with pytest.raises(CommandFailed, match="may have been planned"):
        await Distribution(LosesThePlan(), Wishes(auto_confirm=True), Screen(), house.shop.clock).go()  # type: ignore[arg-type]
    assert await house.shop.rows(tables.batches) == 1


async def test_every_refusal_names_what_to_set(house: House, unused_tcp_port: int) -> None:
    wrong = {
        "AGENT_ADMIN_TOKEN is not valid": AdminAccess(house.access.url, "nobody"),
        "AGENT_ADMIN_TOKEN is not set": AdminAccess(house.access.url, ""),
        "the daemon is not running at": AdminAccess(f"http://127.0.0.1:{unused_tcp_port}", "x"),
        "is not the admin port": AdminAccess(f"http://127.0.0.1:{house.shop.public.port}/x", "x"),
    }
    for text, access in wrong.items():
        async with AdminClient(access) as client:
            with pytest.raises(CommandFailed, match=text):
                await client.preview()
    async with AdminClient(AdminAccess(house.access.url, "admin-viewer")) as viewer:
        with pytest.raises(CommandFailed, match="AGENT_ADMIN_TOKEN: this token may not do that"):
            await viewer.plan()
