"""Debts use up the oldest due payouts of the same recipient; a transfer is never negative."""

from collections.abc import Mapping, Sequence
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

from domain.errors import Misuse
from domain.ledger import debt_netted
from domain.states import PAYOUT_PENDING, UsdcStatus
from storage.books.ledger import post
from storage.history import advance
from storage.payouts import membership
from storage.payouts.plan_bounds import keep_within_plan
from storage.payouts.positions import position
from storage.payouts.reserves import settle_reserve
from storage.sales.holds import due_again
from storage.statements import among, fixed, locked_row_of
from storage.tables import nettings, payouts
from storage.work import ask_no_more, ask_person

OVERNETTED = "overnetted"
"""What a person is asked to pay: debts took it that are none any more."""


def open_debt(conn: Connection, recipient_id: int) -> int:
    """What a recipient still owes (base units): got beyond his due, less what later payouts made good. What he has paid
    back, or was forgiven, he has not got."""
    debts = int(conn.scalar(_OWED_BACK, {"of": recipient_id}) or 0)
    return max(0, debts - int(conn.scalar(_NETTED_OF, {"of": recipient_id}) or 0))


_DEBT = payouts.c.paid_amount + payouts.c.netted_amount + payouts.c.settled_amount - payouts.c.amount
_IN_DEBT = (payouts.c.state == fixed(UsdcStatus.DISTRIBUTED)) & (_DEBT > literal_column("0"))
"""`Position.debt` of one that was paid, in the words of an index: hardly any are, of however many somebody was paid."""
_OWED_BACK = select(func.sum(_DEBT)).where(payouts.c.recipient_id == bindparam("of"), _IN_DEBT)
_NETTED = select(func.sum(nettings.c.amount)).where(nettings.c.undone_at.is_(None))
_NETTED_OF = _NETTED.where(nettings.c.recipient_id == bindparam("of"))
_NETTED_FOR = _NETTED.where(nettings.c.debtor_payout_id == bindparam("of"))


def net_debts(conn: Connection, recipient_id: int, now: datetime) -> None:
    """Give back what was netted by debts that are none any more; keep back what open disputes may take, of that too;
    then use up due payouts, oldest first, by the debts of paid ones, oldest first. Idempotent."""
    debtors = conn.execute(_DEBTORS, {"of": recipient_id}).all()
    for debtor in debtors:
        _give_back(conn, debtor, now)
    if debtors:
        _find_used_up(conn, recipient_id, now)
    settle_reserve(conn, recipient_id, now)
    for debtor in debtors:
        open_amount = _open_amount(conn, debtor)
        while open_amount > 0:
            due = _next_due(conn, recipient_id)
            if due is None:
                return
            taken = min(open_amount, position(due).payable)
            _net(conn, debtor, due, taken, now)
            open_amount -= taken


def _open_amount(conn: Connection, debtor: Row[Any]) -> int:
    """What is owed for one payout and not made good yet; below zero where more was netted than is owed."""
    return position(debtor).debt - made_good(conn, debtor.id)


def made_good(conn: Connection, payout_id: int) -> int:
    """What debts of this payout have used up of others."""
    return int(conn.scalar(_NETTED_FOR, {"of": payout_id}) or 0)


def open_debts(conn: Connection, recipient_id: int) -> list[tuple[Row[Any], int]]:
    """The payouts for which he owes, the oldest first, with what no later payout has made good of it. Not locked."""
    found = [(debtor, _open_amount(conn, debtor)) for debtor in conn.execute(_ANY_DEBTORS, {"of": recipient_id}).all()]
    return [(debtor, amount) for debtor, amount in found if amount > 0]


def netted_in_vain(conn: Connection, debtor: Row[Any]) -> int:
    """What a debt has used up of other payouts beyond what it is now."""
    return max(0, -_open_amount(conn, debtor))


def _give_back(conn: Connection, debtor: Row[Any], now: datetime) -> None:
    """What was paid meanwhile without it is a person's to pay. Nobody is asked while some of it is on its way: what
    turns out not to have been paid is given back then."""
    left = netted_in_vain(conn, debtor)
    if left > 0:
        left = _undo(conn, _undoable(conn, nettings.c.debtor_payout_id == debtor.id), left, now)
    if left > 0 and not _on_their_way(conn, debtor):
        why = f"{left} base units were netted by a debt that is none any more and can't be paid back by themselves"
        ask_person(conn, OVERNETTED, str(debtor.id), OVERNETTED, why, now)
    else:
        ask_no_more(conn, OVERNETTED, str(debtor.id))


def _in_order(*which: ColumnElement[bool]) -> Select[Any]:
    return select(payouts).where(*which).order_by(payouts.c.paid_at, payouts.c.id)


_ANY_DEBTORS = _in_order(
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
_DEBTORS = _ANY_DEBTORS.with_for_update()
_UNPAID = _in_order(
    payouts.c.recipient_id == bindparam("of"), payouts.c.state.in_(among(PAYOUT_PENDING))
).with_for_update()
_NOTHING_LEFT = _UNPAID.where(
    payouts.c.netted_amount > literal_column("0"), payouts.c.amount == payouts.c.netted_amount
)


def _find_used_up(conn: Connection, recipient_id: int, now: datetime) -> None:
    """A refund may leave of a payout just what debts have used up of it: nobody would pay it, nor call it netted."""
    for due in conn.execute(_NOTHING_LEFT, {"of": recipient_id}).all():
        if not membership.has_begun(conn, due.transfer_id):
            newest = _newest_first(conn, nettings.c.payout_id == due.id)[0]
            _used_up(conn, due, newest.ledger_key, now)


def movable_debt(conn: Connection, recipient_id: int) -> int:
    """A recipient's debt that has used up no payout yet, or only such as may still be paid otherwise (base units)."""
    undoable = sum(int(row.amount) for row in _undoable(conn, nettings.c.recipient_id == recipient_id))
    return open_debt(conn, recipient_id) + undoable


def net_exactly(conn: Connection, parts: Mapping[int, int], recipient_id: int, now: datetime) -> None:
    """Have debts use up of each of these payouts (ids) of a recipient what is said, no more and no less, and take it
    back from others where no debt is open. Raises Misuse where it is more than `movable_debt`, or more than is due."""
    mine = nettings.c.payout_id.in_(parts)
    _take_back(conn, _undoable(conn, mine), now)
    others = _undoable(conn, (nettings.c.recipient_id == recipient_id) & ~mine)
    while open_debt(conn, recipient_id) < sum(parts.values()) and others:
        _take_back(conn, [others.pop(0)], now)
    for payout_id, amount in parts.items():
        _net_of(conn, payout_id, amount, recipient_id, now)


def _net_of(conn: Connection, payout_id: int, amount: int, recipient_id: int, now: datetime) -> None:
    """Use up so much of one payout, by the oldest debts first."""
    debtors = conn.execute(_DEBTORS, {"of": recipient_id}).all() if amount else []
    for debtor in debtors:
        due = conn.execute(select(payouts).where(payouts.c.id == payout_id)).one()
        taken = min(_open_amount(conn, debtor), amount, position(due).payable)
        if taken > 0:
            _net(conn, debtor, due, taken, now)
            amount -= taken
    if amount:
        raise Misuse(f"payout {payout_id} can't be netted by {amount} more")


def undo_surplus(conn: Connection, payout_id: int, due: int, now: datetime) -> None:
    """Less is due on a payout than debts used up of it: they owe that again."""
    row = conn.execute(select(payouts).where(payouts.c.id == payout_id)).one()
    surplus = row.netted_amount - due
    if surplus > 0 and row.state != UsdcStatus.DISTRIBUTED:
        _undo(conn, _newest_first(conn, nettings.c.payout_id == payout_id), surplus, now)


def _next_due(conn: Connection, recipient_id: int) -> Row[Any] | None:
    for row in conn.execute(_UNPAID, {"of": recipient_id}):
        if position(row).payable > 0 and not membership.has_begun(conn, row.transfer_id):
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
        _used_up(conn, due, key, now)
    membership.shrink_transfer(conn, due.transfer_id, now)


def _used_up(conn: Connection, due: Row[Any], key: str, now: datetime) -> None:
    membership.unlink(conn, due.id, now)
    advance(conn, due.id, UsdcStatus.NETTED, now, key, reason=f"used up by debt, entry {key}")


def _undo(conn: Connection, found: Sequence[Row[Any]], amount: int, now: datetime) -> int:
    """Take back nettings, in this order, until `amount` is made good; what is too much is netted anew. Returns what is
    still to be made good."""
    for netting in found:
        if amount <= 0:
            break
        _take_back(conn, [netting], now)
        amount -= netting.amount
    return amount


def _newest_first(conn: Connection, which: ColumnElement[bool]) -> list[Row[Any]]:
    standing = select(nettings).where(which, nettings.c.undone_at.is_(None))
    return list(conn.execute(standing.order_by(nettings.c.id.desc())).all())


def _undoable(conn: Connection, which: ColumnElement[bool]) -> list[Row[Any]]:
    """Those of which the money is neither paid nor on its way, newest first; nobody sends it meanwhile."""
    found = []
    for netting in _newest_first(conn, which):
        payout = conn.execute(locked_row_of(payouts), {"which": netting.payout_id}).one()
        if payout.state != UsdcStatus.DISTRIBUTED and not membership.has_begun(conn, payout.transfer_id):
            found.append(netting)
    return found


def _on_their_way(conn: Connection, debtor: Row[Any]) -> bool:
    """Whether the outcome of a payout is open that this debt took from."""
    query = select(payouts.c.transfer_id).where(
        payouts.c.id.in_(
            select(nettings.c.payout_id).where(nettings.c.debtor_payout_id == debtor.id, nettings.c.undone_at.is_(None))
        ),
        payouts.c.state != UsdcStatus.DISTRIBUTED,
    )
    return any(membership.has_begun(conn, transfer_id) for transfer_id in conn.scalars(query).all())


def _take_back(conn: Connection, found: Sequence[Row[Any]], now: datetime) -> None:
    for netting in found:
        payout = conn.execute(locked_row_of(payouts), {"which": netting.payout_id}).one()
        conn.execute(update(nettings).where(nettings.c.id == netting.id).values(undone_at=now))
        ask_no_more(conn, OVERNETTED, str(netting.debtor_payout_id))  # asked for anew where it is not enough
        key = f"{netting.ledger_key}:undone"
        post(conn, debt_netted(key, payout.uuid, netting.recipient_id, -netting.amount), now)
        values = {"netted_amount": payouts.c.netted_amount - netting.amount}
        conn.execute(update(payouts).where(payouts.c.id == payout.id).values(values))
        membership.cover_anew(conn, payout.id, now)
        keep_within_plan(conn, payout.id, now)
        membership.shrink_transfer(conn, payout.transfer_id, now)
        if payout.state == UsdcStatus.NETTED:
            due_again(conn, payout, key, now)
