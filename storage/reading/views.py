"""What buyers and creators see of their purchases: library, one purchase, dashboard. Reads only."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, exists, func, or_, select

from domain.ledger import Asset, debt_of
from domain.shelf import Shelf
from domain.split import due_after_refunds
from domain.states import PAYOUT_DUE, PurchaseStatus, UsdcStatus, derive_usdc_status
from storage.books.ledger import balance
from storage.payouts.settlements import paid_to
from storage.reading import by_hand, unminted
from storage.sales.purchases import SOLD_OUT
from storage.sales.returns import CAME_BACK
from storage.tables import contents, payouts, purchases, refunds, transfers, users


@dataclass(frozen=True, slots=True)
class Owned:
    """One line of the library."""

    purchase: Row[Any]
    title: str
    shelf: Shelf
    taken_down: bool


@dataclass(frozen=True, slots=True)
class PurchaseView:
    """A purchase with its payouts in order of recipient number, and what follows from them."""

    row: Row[Any]
    title: str
    payouts: Sequence[Row[Any]]
    usdc_status: UsdcStatus
    waits_for_wallet: bool

    @property
    def status_reason(self) -> str | None:
        """What a refunded sale had waited for, or failed of, is over; that it was sold out is why it was refunded."""
        reason: str | None = self.row.status_reason
        return reason if self.row.status != PurchaseStatus.REFUNDED or reason == SOLD_OUT else None

    @property
    def returned(self) -> int:
        """Cents that went back to the buyer, by refunds and lost disputes."""
        return min(int(self.row.came_back), int(self.row.gross_amount))

    @property
    def usdc_amount(self) -> int | None:
        """The due total before netting, base units; None while it is not known."""
        if self.payouts:
            return sum(int(payout.amount) for payout in self.payouts)
        if self.row.creator_amount is None:
            return None
        return due_after_refunds(self.row.creator_amount, self.row.gross_amount, self.returned)


@dataclass(slots=True)
class Dashboard:
    """A creator's money in USDC base units, as product.md section 7 defines the figures."""

    total_sales: int = 0
    pending: int = 0
    pending_sales: int = 0
    paid_out: int = 0
    held: int = 0
    debt: int = 0


def library(conn: Connection, buyer_id: int, before: int | None, limit: int) -> list[Owned]:
    """Up to `limit` paid purchases of a buyer, newest first, with ids below `before`."""
    refunding = exists().where(refunds.c.purchase_id == purchases.c.id, refunds.c.state != "failed")
    query = (
        select(
            purchases,
            contents.c.title,
            contents.c.taken_down_at,
            or_(users.c.circle_wallet_address.is_not(None), users.c.wallet_address.is_not(None)).label("has_wallet"),
            refunding.label("refunding"),
        )
        .join(contents, contents.c.id == purchases.c.content_id)
        .join(users, users.c.id == purchases.c.buyer_id)
        .where(purchases.c.buyer_id == buyer_id, purchases.c.paid_at.is_not(None))
        .order_by(purchases.c.id.desc())
        .limit(limit)
    )
    if before is not None:
        query = query.where(purchases.c.id < before)
    return [Owned(row, row.title, _shelf(row), row.taken_down_at is not None) for row in conn.execute(query)]


def _shelf(row: Row[Any]) -> Shelf:
    """The loser of a sold-out race shows as refunded from when his refund is asked for: nothing will be minted."""
    if row.status == PurchaseStatus.REFUNDED or (row.status_reason == SOLD_OUT and row.refunding):
        return Shelf.REFUNDED
    if row.status == PurchaseStatus.COMPLETED:
        return Shelf.TRANSFERRED if row.nft_transferred else Shelf.OWNED
    if row.status == PurchaseStatus.PAYMENT_COMPLETED and not row.has_wallet:
        return Shelf.WAITING_FOR_WALLET
    return Shelf.MINTING


def purchase(conn: Connection, purchase_id: int, buyer_id: int | None = None) -> PurchaseView | None:
    """A purchase; None when there is none, or when it is not that buyer's."""
    found = purchase_views(conn, [purchase_id])
    return found[0] if found and buyer_id in (None, found[0].row.buyer_id) else None


def purchase_views(conn: Connection, purchase_ids: Sequence[int]) -> list[PurchaseView]:
    """Those purchases, newest first, with two queries for a whole page."""
    buyer = (users.c.username.label("buyer_name"), users.c.circle_wallet_address, users.c.wallet_address)
    rows = conn.execute(
        select(purchases, contents.c.title, CAME_BACK.label("came_back"), *buyer)
        .join(contents, contents.c.id == purchases.c.content_id)
        .join(users, users.c.id == purchases.c.buyer_id)
        .where(purchases.c.id.in_(purchase_ids))
        .order_by(purchases.c.id.desc())
    ).all()
    parts: dict[int, list[Row[Any]]] = {row.id: [] for row in rows}
    for payout in conn.execute(
        select(payouts, users.c.username, transfers.c.destination_address)
        .join(users, users.c.id == payouts.c.recipient_id)
        .outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        .where(payouts.c.purchase_id.in_(parts))
        .order_by(payouts.c.purchase_id, payouts.c.recipient_number)
    ):
        parts[payout.purchase_id].append(payout)
    return [_view(row, parts[row.id]) for row in rows]


def _view(row: Row[Any], parts: Sequence[Row[Any]]) -> PurchaseView:
    return PurchaseView(
        row=row,
        title=row.title,
        payouts=parts,
        usdc_status=derive_usdc_status((UsdcStatus(payout.state) for payout in parts), row.hold_reason is not None),
        waits_for_wallet=row.status == PurchaseStatus.PAYMENT_COMPLETED
        and not (row.circle_wallet_address or row.wallet_address),
    )


def dashboard(conn: Connection, creator_id: int) -> Dashboard:
    """The creator's figures: his payouts, and his part of sales whose fee is final but whose NFT is not minted yet."""
    found = Dashboard()
    _add_payouts(conn, creator_id, found)
    waiting = unminted.of_creators(conn, [creator_id])[creator_id]
    found.total_sales += waiting.all
    found.pending += waiting.due
    found.pending_sales += waiting.sales
    found.held += waiting.held
    found.paid_out += paid_to(conn, [creator_id]).get(creator_id, 0)
    asked = by_hand.owed(conn, [creator_id])[creator_id]
    found.pending += asked.amount
    found.pending_sales += asked.sales
    found.debt = asked.debt_of(balance(conn, debt_of(creator_id), Asset.USDC))
    return found


def _add_payouts(conn: Connection, creator_id: int, found: Dashboard) -> None:
    sums = (
        select(
            payouts.c.state,
            func.sum(payouts.c.amount).label("amount"),
            func.sum(payouts.c.netted_amount).label("netted"),
            func.sum(payouts.c.paid_amount).label("paid"),
            func.count().label("sales"),
        )
        .where(payouts.c.recipient_id == creator_id)
        .group_by(payouts.c.state)
    )
    for row in conn.execute(sums):
        state, amount, rest = UsdcStatus(row.state), int(row.amount), int(row.amount) - int(row.netted)
        if state is UsdcStatus.CANCELLED:
            continue
        found.total_sales += amount
        if state in PAYOUT_DUE:
            found.pending += rest
            found.pending_sales += row.sales
        elif state is UsdcStatus.ON_HOLD:
            found.held += rest
        elif state is UsdcStatus.DISTRIBUTED:
            found.paid_out += int(row.paid)
