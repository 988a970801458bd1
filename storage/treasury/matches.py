"""Which part of a deposit is which announced conversion's, as it stands, and as a person has found it to be wrong.

A match books nothing: the deposit stands in the clearing account by its own entry, the announcement by its own. So no
entry is taken back with it.
"""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, exists, func, select, update

from domain.deposits import OpenConversion, Share, is_there
from domain.errors import RequestError
from domain.money import format_usdc
from storage.history import note
from storage.statements import insert_into
from storage.tables import chain_movements, conversions, deposit_matches

_STANDS = deposit_matches.c.undone_at.is_(None)


def give(conn: Connection, movement_id: int, share: Share, now: datetime) -> None:
    """More of a deposit that is this conversion's already joins its match."""
    born = insert_into(deposit_matches, conn.dialect.name).values(
        movement_id=movement_id, conversion_id=share.conversion_id, amount=share.amount, created_at=now
    )
    more = {"amount": deposit_matches.c.amount + share.amount}
    conn.execute(born.on_conflict_do_update(index_elements=_PAIR, set_=more))
    _change(conn, movement_id, share.conversion_id, share.amount, {"settled_at": now} if share.settles else {})


_PAIR = (deposit_matches.c.movement_id, deposit_matches.c.conversion_id)


def _change(conn: Connection, movement_id: int, conversion_id: int, amount: int, more: Mapping[str, Any]) -> None:
    left = {"unexplained": chain_movements.c.unexplained - amount}
    conn.execute(update(chain_movements).where(chain_movements.c.id == movement_id).values(**left))
    come = {"received": conversions.c.received + amount, **more}
    conn.execute(update(conversions).where(conversions.c.id == conversion_id).values(**come))


def undo(conn: Connection, movement_id: int, conversion_id: int, amount: int, reason: str, now: datetime) -> None:
    """A person says that a deposit was not this conversion's: it has no explanation again, and is never that one's any
    more. `amount` is what he has looked at. The caller explains anew, and holds others off meanwhile.

    Raises RequestError 404 `no_such_match`, 409 `undone_already`, `amount_differs`, or `ordered` of what names its
    transaction itself."""
    mine = deposit_matches.c.movement_id == movement_id, deposit_matches.c.conversion_id == conversion_id
    match = conn.execute(select(deposit_matches).where(*mine).with_for_update()).one_or_none()
    row = conn.execute(select(conversions).where(conversions.c.id == conversion_id).with_for_update()).one_or_none()
    if match is None or row is None:
        told = f"nothing of deposit {movement_id} is conversion {conversion_id}'s"
        raise RequestError(404, "no_such_match", told, "conversion_id")
    if match.undone_at is not None:
        told = f"deposit {movement_id} is not conversion {conversion_id}'s any more"
        raise RequestError(409, "undone_already", told, "conversion_id")
    if row.signature is not None:
        told = f"conversion {conversion_id} is an order's at Circle Mint, whose transaction this deposit is"
        raise RequestError(409, "ordered", told, "conversion_id")
    if match.amount != amount:
        told = f"{format_usdc(match.amount)} USDC of deposit {movement_id} are conversion {conversion_id}'s: look again"
        raise RequestError(409, "amount_differs", told, "amount")
    conn.execute(update(deposit_matches).where(deposit_matches.c.id == match.id).values(undone_at=now))
    left = OpenConversion(row.id, row.expected_usdc, row.received - amount)
    _change(conn, movement_id, conversion_id, -amount, {} if is_there(left) else {"settled_at": None})
    told = f"{format_usdc(amount)} USDC of it were not conversion {conversion_id}'s: {reason}"
    note(conn, "deposit", movement_id, "explained", "unexplained", now, told)


def refused(conn: Connection, movement_id: int) -> set[int]:
    """The conversions that a deposit is not, by a person's word."""
    undone = deposit_matches.c.movement_id == movement_id, ~_STANDS
    return set(conn.scalars(select(deposit_matches.c.conversion_id).where(*undone)))


def is_known(conn: Connection, sender: str | None) -> bool:
    """Whether a conversion came from there before."""
    if sender is None:
        return False
    matched = exists().where(deposit_matches.c.movement_id == chain_movements.c.id, _STANDS)
    query = select(chain_movements.c.id).where(chain_movements.c.counterparty == sender, matched).limit(1)
    return conn.scalar(query) is not None


def of_deposits(conn: Connection, movement_ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
    """Deposit → its (conversion, base units)."""
    found: dict[int, list[tuple[int, int]]] = {one: [] for one in movement_ids}
    for row in _standing(conn, select(deposit_matches).where(deposit_matches.c.movement_id.in_(movement_ids))):
        found[row.movement_id].append((row.conversion_id, row.amount))
    return found


def of_conversions(conn: Connection, conversion_ids: Collection[int]) -> dict[int, list[tuple[int, int]]]:
    """Conversion → its (deposit, base units)."""
    found: dict[int, list[tuple[int, int]]] = {one: [] for one in conversion_ids}
    for row in _standing(conn, select(deposit_matches).where(deposit_matches.c.conversion_id.in_(conversion_ids))):
        found[row.conversion_id].append((row.movement_id, row.amount))
    return found


def _standing(conn: Connection, query: Select[Any]) -> Sequence[Row[Any]]:
    return conn.execute(query.where(_STANDS).order_by(deposit_matches.c.id)).all()


def told_of_deposit(movement_id: Any) -> Select[Any]:
    """What conversions explain of a deposit, as a subquery."""
    return select(func.sum(deposit_matches.c.amount)).where(deposit_matches.c.movement_id == movement_id, _STANDS)
