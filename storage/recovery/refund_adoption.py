"""Refunds that were asked for by a process whose rows are lost, as Stripe lists them: each carries our mark.

One at most of a sale is under way (`storage.sales.refunds.under_way`). So whoever asked for one that these rows do not
know had the outcome of every one before it, also of one that these rows still mean to ask for.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.waits import CLOCKS_DIFFER
from storage.recovery.adoption import RESTORED_AT
from storage.tables import installation, refunds


@dataclass(frozen=True, slots=True)
class Marked:
    """A refund at Stripe. `mark` is the UUID of the row that it was made for."""

    stripe_refund_id: str
    mark: str
    made_at: datetime


def is_from_before(conn: Connection, refund: Row[Any]) -> bool:
    """Whether these rows were put in place of others since the refund was meant."""
    restored = conn.scalar(select(installation.c.set_at).where(installation.c.name == RESTORED_AT))
    return restored is not None and refund.created_at < restored


def successor(conn: Connection, refund: Row[Any], listed: Sequence[Marked]) -> str | None:
    """Stripe's id of a refund of this sale that was asked for after this one, by rows that are lost; None where there
    is none, or nothing was lost since this one was meant."""
    if not is_from_before(conn, refund):
        return None
    known = set(conn.scalars(select(refunds.c.uuid).where(refunds.c.purchase_id == refund.purchase_id)))
    since = refund.created_at - CLOCKS_DIFFER
    lost = [one for one in listed if one.mark not in known and one.made_at >= since]
    return min(lost, key=lambda one: one.made_at).stripe_refund_id if lost else None
