"""What real-time payout decides by: how the platform stands, and what one sale would pay to whom. Base units."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, func, or_, select

from domain import realtime
from domain.calendar import utc_day
from domain.realtime import Bar, Left, Part, Platform, RealtimeRules
from domain.split import share_out
from domain.states import UsdcStatus
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts import batches, transfers
from storage.payouts.debts import open_debt
from storage.payouts.planning import Judge, PlanTerms, payable, shares
from storage.payouts.reserves import risk
from storage.sales.purchases import payout_address, required, shares_of
from storage.tables import disputes, payouts, purchases, refunds, users
from storage.treasury import funding
from storage.treasury.outflows import orphans

KEY = "realtime:"
"""Begins the key of a batch that real time planned; its UUID follows."""
PAGE = 500
"""Payouts read at once to see how many fit into the caps: seldom more do."""
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
"""Before every payment: a bound that lets nothing through."""


def platform(conn: Connection, usdc_account: str, now: datetime) -> Platform:
    """How things stand in this transaction. Batches of real time's own are covered from their birth and wait for
    nobody."""
    midnight = utc_day(now)
    return Platform(
        sends_paused=why_on(conn, SENDS_PAUSED) is not None,
        unexplained_outflow=bool(orphans(conn, limit=1)),
        waiting_batch=batches.waiting(conn, other_than=KEY),
        free=funding.free(conn, usdc_account),
        begun_today=transfers.begun_since(conn, midnight),
        unbegun=transfers.unbegun(conn),
    )


def narrowed(conn: Connection, terms: PlanTerms, judge: Judge, most: int | None) -> PlanTerms:
    """Terms of a real-time plan that take the oldest payouts within `most` and no more; what does not fit is taken by
    the next one, or by the Monday's."""
    assert terms.at_once is not None
    if most is None:
        return terms
    taken = {share.recipient_id for share in shares(conn, terms, judge) if share.left_out is None}
    last = realtime.last_fitting(_oldest_first(conn, terms, taken), most) or (_NEVER, 0)
    return replace(terms, at_once=replace(terms.at_once, last=last, only=frozenset(taken)))


def _oldest_first(
    conn: Connection, terms: PlanTerms, recipient_ids: Collection[int]
) -> Iterator[tuple[tuple[datetime, int], int]]:
    """These recipients' payable payouts, (paid_at, id) with what is unpaid, read page by page as they are asked for."""
    place, page = (_NEVER, 0), _page(conn, terms, (_NEVER, 0))
    while page:
        for row in page:
            place = (row.paid_at, row.id)
            if row.recipient_id in recipient_ids:
                yield place, row.unpaid
        page = _page(conn, terms, place)


def _page(conn: Connection, terms: PlanTerms, after: tuple[datetime, int]) -> Sequence[Row[datetime, int, int, int]]:
    paid_at, payout_id = after
    later = (payouts.c.paid_at > paid_at) | ((payouts.c.paid_at == paid_at) & (payouts.c.id > payout_id))
    unpaid = (payouts.c.amount - payouts.c.netted_amount).label("unpaid")
    statement = (
        select(payouts.c.paid_at, payouts.c.id, payouts.c.recipient_id, unpaid)
        .select_from(payouts.join(purchases))
        .where(payable(terms), payouts.c.paid_at >= paid_at, later)
        .order_by(payouts.c.paid_at, payouts.c.id)
        .limit(PAGE)
    )
    return conn.execute(statement).all()


def left(conn: Connection, terms: PlanTerms, judge: Judge) -> Left:
    """What a plan under `terms` would take now: in real time, what waits for the Monday or for the next moment."""
    taken = {share.recipient_id for share in shares(conn, terms, judge) if share.left_out is None}
    if not taken:
        return Left()
    unpaid = payouts.c.amount - payouts.c.netted_amount
    size = func.sum(unpaid) if terms.grouping == "creator" else func.max(unpaid)
    statement = (
        select(
            payouts.c.recipient_id,
            func.count().label("payouts"),
            func.sum(unpaid).label("amount"),
            size.label("largest"),
            func.count().filter(payouts.c.state == UsdcStatus.PENDING_CONVERSION).label("uncovered"),
            func.count(payouts.c.reason).label("left_out"),
        )
        .select_from(payouts.join(purchases))
        .where(payable(terms))
        .group_by(payouts.c.recipient_id)
    )
    rows = [row for row in conn.execute(statement) if row.recipient_id in taken]
    return Left(
        payouts=sum(row.payouts for row in rows),
        amount=sum(int(row.amount) for row in rows),
        largest=max(int(row.largest) for row in rows),
        uncovered=sum(row.uncovered for row in rows),
        left_out=sum(row.left_out for row in rows),
    )


def payable_sale(
    conn: Connection, purchase_id: int, terms: PlanTerms, rules: RealtimeRules, judge: Judge, usdc_account: str
) -> list[Part] | Bar:
    """What a sale whose payouts are not born yet pays to whom if it is paid right now, under every rule of a plan and
    within the caps; else what bars it.

    For who mints and pays in one transaction. Decided from this transaction's rows: call it under
    `planning.lock_plans`, in the transaction that writes the intent down. `judge` as for a plan.
    """
    sale = required(conn, purchase_id)
    if sale.creator_amount is None:
        return Bar.FEE
    if sale.hold_reason is not None:
        return Bar.HELD
    if _is_early(sale, terms):
        return Bar.NOT_YET
    if _came_back(conn, purchase_id):
        return Bar.RETURNS
    parts = _parts(conn, sale, terms, judge)
    if isinstance(parts, Bar):
        return parts
    stands = platform(conn, usdc_account, terms.now)
    amounts = [part.amount for part in parts]
    return realtime.sale_bar(rules, stands, amounts, _owed_before(conn, sale)) or parts


def _is_early(sale: Row[Any], terms: PlanTerms) -> bool:
    if sale.paid_at is None or sale.paid_at > terms.now - terms.hold:
        return True
    return terms.require_available and (sale.available_on is None or sale.available_on > terms.now)


def _came_back(conn: Connection, purchase_id: int) -> bool:
    asked = (exists().where(table.c.purchase_id == purchase_id) for table in (refunds, disputes))
    return bool(conn.scalar(select(or_(*asked))))


def _parts(conn: Connection, sale: Row[Any], terms: PlanTerms, judge: Judge) -> list[Part] | Bar:
    wanted = share_out(sale.creator_amount, shares_of(conn, sale.content_id))
    due = {recipient_id: amount for recipient_id, amount in sorted(wanted.items()) if amount}
    if not due:
        return Bar.NOTHING
    found = {row.id: row for row in conn.execute(select(users).where(users.c.id.in_(list(due))))}
    for recipient_id, amount in due.items():
        if amount < terms.minimum:
            return Bar.MINIMUM
        if not _may_be_paid(found[recipient_id], terms, judge):
            return Bar.ADDRESS
        if open_debt(conn, recipient_id) or risk(conn, recipient_id):
            return Bar.DEBT
    return _named(due, found)


def _named(due: Mapping[int, int], found: Mapping[int, Row[Any]]) -> list[Part]:
    return [
        Part(recipient_id, str(payout_address(found[recipient_id])), amount) for recipient_id, amount in due.items()
    ]


def _may_be_paid(user: Row[Any], terms: PlanTerms, judge: Judge) -> bool:
    address = payout_address(user)
    cooling = user.address_changed_at is not None and user.address_changed_at > terms.now - terms.cool_off
    return address is not None and not cooling and judge(address) is None


def _owed_before(conn: Connection, sale: Row[Any]) -> int:
    """What waits for cover and was paid for before this sale: free money is theirs."""
    older = (payouts.c.paid_at < sale.paid_at) | (
        (payouts.c.paid_at == sale.paid_at) & (payouts.c.purchase_id < sale.id)
    )
    unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
    return int(conn.scalar(select(unpaid).where(payouts.c.state == UsdcStatus.PENDING_CONVERSION, older)) or 0)
