"""Whose money it is: whoever makes a recipient owe, or money of his due, waits for whoever else does (ADR 66)."""

from collections.abc import Collection
from typing import Any

from sqlalchemy import BindParameter, Connection, Select, bindparam, select

from storage.tables import payouts, transfers, users


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
    """`lock` for all whom these transfers pay."""
    if transfer_ids and conn.dialect.name == "postgresql":
        conn.execute(_OF_TRANSFERS, {"of": list(transfer_ids)})


def _locking(whose: BindParameter[Any] | Select[int]) -> Select[int]:
    """Another row may refer to a user meanwhile: only who locks him here, or changes his row, waits."""
    mine = select(users.c.id).where(users.c.id.in_(whose))
    return mine.order_by(users.c.id).with_for_update(key_share=True)


_THESE = _locking(bindparam("of", expanding=True))
_OF_SALE = _locking(select(payouts.c.recipient_id).where(payouts.c.purchase_id == bindparam("of")))
_OF_TRANSFERS = _locking(select(transfers.c.recipient_id).where(transfers.c.id.in_(bindparam("of", expanding=True))))
