"""Payouts that were paid by a process whose rows are lost: found by what they may have been due, and made due again."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, func, insert, select, update

from domain.errors import Retryable
from domain.fitting import Candidate, Paid
from domain.split import share_out
from domain.states import PAYOUT_DUE, PAYOUT_OWED, BatchStatus, PurchaseStatus, UsdcStatus
from storage.history import advance, note
from storage.payouts import membership
from storage.payouts.debts import movable_debt, net_exactly
from storage.sales import purchases as sales
from storage.sales.holds import release_payout
from storage.sales.returns import restate_due
from storage.statements import fixed, insert_into
from storage.tables import (
    batch_items,
    batches,
    content_shares,
    contents,
    nettings,
    payouts,
    purchases,
    state_history,
    transfers,
    users,
)

ADOPTED_KEYS = {"circle": "adopted", "solana": "adopted-solana"}
"""Keys of the batches of adopted transfers: a batch has one rail, and what is paid on one is never sent on another."""

CLOCKS_APART = timedelta(hours=12)
"""By so much our clock may have been ahead of the chain's, and a lookup of a transfer behind it, with room to spare."""
UNPAID = (*PAYOUT_OWED, UsdcStatus.CANCELLED)
UNPAID_OR_NETTED = (*UNPAID, UsdcStatus.NETTED)
"""States of a payout that an outflow may have paid all the same: a restored database knows no better."""


def candidates(conn: Connection, which: ColumnElement[bool], paid_by: datetime | None) -> list[Candidate]:
    """The unpaid payouts of `which` that may have been in a transaction of that time, oldest payment first.

    Each with what it was due when it was born and what it is due now; a held or cancelled one may have been left out.
    Payouts whose money is known to be on its way are none.
    """
    rows = _may_have_been(conn, which, paid_by)
    return [Candidate(row.id, _amounts(conn, row, paid_by)) for row in rows]


def _may_have_been(conn: Connection, which: ColumnElement[bool], paid_by: datetime | None) -> list[Row[Any]]:
    """Payouts that may have been paid at that time, oldest payment first."""
    statement = (
        select(payouts, purchases.c.creator_amount, purchases.c.content_id, purchases.c.minted_at)
        .select_from(payouts.join(purchases))
        .where(which, payouts.c.state.in_(UNPAID_OR_NETTED))
        .order_by(payouts.c.paid_at, payouts.c.id)
    )
    found = []
    for row in conn.execute(statement).all():
        born_later = paid_by is not None and (row.minted_at is None or row.minted_at > paid_by)
        if not born_later and not membership.has_begun(conn, row.transfer_id) and not _was_over(conn, row, paid_by):
            found.append(row)
    return found


def fit_a_plan(conn: Connection, total: int, recipient_id: int, owner: str) -> list[Paid] | None:
    """What an open plan has for a recipient at an address, where that is exactly the total and nothing of it is paid or
    on its way: it may have left out older payouts that were held. As it was frozen, or else what is left of it: one
    that was held meanwhile is let go into a later plan. None when no plan has that, or several have."""
    which = {"of": recipient_id, "at": owner}
    for shape in (_AS_PLANNED, _AS_LEFT):
        plans: dict[int, list[Row[Any]]] = {}
        for row in conn.execute(shape, which):
            plans.setdefault(row.batch_id, []).append(row)
        found = [rows for rows in plans.values() if sum(row.amount for row in rows) == total]
        if found:
            return _none_paid(conn, found[0]) if len(found) == 1 else None
    return None


def _none_paid(conn: Connection, rows: Sequence[Row[Any]]) -> list[Paid] | None:
    if any(row.state not in UNPAID_OR_NETTED or membership.has_begun(conn, row.transfer_id) for row in rows):
        return None
    return [Paid(row.payout_id, row.amount) for row in rows]


_OPEN_PLAN = batches.c.status != fixed(BatchStatus.SETTLED)
_AS_PLANNED = (
    select(batch_items, payouts.c.state, payouts.c.transfer_id)
    .select_from(batch_items.join(payouts).join(batches, batches.c.id == batch_items.c.batch_id))
    .where(payouts.c.recipient_id == bindparam("of"), batch_items.c.destination_address == bindparam("at"), _OPEN_PLAN)
    .order_by(batch_items.c.payout_id)
)
_AS_LEFT = (
    select(
        payouts.c.batch_id,
        payouts.c.id.label("payout_id"),
        (payouts.c.amount - payouts.c.netted_amount).label("amount"),
        payouts.c.state,
        payouts.c.transfer_id,
    )
    .select_from(
        payouts.join(batches, batches.c.id == payouts.c.batch_id).join(
            transfers, transfers.c.id == payouts.c.transfer_id
        )
    )
    .where(payouts.c.recipient_id == bindparam("of"), transfers.c.destination_address == bindparam("at"), _OPEN_PLAN)
    .order_by(payouts.c.id)
)


@dataclass(frozen=True, slots=True)
class Netted:
    """One payout as it was paid by rows that are lost: due `due`, of which debts had used up `netted`."""

    payout_id: int
    due: int
    netted: int


def fit_by_debts(
    conn: Connection, total: int, which: ColumnElement[bool], paid_by: datetime | None
) -> list[Netted] | None:
    """How the payouts of one recipient that `which` names, all of them, were paid with `total`, where debts are netted
    otherwise by now: a restored database nets anew, in the order in which it learns of sales and refunds. None when
    they were not, or he has no such debt."""
    rows = _may_have_been(conn, which, paid_by)
    if not rows or len({row.recipient_id for row in rows}) > 1:
        return None
    at_birth = [_at_birth(conn, row) for row in rows]
    for dues in ([row.amount for row in rows], at_birth):
        netted = sum(dues) - total
        if 0 <= netted < dues[0] and all(dues) and netted <= movable_debt(conn, rows[0].recipient_id):
            first, *others = zip(rows, dues, strict=True)
            return [Netted(first[0].id, first[1], netted), *(Netted(row.id, due, 0) for row, due in others)]
    return None


def promise_netted(conn: Connection, transfer: Row[Any], parts: Sequence[Netted], cause: str, now: datetime) -> None:
    """`promise`, of payouts of which debts had used up a part when they were paid, and only that part."""
    recipient_id = transfer.recipient_id
    net_exactly(conn, {part.payout_id: 0 for part in parts}, recipient_id, now)
    promise(conn, transfer, [Paid(part.payout_id, part.due) for part in parts], cause, now)
    net_exactly(conn, {part.payout_id: part.netted for part in parts}, recipient_id, now)


def _was_over(conn: Connection, row: Row[Any], paid_by: datetime | None) -> bool:
    """Cancelled long before: what is on its way is not cancelled until its outcome is known, so nothing paid it later.
    Where it is due again since, by facts that these rows lack, its events make it so before it is asked for again."""
    if row.state != UsdcStatus.CANCELLED or paid_by is None:
        return False
    ended: datetime | None = conn.scalar(_CANCELLED_AT, {"of": str(row.id)})
    return ended is not None and ended + CLOCKS_APART < paid_by


_CANCELLED_AT = select(func.max(state_history.c.at)).where(
    state_history.c.machine == fixed("payout"),
    state_history.c.subject == bindparam("of"),
    state_history.c.after == fixed(UsdcStatus.CANCELLED),
)


def may_have_paid(conn: Connection, owner: str | None, paid_by: datetime | None) -> bool:
    """Whether an outflow to this owner (None: to several) may be of payouts that are still to be paid, or to be born: a
    restored database may not know yet that a sale was minted, and paid. A payout born after it, or held already by a
    person, is none of them."""
    if _may_be_born(conn, owner, paid_by):
        return True
    statement = select(payouts.c.id).join(purchases).where(payouts.c.state.in_(PAYOUT_DUE)).limit(1)
    if owner is not None:
        statement = statement.where(payouts.c.recipient_id.in_(recipients_at(conn, owner)))
    if paid_by is not None:
        statement = statement.where(purchases.c.minted_at <= paid_by)
    return conn.execute(statement).first() is not None


def _may_be_born(conn: Connection, owner: str | None, paid_by: datetime | None) -> bool:
    """Whether a paid sale of a recipient at that address has no NFT by these rows."""
    statement = select(purchases.c.id).where(
        purchases.c.status.in_((PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED)),
        purchases.c.minted_at.is_(None),
        purchases.c.edition_held,
        purchases.c.hold_reason.is_(None),
    )
    if paid_by is not None:
        statement = statement.where(purchases.c.paid_at <= paid_by)
    if owner is not None:
        there = recipients_at(conn, owner)
        written = select(contents.c.id).where(contents.c.author_id.in_(there))
        shared = select(content_shares.c.content_id).where(content_shares.c.user_id.in_(there))
        statement = statement.where(purchases.c.content_id.in_(written) | purchases.c.content_id.in_(shared))
    return conn.execute(statement.limit(1)).first() is not None


def _amounts(conn: Connection, row: Row[Any], paid_by: datetime | None) -> tuple[int, ...]:
    """A payout of which debts had used up a part was paid with the rest, whatever it was due at first. What was netted
    after the payment, by a restored database that learnt of the debt anew, took nothing from it."""
    at_birth = _at_birth(conn, row)
    may_be_left_out = row.state in (UsdcStatus.ON_HOLD, UsdcStatus.CANCELLED)
    found: list[int] = []
    for netted in sorted(_netted_by(conn, row, paid_by)):
        if netted:
            found += (row.amount - netted, 0)
        else:
            found += (at_birth, row.amount, 0) if may_be_left_out else (at_birth, row.amount)
    return tuple(found)


def _netted_by(conn: Connection, row: Row[Any], paid_by: datetime | None) -> set[int]:
    """What debts had used up of a payout at a time: two sums where the clocks leave it open."""
    if not row.netted_amount or paid_by is None:
        return {row.netted_amount}
    made = conn.execute(_NETTED, {"of": row.id}).all()
    surely = sum(one.amount for one in made if one.created_at + CLOCKS_APART < paid_by)
    perhaps = sum(one.amount for one in made if one.created_at - CLOCKS_APART < paid_by)
    return {surely, perhaps}


_NETTED = select(nettings.c.amount, nettings.c.created_at).where(
    nettings.c.payout_id == bindparam("of"), nettings.c.undone_at.is_(None)
)


def _at_birth(conn: Connection, row: Row[Any]) -> int:
    return share_out(row.creator_amount, sales.shares_of(conn, row.content_id)).get(row.recipient_id, 0)


def promise(conn: Connection, transfer: Row[Any], paid: Sequence[Paid], cause: str, now: datetime) -> None:
    """Put the payouts into the transfer that paid them, due what it paid, in `pending_distribution`: the outcome of the
    transfer then settles them like any other. `transfer`: a row of `transfers`. Raises Retryable where another replica
    has begun to send one of them since it was found."""
    place = {"transfer_id": transfer.id, "batch_id": transfer.batch_id}
    for one in paid:
        row = conn.execute(select(payouts).where(payouts.c.id == one.payout_id).with_for_update()).one()
        if row.transfer_id != transfer.id and membership.has_begun(conn, row.transfer_id):
            raise Retryable(f"payout {row.id} may be on its way: it was begun a moment ago")
        membership.unlink(conn, row.id, now)
        if row.state == UsdcStatus.ON_HOLD:
            release_payout(conn, row, now)
        netted = row.netted_amount
        if netted and one.amount > row.amount - netted:  # more than debts leave of it now
            netted = max(0, row.amount - one.amount)
            net_exactly(conn, {row.id: netted}, row.recipient_id, now)
        restate_due(conn, row.id, one.amount + netted, cause, now)
        state = conn.scalar(select(payouts.c.state).where(payouts.c.id == row.id))
        if state != UsdcStatus.PENDING_DISTRIBUTION:
            why = f"already sent: {cause}"
            advance(conn, row.id, UsdcStatus.PENDING_DISTRIBUTION, now, why, reason=None, state_before_hold=None)
        conn.execute(update(payouts).where(payouts.c.id == row.id).values(**place))
        _file_item(conn, transfer, one)
    amount = sum(one.amount for one in paid)
    conn.execute(update(transfers).where(transfers.c.id == transfer.id).values(amount=amount))


def _file_item(conn: Connection, transfer: Row[Any], paid: Paid) -> None:
    """What was planned by rows that are lost; a plan that is still there keeps its own item."""
    conn.execute(
        insert_into(batch_items, conn.dialect.name)
        .values(
            batch_id=transfer.batch_id,
            payout_id=paid.payout_id,
            destination_address=transfer.destination_address,
            amount=paid.amount,
        )
        .on_conflict_do_nothing()
    )


def adopted_batch(conn: Connection, rail: str, now: datetime) -> int:
    """The batch under which a rail's adopted transfers are filed."""
    key = ADOPTED_KEYS[rail]
    born = conn.execute(
        insert_into(batches, conn.dialect.name)
        .values(
            uuid=key,
            key=key,
            cutoff_at=now,
            status=BatchStatus.SETTLED,
            grouping="purchase",
            rail=rail,
            payout_count=0,
            planned_amount=0,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )
    batch_id = int(conn.scalar(select(batches.c.id).where(batches.c.key == key)) or 0)
    if born.rowcount:
        note(conn, "batch", batch_id, None, BatchStatus.SETTLED, now, "holds what was adopted")
    return batch_id


def new_transfer(
    conn: Connection, batch_id: int, recipient_id: int, named: Mapping[str, str], amount: int, owner: str, now: datetime
) -> Row[Any]:
    """The transfer that an outflow turned out to be. `named`: its uuid, reference and key_scope."""
    transfer_id = conn.scalar(
        insert(transfers)
        .values(
            batch_id=batch_id,
            recipient_id=recipient_id,
            amount=amount,
            destination_address=owner,
            created_at=now,
            **named,
        )
        .returning(transfers.c.id)
    )
    return conn.execute(select(transfers).where(transfers.c.id == transfer_id)).one()


def recipients_at(conn: Connection, owner: str) -> list[int]:
    """Users who are, or were in a plan, paid at this address."""
    by_profile = select(users.c.id).where((users.c.circle_wallet_address == owner) | (users.c.wallet_address == owner))
    by_plan = (
        select(payouts.c.recipient_id)
        .join(batch_items, batch_items.c.payout_id == payouts.c.id)
        .where(batch_items.c.destination_address == owner)
    )
    return sorted(set(conn.scalars(by_profile)) | set(conn.scalars(by_plan)))
