"""Which payouts a batch takes, and taking them: set-based, in one transaction."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    String,
    and_,
    case,
    cast,
    func,
    insert,
    literal,
    null,
    select,
    text,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Misuse
from domain.keys import creator_reference, purchase_reference
from domain.states import BatchStatus, UsdcStatus
from storage.approvals import approve, freeze
from storage.history import note
from storage.tables import batches, payouts, purchases, screenings, transfers, users

CHUNK = 500
"""Ids in one IN list: far below SQLite's and PostgreSQL's limits on bound values, few round trips all the same."""

SCREENER = "deny-list"
"""The local list, by which every address is screened (`payouts/addresses.py`)."""

_PLAN_LOCK = 0x706C616E
"""PostgreSQL advisory lock: of several replicas that plan at once, one takes the payouts and the others find them
taken."""

_UNPAID = (UsdcStatus.PENDING_CONVERSION, UsdcStatus.PENDING_DISTRIBUTION)

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
    `at_once`: what a real-time plan asks beyond that."""

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


@dataclass(frozen=True, slots=True)
class CreatorShare:
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
    statement = select(
        owed.c.recipient_id,
        users.c.uuid,
        users.c.username,
        func.coalesce(users.c.circle_wallet_address, users.c.wallet_address),
        owed.c.amount,
        owed.c.purchases,
        users.c.address_changed_at,
    ).join(users, users.c.id == owed.c.recipient_id)
    found = []
    for recipient_id, uuid, name, address, amount, count, changed_at in conn.execute(statement):
        share = CreatorShare(recipient_id, uuid, name, address, int(amount), count, None)
        why = _left_out(terms, judge, share, changed_at)
        found.append(share if why is None else replace(share, left_out=why))
    return sorted(found, key=lambda share: (-share.amount, share.recipient_id))


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
    for chunk in _chunks(recipient_ids):
        statement = (
            select(payouts.c.purchase_id)
            .select_from(payouts.join(purchases))
            .where(payable(terms), payouts.c.recipient_id.in_(chunk))
            .distinct()
        )
        found.update(conn.scalars(statement))
    return len(found)


def _left_out(terms: PlanTerms, judge: Judge, share: CreatorShare, changed_at: datetime | None) -> str | None:
    """Why a recipient gets nothing this time."""
    if share.address is None:
        return "has no wallet yet"
    if changed_at is not None and changed_at > terms.now - terms.cool_off:
        return "changed the address lately"
    if terms.grouping == "creator" and share.amount < terms.minimum:
        return "is below the minimum"
    if terms.at_once is not None and not _is_taken_at_once(share, terms.at_once, terms.grouping):
        return "waits for the weekly batch: above a cap"
    return judge(share.address)


def _is_taken_at_once(share: CreatorShare, asked: AtOnce, grouping: str) -> bool:
    above = grouping == "creator" and 0 < asked.ceiling < share.amount
    return not above and (asked.only is None or share.recipient_id in asked.only)


def payable(terms: PlanTerms) -> ColumnElement[bool]:
    """Of `payouts` joined with `purchases`: those that a plan takes if their recipients' shares may be paid."""
    conditions = [
        payouts.c.state.in_(_UNPAID),
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
        others.c.state.in_(_UNPAID), others.c.batch_id.is_(None), others.c.reason.is_not(None)
    )
    conditions = [payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION, payouts.c.recipient_id.not_in(left_out)]
    if asked.ceiling and grouping == "purchase":
        conditions.append(payouts.c.amount - payouts.c.netted_amount <= asked.ceiling)
    if asked.last is not None:
        paid_at, payout_id = asked.last
        same = (payouts.c.paid_at == paid_at) & (payouts.c.id <= payout_id)
        conditions.append((payouts.c.paid_at < paid_at) | same)
    return conditions


def take(
    conn: Connection, key: str, terms: PlanTerms, judge: Judge, approved_by: str, new_uuid: Callable[[], UUID]
) -> int | None:
    """Plan a batch: freeze its payouts, addresses and amounts; whoever plans it approves it as the first. None when
    nothing is payable or the key is planned.

    The unique key makes it happen once, whoever comes first. The screening's results are stored.
    """
    _lock(conn)
    verdicts: dict[str, str | None] = {}

    def judged(address: str) -> str | None:
        if address not in verdicts:
            verdicts[address] = judge(address)
        return verdicts[address]

    found = shares(conn, terms, judged)
    taken = [share for share in found if share.left_out is None]
    if not taken:
        return None
    batch_id = _create(conn, key, terms, new_uuid())
    if batch_id is None:
        return None
    take_them = _take_by_creator if terms.grouping == "creator" else _take_by_purchase
    _sum_up(conn, batch_id, taken, take_them(conn, batch_id, taken, terms, new_uuid))
    _store_screenings(conn, batch_id, found, judged, terms.now)
    digest = freeze(conn, batch_id)
    approve(conn, batch_id, digest, approved_by, terms.now)
    return batch_id


def lock_plans(conn: Connection) -> None:
    """To the end of the transaction nobody else promises the platform wallet's money. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_PLAN_LOCK)))


def _lock(conn: Connection) -> None:
    """On PostgreSQL: what is read from here on stays so to the end of the transaction, as SQLite's single writer has it
    anyway. Other plans wait, and so does whoever makes a payout due, less or held: it is neither taken beside the sum
    of its transfer nor overtaken. Reading goes on."""
    lock_plans(conn)
    if conn.dialect.name == "postgresql":
        conn.execute(text("LOCK TABLE payouts IN SHARE ROW EXCLUSIVE MODE"))


def _take_by_creator(
    conn: Connection, batch_id: int, taken: Sequence[CreatorShare], terms: PlanTerms, new_uuid: Callable[[], UUID]
) -> int:
    """A transfer for each recipient, then all payouts into them with one UPDATE; how many."""
    batch_uuid = conn.execute(select(batches.c.uuid).where(batches.c.id == batch_id)).scalar_one()
    conn.execute(
        insert(transfers),
        [
            {
                "uuid": str(new_uuid()),
                "batch_id": batch_id,
                "recipient_id": share.recipient_id,
                "reference": creator_reference(batch_uuid, share.uuid),
                "key_scope": "",
                "amount": share.amount,
                "destination_address": share.address,
                "created_at": terms.now,
            }
            for share in sorted(taken, key=lambda share: share.recipient_id)
        ],
    )
    moved = conn.execute(
        update(payouts)
        .where(
            payable(terms),
            purchases.c.id == payouts.c.purchase_id,
            transfers.c.batch_id == batch_id,
            transfers.c.recipient_id == payouts.c.recipient_id,
        )
        .values(
            batch_id=batch_id,
            transfer_id=transfers.c.id,
            destination_address=transfers.c.destination_address,
            reason=None,
        )
    )
    return moved.rowcount


def _take_by_purchase(
    conn: Connection, batch_id: int, taken: Sequence[CreatorShare], terms: PlanTerms, new_uuid: Callable[[], UUID]
) -> int:
    """The payouts, then a transfer for each of them; how many."""
    count = 0
    for chunk in _chunks([share.recipient_id for share in taken]):
        mine = (
            select(payouts.c.id)
            .select_from(payouts.join(purchases))
            .where(payable(terms), payouts.c.recipient_id.in_(chunk))
        )
        address = (
            select(func.coalesce(users.c.circle_wallet_address, users.c.wallet_address))
            .where(users.c.id == payouts.c.recipient_id)
            .scalar_subquery()
        )
        moved = conn.execute(
            update(payouts)
            .where(payouts.c.id.in_(mine))
            .values(batch_id=batch_id, destination_address=address, reason=None)
        )
        count += moved.rowcount
    _create_transfers(conn, batch_id, terms, new_uuid)
    return count


def _sum_up(conn: Connection, batch_id: int, taken: Sequence[CreatorShare], moved: int) -> None:
    count, amount = sum(share.purchases for share in taken), sum(share.amount for share in taken)
    if moved != count:
        raise Misuse(f"{moved} payouts were taken into a batch of {count}: nothing of it is planned")
    conn.execute(update(batches).where(batches.c.id == batch_id).values(payout_count=count, planned_amount=amount))


def _create(conn: Connection, key: str, terms: PlanTerms, uuid: UUID) -> int | None:
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    batch_id: int | None = conn.scalar(
        dialect.insert(batches)
        .values(
            uuid=str(uuid),
            key=key,
            cutoff_at=terms.cutoff,
            status=BatchStatus.PLANNED,
            grouping=terms.grouping,
            rail=terms.rail,
            fee_ceiling_lamports=terms.fee_ceiling,
            payout_count=0,
            planned_amount=0,
            created_at=terms.now,
        )
        .on_conflict_do_nothing()
        .returning(batches.c.id)
    )
    if batch_id is not None:
        note(conn, "batch", batch_id, None, BatchStatus.PLANNED, terms.now)
    return batch_id


def store_screenings(conn: Connection, addresses: Sequence[str], judge: Judge, now: datetime) -> None:
    """Keep what was said of each address that somebody was about to pay."""
    results = [
        {"address": address, "screener": SCREENER, "allowed": why is None, "reason": why, "created_at": now}
        for address in addresses
        for why in [judge(address)]
    ]
    if results:
        conn.execute(insert(screenings), results)


def _store_screenings(
    conn: Connection, batch_id: int, found: Sequence[CreatorShare], judge: Judge, now: datetime
) -> None:
    """What the screener said of every address that was looked at: the batch's own, which it let pass, and those of the
    recipients who were left out."""
    names = ["address", "screener", "allowed", "reason", "created_at"]
    told = (literal(SCREENER), literal(True), null(), literal(now, screenings.c.created_at.type))
    passed = select(transfers.c.destination_address, *told).where(transfers.c.batch_id == batch_id).distinct()
    conn.execute(insert(screenings).from_select(names, passed))
    store_screenings(conn, [one.address for one in found if one.left_out and one.address is not None], judge, now)


def _create_transfers(conn: Connection, batch_id: int, terms: PlanTerms, new_uuid: Callable[[], UUID]) -> None:
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    statement = dialect.insert(transfers)
    renewed = {name: statement.excluded[name] for name in ("batch_id", "amount", "destination_address")}
    for chunk in _chunks(_by_payout(conn, batch_id)):
        values = [{**row, "uuid": str(new_uuid()), "created_at": terms.now} for row in chunk]
        conn.execute(statement.on_conflict_do_update(index_elements=[transfers.c.reference], set_=renewed), values)
    reference = (
        select(
            literal("purchase-")
            + purchases.c.stripe_payment_intent_id
            + case(
                (payouts.c.recipient_number == 1, "-distribution"),
                else_=literal("-distribution-") + cast(payouts.c.recipient_number, String),
            )
        )
        .where(purchases.c.id == payouts.c.purchase_id)
        .correlate(payouts)
        .scalar_subquery()
    )
    link = select(transfers.c.id).where(transfers.c.reference == reference)
    conn.execute(update(payouts).where(payouts.c.batch_id == batch_id).values(transfer_id=link.scalar_subquery()))


def _by_payout(conn: Connection, batch_id: int) -> list[dict[str, Any]]:
    columns = (
        payouts.c.recipient_id,
        payouts.c.recipient_number,
        payouts.c.destination_address,
        (payouts.c.amount - payouts.c.netted_amount).label("amount"),
        purchases.c.stripe_payment_intent_id,
    )
    statement = select(*columns).select_from(payouts.join(purchases)).where(payouts.c.batch_id == batch_id)
    return [
        {
            "batch_id": batch_id,
            "recipient_id": row.recipient_id,
            "reference": purchase_reference(row.stripe_payment_intent_id, row.recipient_number),
            "key_scope": f"{row.stripe_payment_intent_id}/{row.recipient_number}",
            "amount": row.amount,
            "destination_address": row.destination_address,
        }
        for row in conn.execute(statement.order_by(payouts.c.paid_at, payouts.c.id))
    ]


def _chunks(items: Sequence[Any]) -> list[Sequence[Any]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]
