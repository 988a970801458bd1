"""Bugs in what creators are shown: the books are right, and so is what is paid."""

from typing import Any

from pytest import MonkeyPatch
from sqlalchemy import func, select

import storage.reading.views
from domain.states import UsdcStatus
from storage.tables import payouts, purchases
from tests.seeded_bugs.planting import bug, of


@bug(purchases=9)
def shows_what_was_refunded_as_sold(patch: MonkeyPatch) -> None:
    real = of(storage.reading.views, "_add_payouts")
    whole = purchases.c.creator_amount * payouts.c.share_bps // 10_000
    refunded = select(func.sum(whole - payouts.c.amount)).join(purchases, purchases.c.id == payouts.c.purchase_id)

    def add(conn: Any, creator_id: int, found: Any) -> None:
        real(conn, creator_id, found)
        mine = (payouts.c.recipient_id == creator_id) & (payouts.c.amount < whole)
        found.total_sales += conn.scalar(refunded.where(mine)) or 0

    patch.setattr(storage.reading.views, "_add_payouts", add)


@bug(purchases=9)
def shows_what_is_held_as_on_its_way(patch: MonkeyPatch) -> None:
    due = of(storage.reading.views, "PAYOUT_DUE")
    patch.setattr(storage.reading.views, "PAYOUT_DUE", {*due, UsdcStatus.ON_HOLD})
