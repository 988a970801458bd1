"""What creators are due of sales whose fee is final and that have no payout yet: they wait for their NFT. Few at any
time: a sale stays here only from its fee to its mint. Reads only."""

from collections import defaultdict
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, exists, func, or_, select

from domain.split import due_after_refunds, share_out
from domain.states import PurchaseStatus
from storage.sales.purchases import SOLD_OUT, shares_of
from storage.sales.returns import CAME_BACK
from storage.statements import among
from storage.tables import content_shares, contents, payouts, purchases

WAITING = (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.FAILED)


@dataclass(slots=True)
class Unminted:
    """Base units, `held` apart; `sales` are those of which something is due and that are not held, `held_sales` the
    others."""

    sales: int = 0
    due: int = 0
    held: int = 0
    held_sales: int = 0

    @property
    def all(self) -> int:
        return self.due + self.held

    def add(self, amount: int, *, is_held: bool) -> None:
        if is_held:
            self.held += amount
            self.held_sales += 1
        elif amount:
            self.due += amount
            self.sales += 1


def _no_payout_yet() -> tuple[ColumnElement[bool], ...]:
    return (
        purchases.c.status.in_(among(WAITING)),
        purchases.c.creator_amount.is_not(None),
        purchases.c.minted_at.is_(None),
        func.coalesce(purchases.c.status_reason, "") != SOLD_OUT,
        ~exists().where(payouts.c.purchase_id == purchases.c.id),
    )


def of_creators(conn: Connection, creator_ids: Collection[int]) -> Mapping[int, Unminted]:
    """By creator; all zero for whom nothing waits."""
    found: dict[int, Unminted] = defaultdict(Unminted)
    shared = select(content_shares.c.content_id).where(content_shares.c.user_id.in_(creator_ids))
    query = (
        select(purchases, CAME_BACK.label("came_back"))
        .join(contents, contents.c.id == purchases.c.content_id)
        .where(or_(contents.c.author_id.in_(creator_ids), contents.c.id.in_(shared)), *_no_payout_yet())
    )
    shares: dict[int, Mapping[int, int]] = {}
    for row in conn.execute(query).all():
        if row.content_id not in shares:
            shares[row.content_id] = shares_of(conn, row.content_id)
        for user_id, mine in share_out(_due(row), shares[row.content_id]).items():
            found[user_id].add(mine, is_held=row.hold_reason is not None)
    return found


def in_all(conn: Connection) -> Unminted:
    """Of all creators together. What nothing came back of is summed up by the database."""
    held = purchases.c.hold_reason.is_not(None)
    found = Unminted()
    whole = select(
        func.count().filter(~held).label("sales"),
        func.count().filter(held).label("held_sales"),
        func.coalesce(func.sum(purchases.c.creator_amount).filter(~held), 0).label("due"),
        func.coalesce(func.sum(purchases.c.creator_amount).filter(held), 0).label("held"),
    ).where(*_no_payout_yet(), CAME_BACK == 0)
    sums = conn.execute(whole).one()
    found.sales, found.held_sales = sums.sales, sums.held_sales
    found.due, found.held = int(sums.due), int(sums.held)
    for row in conn.execute(select(purchases, CAME_BACK.label("came_back")).where(*_no_payout_yet(), CAME_BACK > 0)):
        found.add(_due(row), is_held=row.hold_reason is not None)
    return found


def _due(row: Row[Any]) -> int:
    return due_after_refunds(row.creator_amount, row.gross_amount, int(row.came_back))
