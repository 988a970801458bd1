"""While a dispute whose funds Stripe took is open, the recipient's next payouts are kept back up to the risk."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, literal_column, select

from domain.refunds import CLOSED_DISPUTES, LOST_DISPUTE, dues, is_open, returns
from domain.states import PAYOUT_PENDING, RefundState, UsdcStatus
from storage.history import advance
from storage.payouts import membership
from storage.payouts.positions import position
from storage.sales import purchases as sales
from storage.sales.holds import let_go
from storage.statements import among, fixed
from storage.tables import disputes, payouts, purchases, refunds

REASON = "reserve: a dispute of an earlier payout is open"


def settle_reserve(conn: Connection, recipient_id: int, now: datetime) -> None:
    """Hold the oldest due payouts until they cover the risk, release what is held beyond it. Idempotent."""
    at_risk = risk(conn, recipient_id)
    held = conn.execute(_HELD, {"of": recipient_id, "why": REASON}).all()
    covered = sum(_payable(row) for row in held)
    for row in reversed(held):
        if covered - _payable(row) < at_risk:
            continue
        covered -= _payable(row)
        let_go(conn, row, now)
    if covered >= at_risk:
        return
    for row in conn.execute(_WAITING, {"of": recipient_id}).all():
        if covered >= at_risk:
            return
        if not membership.has_begun(conn, row.transfer_id):
            covered += _payable(row)
            membership.unlink(conn, row.id, now)
            advance(conn, row.id, UsdcStatus.ON_HOLD, now, REASON, state_before_hold=row.state, reason=REASON)


def is_short(conn: Connection, recipient_id: int) -> bool:
    """Whether less of his is held than the risk: what is on its way could not be."""
    at_risk = risk(conn, recipient_id)
    if not at_risk:
        return False
    held = conn.execute(_HELD, {"of": recipient_id, "why": REASON}).all()
    return sum(_payable(row) for row in held) < at_risk


def risk(conn: Connection, recipient_id: int) -> int:
    """What the recipient would owe more if every open dispute with withdrawn funds were lost (base units): of what he
    was paid, and of what debts used up, which they would owe again."""
    contested = conn.scalars(_CONTESTED).all()  # first, since mostly there is none
    if not contested:
        return 0
    return sum(_would_owe(conn, row) for row in conn.execute(_GOT_OF, {"of": recipient_id, "sales": contested}).all())


_CONTESTED = (
    select(disputes.c.purchase_id)
    .where(disputes.c.status.not_in(among(sorted(CLOSED_DISPUTES))), disputes.c.withdrawn > literal_column("0"))
    .distinct()
)
_GOT_OF = (
    select(payouts, purchases.c.creator_amount, purchases.c.gross_amount, purchases.c.content_id)
    .select_from(payouts.join(purchases))
    .where(
        payouts.c.purchase_id.in_(bindparam("sales", expanding=True)),
        payouts.c.recipient_id == bindparam("of"),
        payouts.c.paid_amount + payouts.c.netted_amount > literal_column("0"),
    )
)


def _would_owe(conn: Connection, row: Row[Any]) -> int:
    found = conn.execute(select(disputes).where(disputes.c.purchase_id == row.purchase_id)).all()
    refunded = conn.scalars(
        select(refunds.c.amount).where(
            refunds.c.purchase_id == row.purchase_id, refunds.c.state == RefundState.SUCCEEDED
        )
    ).all()
    lost = [one.amount for one in found if one.status == LOST_DISPUTE]
    contested = [one.amount for one in found if is_open(one.status) and one.withdrawn > 0]
    worst = returns(row.gross_amount, refunded, lost, contested).contested
    due = dues(row.creator_amount, row.gross_amount, worst, sales.shares_of(conn, row.content_id))
    now = position(row)
    return max(0, now.got - due.get(row.recipient_id, 0)) - now.debt


_MINE = (
    select(payouts)
    .where(payouts.c.recipient_id == bindparam("of"))
    .order_by(payouts.c.paid_at, payouts.c.id)
    .with_for_update()
)
_HELD = _MINE.where(payouts.c.state == fixed(UsdcStatus.ON_HOLD), payouts.c.reason == bindparam("why"))
_WAITING = _MINE.where(payouts.c.state.in_(among(PAYOUT_PENDING)))


def _payable(row: Row[Any]) -> int:
    return position(row).payable
