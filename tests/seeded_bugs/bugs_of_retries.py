"""Bugs in what is asked once more, or of the wrong one."""

from datetime import timedelta
from typing import Any

from pytest import MonkeyPatch
from sqlalchemy import exists, select

import payouts.rails.circle_orders
import storage.recovery.packed_adoption
import storage.sales.refunds
from simulator.scenario import FaultKind as F
from storage.sales.purchases import SOLD_OUT, required
from storage.tables import payout_groups, purchases, refunds
from storage.treasury.movements import book_adopted
from storage.work import enqueue
from tests.seeded_bugs.planting import bug, of


@bug(purchases=9)
def gives_back_to_the_winner_of_a_race(patch: MonkeyPatch) -> None:
    real = of(storage.sales.refunds, "intend")

    def intend(conn: Any, purchase_id: int, reason: str, amount: int, uuid: Any, key: Any, now: Any) -> None:
        work = required(conn, purchase_id).content_id
        spared = ~exists().where(refunds.c.purchase_id == purchases.c.id)
        winners = select(purchases.c.id).where(purchases.c.content_id == work, purchases.c.edition_held, spared)
        other = conn.scalar(winners.limit(1)) if reason == SOLD_OUT else None
        if other is not None:
            enqueue(conn, "refund", other, now)
        real(conn, other or purchase_id, reason, amount, uuid, key, now)

    patch.setattr(storage.sales.refunds, "intend", intend)


@bug(F.OLD_BACKUP, purchases=9, rail="solana", grouping="creator")
def forgets_whom_an_adopted_payout_has_paid(patch: MonkeyPatch) -> None:
    """A packed payout that the backup does not know is booked, and nobody notes whom it has paid."""

    def adopt(conn: Any, outflow: Any, payer: Any, new_uuid: Any, now: Any, named: Any = ()) -> bool:
        book_adopted(conn, outflow.signature, now)
        return True

    patch.setattr(storage.recovery.packed_adoption, "adopt", adopt)


@bug(F.OLD_BACKUP, purchases=9, rail="solana", grouping="creator")
def adopts_no_group_by_its_receipt(patch: MonkeyPatch) -> None:
    """A packed payout whose group the backup knows is taken for one that it does not."""
    real = of(storage.recovery.packed_adoption, "adopt")

    def adopt(conn: Any, outflow: Any, *told: Any, **named: Any) -> bool:
        mine = payout_groups.c.receipt_address == outflow.receipt_address
        if conn.scalar(select(payout_groups.c.id).where(mine)) is not None:
            book_adopted(conn, outflow.signature, told[2])
            return True
        return bool(real(conn, outflow, *told, **named))

    patch.setattr(storage.recovery.packed_adoption, "adopt", adopt)


@bug(F.FORGOTTEN_KEYS, purchases=9, rail="circle")
def trusts_a_key_for_ever(patch: MonkeyPatch) -> None:
    """An order whose answer was lost is sent again when Circle has forgotten it, and looked for in no list before."""

    async def glimpse(self: Any, case: Any) -> None:
        return None

    patch.setattr(payouts.rails.circle_orders, "KEY_TRUSTED_FOR", timedelta(days=3_650))
    patch.setattr(payouts.rails.circle_orders.CircleOrders, "glimpse", glimpse)
