"""Which payouts a batch would take, and what each recipient would get of it."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from sqlalchemy import ColumnElement, Connection, and_, func, select

from domain.states import PAYOUT_PENDING, UsdcStatus
from storage.statements import among
from storage.tables import payouts, purchases, users

CHUNK = 500
"""Ids in one IN list: far below SQLite's and PostgreSQL's limits on bound values, few round trips all the same."""

_PLAN_LOCK = 0x706C616E
"""PostgreSQL advisory lock: of several replicas that plan at once, one takes the payouts and the others find them
taken."""

NOT_READ = "has become payable a moment ago: its external address is read on chain for the next plan"

Judge = Callable[[str], str | None]
"""Why an address can't be paid, or None. Pure: screening, form, own treasury."""


@dataclass(frozen=True, slots=True)
class AtOnce:
    """What a real-time plan asks beyond the rules of every plan: that the payout is covered already, that no plan left
    one of its recipient's out before with a reason of its own, that it is not above `ceiling` (base units, 0: none),
    not after `last` (paid_at, payout id), and one of the recipients in `only` (None: no such bound)."""

    ceiling: int
    last: tuple[datetime, int] | None = None
    only: frozenset[int] | None = None


@dataclass(frozen=True, slots=True)
class PlanTerms:
    """Under which rules payouts are taken. `minimum` in USDC base units; `hold`: how long after the payment a payout
    waits at least; `fee_ceiling` bounds one transaction of the rail, in lamports (0: the rail has none of its own);
    `at_once`: what a real-time plan asks beyond that. `outside`: what the chain was found to say against each external
    address, None for nothing; one that is not in it was not read and is not paid. Without it nobody asks the chain."""

    cutoff: datetime
    now: datetime
    minimum: int
    require_available: bool
    cool_off: timedelta
    grouping: str
    rail: str
    hold: timedelta = timedelta(0)
    fee_ceiling: int = 0
    at_once: AtOnce | None = None
    outside: Mapping[str, str | None] | None = None


class CreatorShare(NamedTuple):
    """What one recipient would get. `amount` in base units; `left_out` says why he gets nothing this time."""

    recipient_id: int
    uuid: str
    name: str
    address: str | None
    amount: int
    purchases: int
    left_out: str | None


def shares(conn: Connection, terms: PlanTerms, judge: Judge) -> list[CreatorShare]:
    """What a plan would take now, by recipient, largest amount first; those left out with their reason."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    owed = (
        select(payouts.c.recipient_id, func.sum(unpaid).label("amount"), func.count().label("purchases"))
        .select_from(payouts.join(purchases))
        .where(payable(terms))
        .group_by(payouts.c.recipient_id)
        .subquery()
    )
    statement = (
        select(
            owed.c.recipient_id,
            users.c.uuid,
            users.c.username,
            func.coalesce(users.c.circle_wallet_address, users.c.wallet_address),
            owed.c.amount,
            owed.c.purchases,
            users.c.address_changed_at,
            users.c.circle_wallet_address.is_(None),
        )
        .join(users, users.c.id == owed.c.recipient_id)
        .order_by(owed.c.amount.desc(), owed.c.recipient_id)
    )
    return [_share(terms, judge, *row) for row in conn.execute(statement).all()]


def _share(
    terms: PlanTerms,
    judge: Judge,
    recipient_id: int,
    uuid: str,
    name: str,
    address: str | None,
    amount: int,
    purchases: int,
    changed_at: datetime | None,
    is_outside: bool,
) -> CreatorShare:
    due = int(amount)
    left_out = _left_out(terms, judge, recipient_id, address, due, changed_at)
    if left_out is None and is_outside and terms.outside is not None and address is not None:
        left_out = terms.outside.get(address, NOT_READ)
    return CreatorShare(recipient_id, uuid, name, address, due, purchases, left_out)


def outside_addresses(conn: Connection, terms: PlanTerms) -> list[str]:
    """The external addresses that a plan would pay: those that Circle does not hold."""
    statement = (
        select(users.c.wallet_address)
        .select_from(payouts.join(purchases).join(users, payouts.c.recipient_id == users.c.id))
        .where(payable(terms), users.c.circle_wallet_address.is_(None), users.c.wallet_address.is_not(None))
        .distinct()
    )
    return sorted(conn.scalars(statement))


def purchase_count(conn: Connection, terms: PlanTerms, recipient_ids: Sequence[int]) -> int:
    """How many purchases these recipients' payable payouts are of: one with collaborators counts once."""
    found: set[int] = set()
    for chunk in chunks(recipient_ids):
        statement = (
            select(payouts.c.purchase_id)
            .select_from(payouts.join(purchases))
            .where(payable(terms), payouts.c.recipient_id.in_(chunk))
            .distinct()
        )
        found.update(conn.scalars(statement))
    return len(found)


def _left_out(
    terms: PlanTerms, judge: Judge, recipient_id: int, address: str | None, amount: int, changed_at: datetime | None
) -> str | None:
    """Why a recipient gets nothing this time."""
    if address is None:
        return "has no wallet yet"
    if changed_at is not None and changed_at > terms.now - terms.cool_off:
        return "changed the address lately"
    if terms.grouping == "creator" and amount < terms.minimum:
        return "is below the minimum"
    if terms.at_once is not None and not _is_taken_at_once(recipient_id, amount, terms.at_once, terms.grouping):
        return "waits for the weekly batch: above a cap"
    return judge(address)


def _is_taken_at_once(recipient_id: int, amount: int, asked: AtOnce, grouping: str) -> bool:
    above = grouping == "creator" and 0 < asked.ceiling < amount
    return not above and (asked.only is None or recipient_id in asked.only)


def payable(terms: PlanTerms) -> ColumnElement[bool]:
    """Of `payouts` joined with `purchases`: those that a plan takes if their recipients' shares may be paid."""
    conditions = [
        payouts.c.state.in_(among(PAYOUT_PENDING)),
        payouts.c.batch_id.is_(None),
        payouts.c.paid_at < terms.cutoff,
        payouts.c.paid_at <= terms.now - terms.hold,
        payouts.c.amount > payouts.c.netted_amount,
        purchases.c.hold_reason.is_(None),
        purchases.c.stripe_fee.is_not(None),
    ]
    if terms.grouping == "purchase":
        conditions.append(payouts.c.amount - payouts.c.netted_amount >= terms.minimum)
    if terms.require_available:
        conditions.append(purchases.c.available_on <= terms.now)
    if terms.at_once is not None:
        conditions += _at_once(terms.at_once, terms.grouping)
    return and_(*conditions)


def _at_once(asked: AtOnce, grouping: str) -> list[ColumnElement[bool]]:
    """A payout that left a plan with a remark waits for the Monday, and so do its recipient's later ones: taken alone
    they would leave the same way, a plan each."""
    others = payouts.alias()
    left_out = select(others.c.recipient_id).where(
        others.c.state.in_(PAYOUT_PENDING), others.c.batch_id.is_(None), others.c.reason.is_not(None)
    )
    conditions = [payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION, payouts.c.recipient_id.not_in(left_out)]
    if asked.ceiling and grouping == "purchase":
        conditions.append(payouts.c.amount - payouts.c.netted_amount <= asked.ceiling)
    if asked.last is not None:
        paid_at, payout_id = asked.last
        same = (payouts.c.paid_at == paid_at) & (payouts.c.id <= payout_id)
        conditions.append((payouts.c.paid_at < paid_at) | same)
    return conditions


def lock_plans(conn: Connection) -> None:
    """To the end of the transaction nobody else promises the platform wallet's money. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_PLAN_LOCK)))


def chunks(items: Sequence[int]) -> list[Sequence[int]]:
    """Ids in lists that one statement can hold."""
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
