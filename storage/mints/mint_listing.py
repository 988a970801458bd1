"""Circle's own names for an NFT that came into a wallet of its: known some time after the mint, or never."""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, select

from storage.statements import change_of
from storage.tables import purchases, users
from storage.work import enqueue


@dataclass(frozen=True, slots=True)
class Arrival:
    """A minted NFT in a Circle wallet that Circle has not named yet."""

    wallet_id: str
    user_uuid: str
    signature: str
    minted_at: datetime


def unlisted(conn: Connection, purchase_id: int) -> Arrival | None:
    """None when there is nothing to ask for: not minted, no wallet of Circle's, or known."""
    row = conn.execute(_UNLISTED, {"which": purchase_id}).one_or_none()
    if row is None or row.mint_signature is None or row.circle_wallet_id is None:
        return None
    return Arrival(row.circle_wallet_id, row.uuid, row.mint_signature, row.minted_at)


_UNLISTED = (
    select(users.c.circle_wallet_id, users.c.uuid, purchases.c.mint_signature, purchases.c.minted_at)
    .select_from(purchases.join(users, purchases.c.buyer_id == users.c.id))
    .where(purchases.c.id == bindparam("which"), purchases.c.circle_mint_transaction_id.is_(None))
)


def listed(conn: Connection, purchase_id: int, transaction_id: str, token_id: str | None) -> None:
    """Keep Circle's ids of the transaction and of the NFT's token."""
    named = {"circle_mint_transaction_id": transaction_id, "circle_nft_id": token_id}
    conn.execute(change_of(purchases), {"which": purchase_id, **named})


def hint(conn: Connection, signature: str, now: datetime) -> None:
    """Circle tells of something that came in by this transaction: look it up if it is a mint of ours."""
    purchase_id = conn.scalar(_MINTED_BY, {"of": signature})
    if purchase_id is not None:
        enqueue(conn, "mint_listing", purchase_id, now)


_MINTED_BY = select(purchases.c.id).where(
    purchases.c.mint_signature == bindparam("of"), purchases.c.circle_mint_transaction_id.is_(None)
)
