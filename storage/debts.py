"""Debts use up the oldest due payouts of the same recipient; a transfer is never negative."""

from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Row,
    Select,
    bindparam,
    func,
    insert,
    literal_column,
    select,
    union,
    update,
)

from domain.ledger import debt_netted
from domain.refunds import Position
from domain.states import UsdcStatus
from storage import purchases as sales
from storage.history import advance
from storage.ledger import post
from storage.plan_bounds import keep_within_plan
from storage.statements import among, fixed
from storage.tables import nettings, payouts
from storage.work import park_new

WAITING = (UsdcStatus.PENDING_CONVERSION, UsdcStatus.PENDING_DISTRIBUTION)


def position(row: Row[Any]) -> Position:
    return Position(row.amount, row.paid_amount, row.netted_amount)


def open_debt(conn: Connection, recipient_id: int) -> int:
    """What a recipient still owes (base units): got beyond his due, less what later payouts made good."""
    debts = int(conn.scalar(_OWED_BACK, {"of": recipient_id}) or 0)
    return max(0, debts - _netted(conn, nettings.c.recipient_id == recipient_id))


_DEBT = payouts.c.paid_amount + payouts.c.netted_amount - payouts.c.amount
_IN_DEBT = (payouts.c.state == fixed(UsdcStatus.DISTRIBUTED)) & (_DEBT > literal_column("0"))
"""`Position.debt` of one that was paid, in the words of an index: hardly any are, of however many somebody was paid."""
_OWED_BACK = select(func.sum(_DEBT)).where(payouts.c.recipient_id == bindparam("of"), _IN_DEBT)


def net_debts(conn: Connection, recipient_id: int, now: datetime) -> None:
    """Use up due payouts, oldest first, by the debts of paid ones, oldest first. Idempotent."""
    for debtor in conn.execute(_DEBTORS, {"of": recipient_id}).all():
        open_amount = position(debtor).debt - _netted(conn, nettings.c.debtor_payout_id == debtor.id)
        if open_amount < 0:
            _undo(conn, nettings.c.debtor_payout_id == debtor.id, -open_amount, now, keep_begun=True)
        while open_amount > 0:
            due = _next_due(conn, recipient_id)
            if due is None:
                return
            taken = min(open_amount, position(due).payable)
            _net(conn, debtor, due, taken, now)
            open_amount -= taken


def _in_order(*which: ColumnElement[bool]) -> Select[Any]:
    return select(payouts).where(*which).order_by(payouts.c.paid_at, payouts.c.id).with_for_update()


_DEBTORS = _in_order(
    payouts.c.state == fixed(UsdcStatus.DISTRIBUTED),
    payouts.c.id.in_(
        union(
            select(payouts.c.id).where(payouts.c.recipient_id == bindparam("of"), _IN_DEBT),
            select(nettings.c.debtor_payout_id).where(
                nettings.c.recipient_id == bindparam("of"), nettings.c.undone_at.is_(None)
            ),
        )
    ),
)
"""Who owe, and who have owed: what was netted for a debt that is none any more is given back."""
_UNPAID = _in_order(payouts.c.recipient_id == bindparam("of"), payouts.c.state.in_(among(WAITING)))


def undo_surplus(conn: Connection, payout_id: int, due: int, now: datetime) -> None:
    """Less is due on a payout than debts used up of it: they owe that again."""
    row = conn.execute(select(payouts).where(payouts.c.id == payout_id)).one()
    surplus = row.netted_amount - due
    if surplus > 0 and row.state != UsdcStatus.DISTRIBUTED:
        _undo(conn, nettings.c.payout_id == payout_id, surplus, now, keep_begun=False)


def _next_due(conn: Connection, recipient_id: int) -> Row[Any] | None:
    for row in conn.execute(_UNPAID, {"of": recipient_id}):
        if position(row).payable > 0 and not sales.begun(conn, row.transfer_id):
            return row
    return None


def _net(conn: Connection, debtor: Row[Any], due: Row[Any], amount: int, now: datetime) -> None:
    earlier = conn.scalar(select(func.count()).select_from(nettings).where(nettings.c.payout_id == due.id))
    key = f"net:{debtor.uuid}:{due.uuid}:{earlier}"
    conn.execute(
        insert(nettings).values(
            debtor_payout_id=debtor.id,
            payout_id=due.id,
            recipient_id=due.recipient_id,
            amount=amount,
            ledger_key=key,
            created_at=now,
        )
    )
    post(conn, debt_netted(key, due.uuid, due.recipient_id, amount), now)
    conn.execute(update(payouts).where(payouts.c.id == due.id).values(netted_amount=payouts.c.netted_amount + amount))
    if amount == position(due).payable:
        sales.unlink(conn, due.id, now)
        advance(conn, due.id, UsdcStatus.NETTED, now, key, reason=f"used up by debt, entry {key}")
    sales.shrink_transfer(conn, due.transfer_id, now)


def _undo(conn: Connection, which: Any, amount: int, now: datetime, *, keep_begun: bool) -> None:
    """Take back nettings, newest first, until `amount` is made good; more is netted anew by the next pass."""
    found = conn.execute(
        select(nettings).where(which, nettings.c.undone_at.is_(None)).order_by(nettings.c.id.desc())
    ).all()
    for netting in found:
        if amount <= 0:
            return
        payout = conn.execute(select(payouts).where(payouts.c.id == netting.payout_id)).one()
        if keep_begun and (payout.state == UsdcStatus.DISTRIBUTED or sales.begun(conn, payout.transfer_id)):
            continue
        conn.execute(update(nettings).where(nettings.c.id == netting.id).values(undone_at=now))
        key = f"{netting.ledger_key}:undone"
        post(conn, debt_netted(key, payout.uuid, netting.recipient_id, -netting.amount), now)
        values = {"netted_amount": payouts.c.netted_amount - netting.amount}
        conn.execute(update(payouts).where(payouts.c.id == payout.id).values(values))
        sales.cover_anew(conn, payout.id, now)
        keep_within_plan(conn, payout.id, now)
        sales.shrink_transfer(conn, payout.transfer_id, now)
        if payout.state == UsdcStatus.NETTED:
            advance(conn, payout.id, UsdcStatus.PENDING_CONVERSION, now, key, reason=None)
        amount -= netting.amount
    if amount > 0 and keep_begun:
        why = f"{amount} base units were netted by a debt that is none any more and can't be paid back by themselves"
        park_new(conn, "overnetted", str(found[0].debtor_payout_id) if found else "?", "overnetted", why, now)


def _netted(conn: Connection, which: Any) -> int:
    statement = select(func.sum(nettings.c.amount)).where(which, nettings.c.undone_at.is_(None))
    return int(conn.scalar(statement) or 0)
