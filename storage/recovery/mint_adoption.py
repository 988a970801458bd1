"""An NFT that is on chain already, made by a process whose rows are lost: the sale takes what the chain shows of it.

The number that the NFT bears was given by rows that are gone, and sales that are made anew were numbered anew since.
The chain can't be renumbered, so the rows are.
"""

import json
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, select, update

from domain.states import MintState
from storage.history import advance, note
from storage.mints import mint_payouts
from storage.sales import purchases as sales
from storage.statements import change_of
from storage.tables import contents, mint_attempts, purchases
from storage.treasury import chain_rows

_LIVE = mint_attempts.c.state != MintState.DEAD


def bury_others(conn: Connection, purchase_id: int, maker: str, now: datetime) -> None:
    """What this database takes for under way can have no effect any more: the address is allocated, and it is final."""
    _bury(conn, mint_attempts.c.purchase_id == purchase_id, f"its NFT was made by {maker}", now)


def take_number(conn: Connection, purchase_id: int, number: int, maker: str, now: datetime) -> None:
    """The purchase's NFT bears this number, so it is the purchase's. Another sale to which it was given anew, and whose
    NFT is not under way, gives it up for the number that this one had. Where that one's NFT bears it too, or may, the
    books keep it there: this purchase then has none but the one in its NFT's name."""
    row = sales.required(conn, purchase_id)
    if row.edition_number == number:
        return
    conn.execute(select(contents.c.id).where(contents.c.id == row.content_id).with_for_update())
    mine = (purchases.c.content_id == row.content_id) & (purchases.c.edition_number == number)
    holder = conn.execute(select(purchases).where(mine).with_for_update()).one_or_none()
    is_free = holder is None or not _may_bear_its_own(conn, holder)
    _renumber(conn, row, None, now, f"its NFT, made by {maker}, bears number {number}")
    if holder is not None and is_free:
        why = f"number {number} is on the NFT of purchase {purchase_id}"
        _drop_plan(conn, holder.id, why, now)
        _renumber(conn, holder, row.edition_number, now, f"{why}; it has {row.edition_number or 'none yet'}")
    if is_free:
        conn.execute(change_of(purchases), {"which": purchase_id, "edition_number": number})
    below = (contents.c.id == row.content_id) & (contents.c.editions_numbered < number)
    conn.execute(update(contents).where(below).values(editions_numbered=number))


def _may_bear_its_own(conn: Connection, holder: Row[Any]) -> bool:
    """Whether its mint is final or signed. One that is not signed is locked: nobody signs it meanwhile."""
    live = select(mint_attempts.c.state).where(mint_attempts.c.purchase_id == holder.id, _LIVE)
    state = conn.scalar(live.with_for_update())
    return holder.minted_at is not None or state not in (None, MintState.INTENDED)


def _renumber(conn: Connection, sale: Row[Any], number: int | None, now: datetime, why: str) -> None:
    conn.execute(change_of(purchases), {"which": sale.id, "edition_number": number})
    note(conn, "purchase", sale.id, sale.status, sale.status, now, why)


def _drop_plan(conn: Connection, purchase_id: int, why: str, now: datetime) -> None:
    """An attempt that would give the number once more, and that nobody has signed."""
    mine = (mint_attempts.c.purchase_id == purchase_id) & _LIVE
    for attempt_id in conn.scalars(select(mint_attempts.c.id).where(mine)).all():
        mint_payouts.release(conn, attempt_id, why, now)
    _bury(conn, mine, f"never signed: {why}", now)


def _bury(conn: Connection, which: ColumnElement[bool], why: str, now: datetime) -> None:
    for attempt in conn.execute(select(mint_attempts).where(which, _LIVE)).all():
        mint_payouts.end(conn, attempt.id, now)
        advance(conn, attempt.id, MintState.DEAD, now, why, proof=json.dumps({"why": why}))
        if attempt.signature is not None:
            chain_rows.unwatch(conn, attempt.signature)
