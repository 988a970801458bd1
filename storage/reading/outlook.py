"""What the platform wallet will need, how long it lasts, and what a sale costs and leaves. Reads only.

USDC in base units, SOL in lamports, dollars in cents.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Connection, exists, func, select

from domain.calendar import next_batch_time
from domain.money import cents_to_base_units
from domain.refunds import LOST_DISPUTE
from domain.split import due_after_refunds
from domain.states import PAYOUT_PENDING, PurchaseStatus, UpkeepState
from storage.sales.purchases import SOLD_OUT
from storage.sales.returns import CAME_BACK
from storage.tables import disputes, group_attempts, payouts, purchases, readings, transfer_attempts, upkeep
from storage.treasury.conversion_orders import on_its_way
from storage.treasury.funding import finalized_balance, promised

CONVERT_AHEAD = timedelta(hours=48)
"""A wire on Friday is USDC on Monday: what must be converted is told that long before the batch."""
PACE_WINDOW = timedelta(days=28)
"""Four whole weeks: no day of the week counts more than another."""
UNMINTED = (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED)
PAID = (*UNMINTED, PurchaseStatus.COMPLETED, PurchaseStatus.REFUNDED)


@dataclass(frozen=True, slots=True)
class Costs:
    """Sales paid since a moment, and the transactions that paid out since then. `returned_cents` went back to their
    buyers, by refunds and lost disputes; `creators` is due after that, and `platform` is what these sales leave then,
    less Stripe's fees for them and their disputes (below zero where those are more). `mint_lamports` and
    `payout_lamports` are what the chain took."""

    sales: int
    gross_cents: int
    fee_cents: int
    net_cents: int
    returned_cents: int
    dispute_cents: int
    creators: int
    platform: int
    minted: int
    mint_lamports: int
    payouts: int
    payout_lamports: int

    @property
    def lamports(self) -> int:
        return self.mint_lamports + self.payout_lamports


@dataclass(frozen=True, slots=True)
class Outlook:
    """The next Monday and the wallet. `owed` is known and unpaid, `unminted` is owed once its NFT exists, `expected`
    may be sold until the cutoff at the pace of the last four weeks. `unpriced` sales have no final fee yet.
    `on_its_way` was announced or ordered, and has not arrived."""

    monday: datetime
    convert_by: datetime
    owed: int
    unminted: int
    unpriced: int
    expected: int
    balance: int
    promised: int
    on_its_way: int
    lamports: int | None
    lamports_per_sale: int
    sales_per_week: int

    @property
    def need(self) -> int:
        return self.owed + self.unminted + self.expected

    @property
    def to_convert(self) -> int:
        """What the wallet lacks for the Monday."""
        return max(0, self.need - self.balance)

    @property
    def to_order(self) -> int:
        """As above, without what was announced or ordered and has not arrived."""
        return max(0, self.to_convert - self.on_its_way)

    @property
    def to_convert_known(self) -> int:
        """What the wallet lacks for what is owed, without what is only expected."""
        return max(0, self.owed + self.unminted - self.balance)

    @property
    def sales_left(self) -> int | None:
        """How many more sales the wallet's SOL carries; None while that is not known."""
        if self.lamports is None or self.lamports_per_sale == 0:
            return None
        return self.lamports // self.lamports_per_sale

    @property
    def days_left(self) -> int | None:
        """How many days its SOL lasts at the pace of the last four weeks; None while that is not known."""
        if self.sales_left is None or self.sales_per_week == 0:
            return None
        return self.sales_left * 7 // self.sales_per_week


@dataclass(frozen=True, slots=True)
class _Back:
    """What sales lost since: cents to buyers and to Stripe for disputes, base units to their creators and to us."""

    cents: int
    dispute_cents: int
    creators: int
    platform: int


def costs(conn: Connection, since: datetime) -> Costs:
    """Sums over the sales paid, and the payouts begun, since then."""
    of_sales = select(
        func.count().label("sales"),
        *(
            func.coalesce(func.sum(column), 0).label(name)
            for name, column in (
                ("gross", purchases.c.gross_amount),
                ("fee", purchases.c.stripe_fee),
                ("net", purchases.c.net_after_stripe),
                ("creators", purchases.c.creator_amount),
                ("platform", purchases.c.platform_amount),
                ("lamports", purchases.c.network_cost_lamports),
            )
        ),
        func.count(purchases.c.network_cost_lamports).label("minted"),
    ).where(*_paid_since(since))
    sale, back = conn.execute(of_sales).one(), _back(conn, since)
    payouts_sent, payout_lamports = _payout_costs(conn, since)
    return Costs(
        sales=sale.sales,
        gross_cents=int(sale.gross),
        fee_cents=int(sale.fee),
        net_cents=int(sale.net),
        returned_cents=back.cents,
        dispute_cents=back.dispute_cents,
        creators=int(sale.creators) - back.creators,
        platform=int(sale.platform) - back.platform,
        minted=sale.minted,
        mint_lamports=int(sale.lamports),
        payouts=payouts_sent,
        payout_lamports=payout_lamports,
    )


def _paid_since(since: datetime) -> tuple[ColumnElement[bool], ...]:
    return purchases.c.status.in_(PAID), purchases.c.paid_at >= since


def _back(conn: Connection, since: datetime) -> _Back:
    """The few sales of which something came back, one by one; the loser of a race gets all back, and is owed nothing
    meanwhile."""
    lost = exists().where(disputes.c.purchase_id == purchases.c.id, disputes.c.status == LOST_DISPUTE)
    touched = (purchases.c.refunded_amount > 0) | lost | (purchases.c.status_reason == SOLD_OUT)
    columns = (purchases.c.creator_amount, purchases.c.gross_amount, purchases.c.status_reason, CAME_BACK.label("back"))
    cents = creators = priced = 0
    for row in conn.execute(select(*columns).where(*_paid_since(since), touched)):
        back = min(row.gross_amount, row.gross_amount if row.status_reason == SOLD_OUT else int(row.back))
        cents += back
        if row.creator_amount is not None:
            creators += row.creator_amount - due_after_refunds(row.creator_amount, row.gross_amount, back)
            priced += back
    fees = select(func.sum(disputes.c.fee)).join(purchases).where(*_paid_since(since))
    dispute_cents = int(conn.scalar(fees) or 0)
    return _Back(cents, dispute_cents, creators, cents_to_base_units(priced + dispute_cents) - creators)


def _payout_costs(conn: Connection, since: datetime) -> tuple[int, int]:
    """How many transactions were begun since then to pay out, and what they cost, with the accounts that were made for
    them; a packed one pays many."""
    alone, packed = transfer_attempts.c.cost_lamports, group_attempts.c.fee_lamports
    sums = (
        select(func.count(alone), func.coalesce(func.sum(alone), 0)).where(transfer_attempts.c.created_at >= since),
        select(func.count(packed), func.coalesce(func.sum(packed), 0)).where(group_attempts.c.created_at >= since),
    )
    rows = [conn.execute(query).one() for query in sums]
    made = select(func.sum(upkeep.c.cost_lamports)).where(
        upkeep.c.kind == "accounts", upkeep.c.state == UpkeepState.FINALIZED, upkeep.c.created_at >= since
    )
    return sum(row[0] for row in rows), sum(int(row[1]) for row in rows) + int(conn.scalar(made) or 0)


def outlook(conn: Connection, usdc_account: str, now: datetime) -> Outlook:
    """The next Monday's need, and how long the wallet's SOL lasts."""
    monday = next_batch_time(now)
    recent = costs(conn, now - PACE_WINDOW)
    left = monday - now
    unminted, unpriced = _unminted(conn)
    return Outlook(
        monday=monday,
        convert_by=monday - CONVERT_AHEAD,
        owed=_owed(conn, monday),
        unminted=unminted,
        unpriced=unpriced,
        expected=recent.creators * int(left.total_seconds()) // int(PACE_WINDOW.total_seconds()),
        balance=finalized_balance(conn, usdc_account),
        promised=promised(conn),
        on_its_way=on_its_way(conn),
        lamports=conn.scalar(select(readings.c.amount).where(readings.c.name == "treasury_sol")),
        lamports_per_sale=recent.lamports // recent.sales if recent.sales else 0,
        sales_per_week=-(-recent.sales // 4),
    )


def _owed(conn: Connection, monday: datetime) -> int:
    waiting = payouts.c.state.in_(PAYOUT_PENDING)
    unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
    return int(conn.scalar(select(unpaid).where(waiting, payouts.c.paid_at < monday)) or 0)


def _unminted(conn: Connection) -> tuple[int, int]:
    """The creators' part of paid sales without an NFT, and how many of those have no final fee; held ones left out."""
    open_sales = (
        purchases.c.status.in_(UNMINTED)
        & purchases.c.minted_at.is_(None)
        & purchases.c.released_at.is_(None)
        & purchases.c.hold_reason.is_(None)
        & purchases.c.paid_at.is_not(None)
        & purchases.c.edition_held
    )
    whole = select(
        func.count().filter(purchases.c.creator_amount.is_(None)).label("unpriced"),
        func.coalesce(func.sum(purchases.c.creator_amount).filter(CAME_BACK == 0), 0).label("due"),
    ).where(open_sales)
    sums = conn.execute(whole).one()
    partly = select(purchases.c.creator_amount, purchases.c.gross_amount, CAME_BACK).where(
        open_sales, CAME_BACK > 0, purchases.c.creator_amount.is_not(None)
    )
    reduced = sum(due_after_refunds(due, gross, int(back)) for due, gross, back in conn.execute(partly))
    return int(sums.due) + reduced, sums.unpriced
