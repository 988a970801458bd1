"""Payouts that the chain has paid: what becomes of their rows and of the ledger, set-based, for one or for hundreds."""

from datetime import datetime

from sqlalchemy import ColumnElement, Connection, exists, func, or_, select

from domain.evidence import Evidence
from domain.ledger import payouts_distributed
from domain.states import UsdcStatus
from storage.debts import net_debts
from storage.history import advance_where
from storage.ledger import post
from storage.returns import settle_returns
from storage.tables import disputes, nettings, payouts, refunds


def pay(conn: Connection, which: ColumnElement[bool], evidence: Evidence, now: datetime) -> None:
    """The payouts that `which` chooses were moved by a finalized transaction that was read back.

    In the transaction that books the movement. What came back of their sales meanwhile becomes their recipients' debt.
    """
    unpaid = payouts.c.amount - payouts.c.netted_amount
    owed = select(payouts.c.recipient_id, func.sum(unpaid)).where(which).group_by(payouts.c.recipient_id)
    paid = {recipient_id: int(amount) for recipient_id, amount in conn.execute(owed)}
    advance_where(
        conn,
        which,
        UsdcStatus.DISTRIBUTED,
        now,
        evidence.signature,
        signature=evidence.signature,
        paid_amount=unpaid,
        distributed_at=evidence.block_time or now,
        reason=None,
    )
    post(conn, payouts_distributed(evidence.signature, paid), now)
    # Nobody else's due can have changed while it was in flight.
    came_back = or_(*(exists().where(table.c.purchase_id == payouts.c.purchase_id) for table in (refunds, disputes)))
    touched = select(payouts.c.purchase_id).where(which, came_back).distinct().order_by(payouts.c.purchase_id)
    for purchase_id in conn.scalars(touched).all():
        settle_returns(conn, purchase_id, f"paid:{evidence.signature[:16]}", now)
    netted = nettings.c.payout_id.in_(select(payouts.c.id).where(which)) & nettings.c.undone_at.is_(None)
    debtors = select(nettings.c.recipient_id).where(netted).distinct().order_by(nettings.c.recipient_id)
    for recipient_id in conn.scalars(debtors).all():
        net_debts(conn, recipient_id, now)  # a debt may have ended meanwhile that had taken of these
