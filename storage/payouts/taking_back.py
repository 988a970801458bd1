"""A group that was about to be signed, and a payout of which is no longer what it was then.

With its intent a group counts as on its way: what comes back of its sales waits for the outcome. Where signing fails
for hours there is no outcome to wait for yet, and nothing that could land.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, exists, or_, select

from domain.refunds import dues
from domain.states import PackedState
from storage.payouts import groups
from storage.payouts.debts import open_debt
from storage.payouts.reserves import is_short
from storage.sales.purchases import shares_of
from storage.sales.returns import returned
from storage.tables import disputes, payouts, purchases, refunds


def take_back(conn: Connection, group_id: int, now: datetime) -> bool:
    """Withdraw the intent and dissolve the group if one of its sales is held by now or came back, or its recipient
    owes. False, and nothing changed, when all is as it was, or something is signed. Only where the group's receipt is
    not on chain."""
    case = groups.load(conn, group_id)
    if case.attempt is None or case.attempt.state != PackedState.INTENDED:
        return False
    why = _no_longer(conn, [member.transfer_id for member in case.members])
    if why is None:
        return False
    groups.withdraw(conn, group_id, why, now)
    groups.dissolve(conn, group_id, why, now)
    return True


def _no_longer(conn: Connection, transfer_ids: Sequence[int]) -> str | None:
    """Why these transfers would not be begun now as they were."""
    sold = (purchases.c.hold_reason, purchases.c.creator_amount, purchases.c.gross_amount, purchases.c.content_id)
    came_back = or_(*(exists().where(table.c.purchase_id == purchases.c.id) for table in (refunds, disputes)))
    rows = conn.execute(
        select(payouts, *sold, came_back.label("came_back"))
        .join(purchases)
        .where(payouts.c.transfer_id.in_(transfer_ids))
        .order_by(payouts.c.id)
    ).all()
    for row in rows:
        if row.hold_reason is not None:
            return f"payout {row.uuid} is held: {row.hold_reason}"
        if row.came_back and _due(conn, row) != row.amount:
            return f"money of payout {row.uuid} came back"
    for recipient_id in sorted({row.recipient_id for row in rows}):
        if open_debt(conn, recipient_id) or is_short(conn, recipient_id):
            return f"recipient {recipient_id} owes, or may come to"
    return None


def _due(conn: Connection, row: Row[Any]) -> int:
    told = returned(conn, row.purchase_id)
    return dues(row.creator_amount, row.gross_amount, told.returned, shares_of(conn, row.content_id)).get(
        row.recipient_id, 0
    )
