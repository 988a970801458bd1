"""The first page: what is in, owed, in flight and paid, and what wants a look."""

from dataclasses import dataclass

from agent.web.admin.batch_bodies import BatchRow
from agent.web.admin.overview import DAYS, DayBar, Overview
from agent.web.endpoint import Access, Call, Endpoint, Face
from agent.web.messages import WebResponse
from agent.web.pages.api import Api
from agent.web.pages.charts import BarChart, Part, bar_chart, share_bar
from agent.web.pages.rendering import Renderer
from agent.web.pages.texts import BAD, GOOD, WAIT, counted, grouped, sentence, span, tone, words
from agent.web.payout_way import told
from domain.money import USDC_DECIMALS, parse_decimal
from domain.states import UsdcStatus

OLD_WORK_SECONDS = 300
"""Work that is due for longer than this does not get done."""


@dataclass(frozen=True, slots=True)
class Problem:
    """Something a person should look at, with where."""

    tone: str
    title: str
    text: str
    href: str
    link: str


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the health list."""

    tone: str
    word: str
    name: str
    text: str
    href: str


class OverviewPage:
    def __init__(self, api: Api, renderer: Renderer) -> None:
        self._api, self._renderer = api, renderer

    def endpoints(self) -> list[Endpoint]:
        return [Endpoint("GET", "/console/", Access.VIEWER, self.overview, "Overview", face=Face.PAGE)]

    async def overview(self, call: Call) -> WebResponse:
        seen = await self._api.get(call, "/overview", Overview)
        return self._renderer.page(
            call,
            "overview.html",
            seen=seen,
            days=DAYS,
            sold=sum(day.number for day in seen.sales),
            paid_number=sum(day.number for day in seen.paid),
            sales_chart=day_chart(seen.sales, "USD", "sale"),
            paid_chart=day_chart(seen.paid, "USDC", "payout"),
            owed_parts=owed_parts(seen),
            problems=problems(seen),
            checks=checks(seen),
        )


def day_chart(days: list[DayBar], unit: str, noun: str) -> BarChart:
    """The days' amounts as bars."""
    return bar_chart(
        [
            (
                f"{day.day:%d %b}",
                parse_decimal(day.amount, USDC_DECIMALS),
                f"{grouped(day.amount)} {unit} in {counted(day.number, noun)}",
            )
            for day in days
        ]
    )


def owed_parts(seen: Overview) -> list[Part]:
    """What is owed, by state; what waits for its NFT, and what a person is to pay."""
    by_person = [("to be paid by hand", seen.by_hand, BAD)] if seen.by_hand.number else []
    parts = [
        ("not minted yet", seen.unminted, tone("minting")),
        *((words(state), one, tone(state)) for state, one in seen.owed.items()),
        *by_person,
    ]
    return share_bar(
        [
            (name, parse_decimal(one.amount, USDC_DECIMALS), f"{grouped(one.amount)} · {one.number}", colour)
            for name, one, colour in parts
        ]
    )


def problems(seen: Overview) -> list[Problem]:
    """Most pressing first."""
    found = []
    if not seen.ledger_balanced:
        found.append(
            Problem(BAD, "The ledger does not balance.", "Nothing should be sent.", "/console/ledger/", "Ledger")
        )
    if seen.unexplained_outflows:
        text = (
            f"{seen.unexplained_outflows} outflows of the wallet fit no payout; nothing is sent until they are settled."
        )
        found.append(Problem(BAD, "Unexplained outflows.", text, "/console/treasury/", "Treasury"))
    if seen.trouble:
        text = "; ".join(seen.trouble) + "."
        found.append(Problem(WAIT, "Not everything can be used now:", text, "/console/work/?state=due", "What waits"))
    if seen.sends_paused is not None:
        found.append(Problem(WAIT, "All sends are paused:", seen.sends_paused, "/console/treasury/", "Resume"))
    if seen.orders_held is not None:
        text = f"One payout asks, and all go on by themselves once it is taken. {sentence(seen.orders_held)}"
        found.append(Problem(WAIT, "Circle takes no orders:", text, "/console/work/?state=due", "What waits"))
    if seen.realtime is not None and seen.realtime.why is not None:
        text = f"{counted(seen.realtime.number, 'payout')}, {grouped(seen.realtime.amount)} USDC: {seen.realtime.why}."
        found.append(Problem(WAIT, "Not paid in real time:", text, "/console/batches/preview", "What would be paid"))
    if seen.wallet_stale:
        text = "Its balances are older than five minutes." if seen.wallet_read_at else "It was never read so far."
        found.append(Problem(WAIT, "The wallet can't be read:", text, "/console/treasury/", "Treasury"))
    if seen.sol_low:
        text = (
            f"It holds {seen.wallet_sol} SOL, and {seen.least_sol} are wanted: send it some, or mints and payouts wait."
        )
        found.append(Problem(BAD, "The wallet is low on SOL:", text, "/console/treasury/", "Treasury"))
    if seen.work.parked:
        text = f"{counted(seen.work.parked, 'piece')} of work parked."
        found.append(Problem(BAD, "Waiting for a person:", text, "/console/work/", "Look at them"))
    failed = seen.owed[UsdcStatus.FAILED]
    if failed.number:
        text = f"{counted(failed.number, 'payout')}, {grouped(failed.amount)} USDC, for a person to retry."
        link = f"/console/purchases/?payout_state={UsdcStatus.FAILED}"
        found.append(Problem(BAD, "Not paid, and given up:", text, link, "Look at them"))
    found += [problem for batch in seen.open_batches for problem in _of_batch(batch)]
    if seen.usdc_low:
        holds = grouped(seen.wallet_usdc or "")
        text = f"It holds {holds} USDC, and {grouped(seen.least_usdc)} are wanted. Batches wait for what they lack."
        found.append(Problem(WAIT, "The wallet is low on USDC:", text, "/console/treasury/", "What to convert"))
    return found


def _of_batch(batch: BatchRow) -> list[Problem]:
    """What keeps a batch from being paid that a person can end."""
    found, page = [], f"/console/batches/{batch.id}"
    if batch.paused:
        found.append(
            Problem(WAIT, f"Paused: {batch.key}.", sentence(batch.pause_reason or "no reason"), page, "Resume")
        )
    if batch.status == "waiting_approval":
        text = f"{batch.key}, {grouped(batch.planned_amount)} USDC."
        found.append(Problem(WAIT, "A batch waits for approval:", text, page, "Look at it"))
    if batch.status == "waiting_funds":
        text = f"{batch.key} is short of {grouped(batch.short)} USDC."
        found.append(Problem(WAIT, "A batch waits for funds:", text, "/console/treasury/", "Treasury"))
    return found


def checks(seen: Overview) -> list[Check]:
    """What is well and what is not."""
    late = seen.work.oldest_due_seconds > OLD_WORK_SECONDS
    return [
        Check(
            GOOD if seen.ledger_balanced else BAD,
            "balanced" if seen.ledger_balanced else "out of balance",
            "Ledger",
            "three assets, to the unit",
            "/console/ledger/",
        ),
        Check(
            BAD if seen.wallet_stale else GOOD,
            "stale" if seen.wallet_stale else "read",
            "Chain",
            "the wallet as last seen at finalized",
            "/console/treasury/",
        ),
        _pays(seen),
        Check(
            WAIT if late else GOOD,
            "late" if late else "running",
            "Work",
            f"{seen.work.due} due, the oldest for {span(seen.work.oldest_due_seconds)}",
            "/console/work/",
        ),
        Check(
            BAD if seen.work.parked else GOOD,
            "parked" if seen.work.parked else "none",
            "For a person",
            f"{seen.work.parked} parked",
            "/console/work/",
        ),
        Check(
            WAIT if seen.waiting_for_wallet else GOOD,
            "waiting" if seen.waiting_for_wallet else "none",
            "Buyers without a wallet",
            f"{counted(seen.waiting_for_wallet, 'mint')} waiting",
            "/console/purchases/?status=payment_completed",
        ),
    ]


def _pays(seen: Overview) -> Check:
    """How creators are paid, and whether it is so now."""
    way = "real time" if seen.payouts.mode == "realtime" else "weekly"
    if seen.realtime is not None and seen.realtime.why is not None:
        text = f"real time leaves {seen.realtime.number} to the Monday; over the {seen.payouts.rail} rail"
        return Check(WAIT, "weekly", "Payouts", text, "/console/batches/")
    return Check(GOOD, way, "Payouts", told(seen.payouts), "/console/batches/")
