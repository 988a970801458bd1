"""Payouts that the chain has paid: what becomes of their rows and of the ledger, set-based, for one or for hundreds."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, bindparam, exists, func, or_, select

from domain.evidence import Evidence
from domain.ledger import payouts_distributed
from domain.states import UsdcStatus
from storage.books.ledger import post
from storage.history import advance_all, moving
from storage.payouts.debts import net_debts
from storage.sales.returns import settle_returns
from storage.tables import disputes, nettings, payouts, refunds


def pay(conn: Connection, transfer_ids: Sequence[int], evidence: Evidence, now: datetime) -> None:
    """The payouts of these transfers were moved by a finalized transaction that was read back.

    In the transaction that books the movement, and has locked the recipients. What came back of their sales meanwhile
    becomes their recipients' debt.
    """
    mine = {"of": transfer_ids}
    paid = {recipient_id: int(amount) for recipient_id, amount in conn.execute(_OWED, mine)}
    final = {"paid_by": evidence.signature, "paid_when": evidence.block_time or now}
    advance_all(conn, _PAY, now, evidence.signature, **mine, **final)
    post(conn, payouts_distributed(evidence.signature, paid), now)
    for purchase_id in conn.scalars(_TOUCHED, mine).all():
        settle_returns(conn, purchase_id, f"paid:{evidence.signature[:16]}", now)
    for recipient_id in conn.scalars(_NETTED_OF, mine).all():
        net_debts(conn, recipient_id, now)  # a debt may have ended meanwhile that had taken of these


_MINE = payouts.c.transfer_id.in_(bindparam("of", expanding=True))
_UNPAID = payouts.c.amount - payouts.c.netted_amount
_OWED = select(payouts.c.recipient_id, func.sum(_UNPAID)).where(_MINE).group_by(payouts.c.recipient_id)
_PAY = moving(
    _MINE,
    UsdcStatus.DISTRIBUTED,
    signature=bindparam("paid_by", type_=payouts.c.signature.type),
    paid_amount=_UNPAID,
    distributed_at=bindparam("paid_when", type_=payouts.c.distributed_at.type),
    reason=None,
)
_CAME_BACK = or_(*(exists().where(table.c.purchase_id == payouts.c.purchase_id) for table in (refunds, disputes)))
_TOUCHED = select(payouts.c.purchase_id).where(_MINE, _CAME_BACK).distinct().order_by(payouts.c.purchase_id)
"""Nobody else's due can have changed while it was in flight."""
_NETTED_OF = (
    select(nettings.c.recipient_id)
    .where(nettings.c.payout_id.in_(select(payouts.c.id).where(_MINE)), nettings.c.undone_at.is_(None))
    .distinct()
    .order_by(nettings.c.recipient_id)
)
