"""Whose money it is: whoever makes a recipient owe, or money of his due, waits for whoever else does (ADR 66)."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, SelectBase, bindparam, select, union

from storage.tables import payouts, purchases, users


def lock(conn: Connection, recipient_ids: Collection[int]) -> None:
    """To the end of the transaction nobody else nets what these recipients owe, keeps a payout of theirs back or lets
    one go. Of two who do, one would find no payout that is due and the other no debt, and each leave it to the other.
    Before the payouts, the ledger's USDC rows and the job of funding, which all of them change. SQLite has one writer
    anyway."""
    if recipient_ids and conn.dialect.name == "postgresql":
        conn.execute(_THESE, {"of": list(recipient_ids)})


def lock_of_sale(conn: Connection, purchase_id: int) -> None:
    """`lock` for all who have a payout of a purchase, which the caller has locked: none is born meanwhile."""
    if conn.dialect.name == "postgresql":
        conn.execute(_OF_SALE, {"of": purchase_id})


def lock_of_transfers(conn: Connection, transfer_ids: Collection[int]) -> None:
    """`lock` for all who have a payout of a sale that these transfers pay, and those sales before them. Whoever settles
    one of the sales takes them in the same order, and so does who settles several."""
    if transfer_ids and conn.dialect.name == "postgresql":
        conn.execute(_SALES_OF_TRANSFERS, {"of": list(transfer_ids)})
        conn.execute(_OF_TRANSFERS, {"of": list(transfer_ids)})


def lock_beside(conn: Connection, purchase_id: int) -> None:
    """As `lock_of_transfers`, for a sale and all that its transfers pay beside it."""
    if conn.dialect.name == "postgresql":
        conn.execute(_SALES_BESIDE, {"of": purchase_id})
        conn.execute(_OF_SALES_BESIDE, {"of": purchase_id})


def _locking(whose: BindParameter[Any] | Select[int]) -> Select[int]:
    """Another row may refer to a user meanwhile: only who locks him here, or changes his row, waits."""
    mine = select(users.c.id).where(users.c.id.in_(whose))
    return mine.order_by(users.c.id).with_for_update(key_share=True)


def _sales(which: SelectBase) -> Select[int]:
    return select(purchases.c.id).where(purchases.c.id.in_(which)).order_by(purchases.c.id).with_for_update()


def _of_sales(which: SelectBase) -> Select[int]:
    return _locking(select(payouts.c.recipient_id).where(payouts.c.purchase_id.in_(which)))


_THESE = _locking(bindparam("of", expanding=True))
_OF_SALE = _locking(select(payouts.c.recipient_id).where(payouts.c.purchase_id == bindparam("of")))
_PAID_BY = select(payouts.c.purchase_id).where(payouts.c.transfer_id.in_(bindparam("of", expanding=True)))
_SALES_OF_TRANSFERS, _OF_TRANSFERS = _sales(_PAID_BY), _of_sales(_PAID_BY)
_TRANSFERS_OF_SALE = select(payouts.c.transfer_id).where(payouts.c.purchase_id == bindparam("of"))
_BESIDE = union(
    select(purchases.c.id).where(purchases.c.id == bindparam("of")),
    select(payouts.c.purchase_id).where(payouts.c.transfer_id.in_(_TRANSFERS_OF_SALE)),
)
_SALES_BESIDE, _OF_SALES_BESIDE = _sales(_BESIDE), _of_sales(_BESIDE)
