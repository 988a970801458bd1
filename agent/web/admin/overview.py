"""Everything at a glance: money in, owed, in flight and paid, the next batch, and what is not well."""

from collections.abc import Callable, Sequence
from datetime import date, timedelta

from sqlalchemy import Connection

from agent.web.admin.batch_bodies import BatchRow
from agent.web.admin.batches import batch_row
from agent.web.bodies import Answer, Moment, Money
from agent.web.endpoint import Access, Call, Endpoint
from agent.web.payout_way import PayoutWayBody
from agent.web.settings import WebSettings
from domain.calendar import next_batch_time
from domain.money import format_cents, format_sol, format_usdc
from domain.realtime import WHY, Backlog
from domain.states import UsdcStatus, WorkState
from ports.clock import Clock
from storage.mints import mint_payouts
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts.held_orders import ORDERS_HELD
from storage.reading import by_hand, glance, operator_views, probes, unminted
from storage.store import Store

ReadRealtime = Callable[[Connection], Backlog | None]
"""What real-time payout leaves to the weekly batch; None where sales are paid by the week."""
DAYS = 14
"""Two Mondays are always among them."""
OPEN_BATCHES_MOST = 5
FRESH_SECONDS = 2.0
"""Many open consoles ask as often as one."""
BALANCE_STALE = timedelta(minutes=5)
"""The chain is read every few seconds; older than this, something does not answer."""


class DayBar(Answer):
    """One UTC day."""

    day: date
    number: int
    amount: Money


class Owed(Answer):
    """How many payouts (or sales, or creators) and their unpaid USDC."""

    number: int
    amount: Money


class Queue(Answer):
    """`due` counts work that waits for its turn or runs, `parked` what waits for a person."""

    due: int
    parked: int
    oldest_due_seconds: int


class Realtime(Answer):
    """Payouts that are payable now and in no batch. `reason` and `why` say what leaves them to the weekly batch; null
    when the next real-time batch takes them."""

    number: int
    amount: Money
    reason: str | None
    why: str | None


class Overview(Answer):
    """`owed` by the payouts' state; `unminted`: of sales that wait for their NFT; `by_hand`: what a person is asked to
    pay. `owed_total` is all of them, held ones too. `in_flight` is what of `pending_distribution` is in a batch,
    `covered` what is in none yet. `free_usdc` and `short_usdc` are what the wallet has beyond its promises, and what
    payouts that are due lack beyond that. Balances are null until the chain has been read once; below `least_usdc` and
    `least_sol` they are low. `trouble` names what of the outside can't be used now, the start gate among it. `realtime`
    is null where sales are paid by the week."""

    live: bool
    now: Moment
    sales: list[DayBar]
    paid: list[DayBar]
    card_money: Money
    paid_out: Money
    owed: dict[str, Owed]
    unminted: Owed
    by_hand: Owed
    owed_total: Money
    in_flight: Owed
    covered: Owed
    wallet_usdc: Money | None
    wallet_sol: Money | None
    wallet_read_at: Moment | None
    wallet_stale: bool
    least_usdc: Money
    least_sol: Money
    usdc_low: bool
    sol_low: bool
    free_usdc: Money | None
    short_usdc: Money
    next_batch_at: Moment
    open_batches: list[BatchRow]
    payouts: PayoutWayBody
    realtime: Realtime | None
    work: Queue
    waiting_for_wallet: int
    unexplained_outflows: int
    ledger_balanced: bool
    sends_paused: str | None
    orders_held: str | None
    trouble: list[str]
    oldest_unpaid_at: Moment | None


def by_the_week(_: Connection) -> None:
    """Real-time payout is off."""
    return


class AdminOverview:
    """One endpoint; its answer is made at most once in FRESH_SECONDS."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        settings: WebSettings,
        trouble: Callable[[], Sequence[str]],
        realtime: ReadRealtime,
    ) -> None:
        self._store = store
        self._realtime = realtime
        self._trouble = trouble
        self._clock = clock
        self._settings = settings
        self._made: tuple[float, Overview] | None = None

    def endpoints(self) -> list[Endpoint]:
        return [
            Endpoint("GET", "/admin/api/overview", Access.VIEWER, self.overview, "Everything at a glance", Overview)
        ]

    async def overview(self, _: Call) -> Overview:
        if self._made is not None and 0 <= self._clock.monotonic() - self._made[0] < FRESH_SECONDS:
            return self._made[1]
        found = await self._store.read(self._look)
        self._made = self._clock.monotonic(), found
        return found

    def _look(self, conn: Connection) -> Overview:
        now = self._clock.now()
        read = probes.read(conn, now - timedelta(days=DAYS))
        sales, paid = glance.sales_by_day(conn, now, DAYS), glance.payouts_by_day(conn, now, DAYS)
        promised = read.unpaid[UsdcStatus.PENDING_DISTRIBUTION].amount + mint_payouts.reserved(conn)
        free = None if read.usdc is None else read.usdc.amount - promised
        flying, flying_amount = glance.in_batches(conn)
        covered = read.unpaid[UsdcStatus.PENDING_DISTRIBUTION]
        waiting = read.unpaid[UsdcStatus.PENDING_CONVERSION].amount + read.unpaid[UsdcStatus.FAILED].amount
        unborn, (creators, by_person) = unminted.in_all(conn), by_hand.in_all(conn)
        batches = [operator_views.batch(conn, batch_id) for batch_id in glance.open_batch_ids(conn, OPEN_BATCHES_MOST)]
        return Overview(
            live=self._settings.livemode,
            now=now,
            sales=[DayBar(day=one.day, number=one.rows, amount=format_cents(one.amount)) for one in sales],
            paid=[DayBar(day=one.day, number=one.rows, amount=format_usdc(one.amount)) for one in paid],
            card_money=format_cents(sum(one.amount for one in sales)),
            paid_out=format_usdc(sum(one.amount for one in paid)),
            owed={
                state.value: Owed(number=one.rows, amount=format_usdc(one.amount)) for state, one in read.unpaid.items()
            },
            unminted=Owed(number=unborn.sales + unborn.held_sales, amount=format_usdc(unborn.all)),
            by_hand=Owed(number=creators, amount=format_usdc(by_person)),
            owed_total=format_usdc(sum(one.amount for one in read.unpaid.values()) + unborn.all + by_person),
            in_flight=Owed(number=flying, amount=format_usdc(flying_amount)),
            covered=Owed(number=covered.rows - flying, amount=format_usdc(covered.amount - flying_amount)),
            wallet_usdc=None if read.usdc is None else format_usdc(read.usdc.amount),
            wallet_sol=None if read.sol is None else format_sol(read.sol.amount),
            wallet_read_at=None if read.usdc is None else read.usdc.read_at,
            wallet_stale=read.usdc is None or now - read.usdc.read_at > BALANCE_STALE,
            least_usdc=format_usdc(self._settings.least_usdc),
            least_sol=format_sol(self._settings.least_lamports),
            usdc_low=read.usdc is not None and read.usdc.amount < self._settings.least_usdc,
            sol_low=read.sol is not None and read.sol.amount < self._settings.least_lamports,
            free_usdc=None if free is None else format_usdc(free),
            short_usdc=format_usdc(max(0, waiting - max(0, free or 0))),
            next_batch_at=next_batch_time(now),
            open_batches=[batch_row(conn, row) for row in batches],
            payouts=self._settings.payouts.body(),
            realtime=_realtime(self._realtime(conn)),
            work=_queue(read, self._clock),
            waiting_for_wallet=read.waiting_for_wallet,
            unexplained_outflows=read.orphans,
            ledger_balanced=not any(read.imbalance.values()),
            sends_paused=why_on(conn, SENDS_PAUSED),
            orders_held=why_on(conn, ORDERS_HELD),
            trouble=list(self._trouble()),
            oldest_unpaid_at=read.oldest_unpaid_at,
        )


def _realtime(backlog: Backlog | None) -> Realtime | None:
    if backlog is None:
        return None
    left, why = backlog.left, backlog.why
    return Realtime(
        number=left.payouts,
        amount=format_usdc(left.amount),
        reason=None if why is None else why.value,
        why=None if why is None else WHY[why],
    )


def _queue(read: probes.Readings, clock: Clock) -> Queue:
    due = [queue for queue in read.queues if queue.state is WorkState.DUE]
    now = clock.now()
    ages = [operator_views.age_seconds(queue.due_at, now) for queue in due]
    return Queue(
        due=sum(queue.rows for queue in due),
        parked=sum(queue.rows for queue in read.queues if queue.state is WorkState.PARKED),
        oldest_due_seconds=max(ages, default=0),
    )
