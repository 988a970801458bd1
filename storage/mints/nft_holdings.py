"""Who holds each NFT that was minted, as the chain was last seen. Functions run in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, bindparam, func, select, update

from storage.history import note
from storage.statements import insert_into
from storage.tables import nft_holdings, purchases

OWNED, TRANSFERRED = "owned", "transferred"


@dataclass(frozen=True, slots=True)
class Holding:
    """`holder` has it in token account `account`, None for his associated one; `holder` is None once it was burned.
    `slot` is of the last look."""

    purchase_id: int
    mint_address: str
    buyer_address: str
    holder: str | None
    account: str | None
    slot: int


@dataclass(frozen=True, slots=True)
class Seen:
    """What the finalized chain shows of one holding at `slot`."""

    holding: Holding
    holder: str | None
    account: str | None
    slot: int

    @property
    def has_moved(self) -> bool:
        return self.holder != self.holding.holder or self.account != self.holding.account


@dataclass(frozen=True, slots=True)
class HoldingCounts:
    """`oldest_due_at`: the look that has waited longest, None where there is no NFT."""

    minted: int
    transferred: int
    oldest_due_at: datetime | None


def begin(conn: Connection, purchase_id: int, mint_address: str, buyer: str, slot: int, due_at: datetime) -> None:
    """The NFT was read back in the buyer's associated token account: look after it from now on. Idempotent."""
    conn.execute(
        insert_into(nft_holdings, conn.dialect.name)
        .values(
            purchase_id=purchase_id,
            mint_address=mint_address,
            buyer_address=buyer,
            holder=buyer,
            slot=slot,
            due_at=due_at,
        )
        .on_conflict_do_nothing()
    )


def due(conn: Connection, now: datetime, limit: int) -> list[Holding]:
    """Up to `limit` that are to be looked at, longest due first."""
    query = select(nft_holdings).where(nft_holdings.c.due_at <= now).order_by(nft_holdings.c.due_at).limit(limit)
    return [
        Holding(row.purchase_id, row.mint_address, row.buyer_address, row.holder, row.account, row.slot or 0)
        for row in conn.execute(query)
    ]


def next_due_at(conn: Connection) -> datetime | None:
    found: datetime | None = conn.scalar(select(func.min(nft_holdings.c.due_at)))
    return found


def record_seen(conn: Connection, seen: Sequence[Seen], now: datetime, due_at: datetime) -> int:
    """Store what was seen; one that moved leaves a history row, and its shelf follows. Returns how many moved.

    What was seen at an older slot than is known changes nothing but the time of the next look.
    """
    if not seen:
        return 0
    rows = [{"which": one.holding.purchase_id, "at": one.slot} for one in seen]
    conn.execute(
        update(nft_holdings)
        .where(nft_holdings.c.purchase_id == bindparam("which"), nft_holdings.c.slot <= bindparam("at"))
        .values(slot=bindparam("at")),
        rows,
    )
    ids = [one.holding.purchase_id for one in seen]
    conn.execute(update(nft_holdings).where(nft_holdings.c.purchase_id.in_(ids)).values(due_at=due_at))
    return sum(_move(conn, one, now) for one in seen if one.has_moved)


def _move(conn: Connection, seen: Seen, now: datetime) -> bool:
    was = seen.holding
    moved = conn.execute(
        update(nft_holdings)
        .where(nft_holdings.c.purchase_id == was.purchase_id, nft_holdings.c.slot <= seen.slot)
        .values(holder=seen.holder, account=seen.account, moved_at=now)
    )
    if moved.rowcount != 1:
        return False
    before, after = (OWNED if holder == was.buyer_address else TRANSFERRED for holder in (was.holder, seen.holder))
    why = "burned" if seen.holder is None else f"now held by {seen.holder}"
    note(conn, "nft", was.purchase_id, before, after, now, why)
    conn.execute(
        update(purchases).where(purchases.c.id == was.purchase_id).values(nft_transferred=after == TRANSFERRED)
    )
    return True


def counts(conn: Connection) -> HoldingCounts:
    transferred = func.count().filter(
        nft_holdings.c.holder.is_(None) | (nft_holdings.c.holder != nft_holdings.c.buyer_address)
    )
    row = conn.execute(
        select(
            func.count().label("minted"), transferred.label("transferred"), func.min(nft_holdings.c.due_at).label("due")
        )
    ).one()
    return HoldingCounts(row.minted, row.transferred, row.due)
