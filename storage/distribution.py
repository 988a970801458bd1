"""Payouts that the chain has paid: what becomes of their rows and of the ledger, set-based, for one or for hundreds."""

from collections import defaultdict
from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select, union

from domain.evidence import Evidence
from domain.ledger import payouts_distributed
from domain.states import UsdcStatus
from storage.history import CHUNK, advance_all
from storage.ledger import post
from storage.returns import settle_returns
from storage.tables import disputes, payouts, refunds


def pay(conn: Connection, paid: Sequence[Row[Any]], evidence: Evidence, now: datetime) -> None:
    """The payouts (rows of `payouts`, each locked) were moved by a finalized transaction that was read back.

    In the transaction that books the movement. What came back of their sales meanwhile becomes their recipients' debt.
    """
    advance_all(
        conn,
        [row.id for row in paid],
        UsdcStatus.DISTRIBUTED,
        now,
        evidence.signature,
        signature=evidence.signature,
        paid_amount=payouts.c.amount - payouts.c.netted_amount,
        distributed_at=evidence.block_time or now,
        reason=None,
    )
    owed: dict[int, int] = defaultdict(int)
    for row in paid:
        owed[row.recipient_id] += row.amount - row.netted_amount
    post(conn, payouts_distributed(evidence.signature, owed), now)
    for purchase_id in _with_returns(conn, {row.purchase_id for row in paid}):
        settle_returns(conn, purchase_id, f"paid:{evidence.signature[:16]}", now)


def _with_returns(conn: Connection, purchase_ids: Collection[int]) -> list[int]:
    """Those of which something came back or is disputed: nobody else's due can have changed while it was in flight."""
    found: set[int] = set()
    ordered = sorted(purchase_ids)
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        asked = (select(table.c.purchase_id).where(table.c.purchase_id.in_(chunk)) for table in (refunds, disputes))
        found.update(conn.scalars(union(*asked)))
    return sorted(found)
