"""Transfers that Circle Mint shows and the database does not know: the mark of a restored backup, or of a person who
used Circle's console. Functions run in the caller's transaction; amounts in USDC base units."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, insert, select

from domain.keys import conversion_key
from domain.states import ConversionState
from domain.waits import CLOCKS_DIFFER
from storage.history import advance, note
from storage.statements import change_of
from storage.tables import chain_movements, conversion_orders
from storage.treasury.conversion_orders import ADOPTED, OPEN, ORDERED, UNSENT
from storage.work import revive


@dataclass(frozen=True, slots=True)
class Found:
    """A transfer to the platform wallet that has not failed."""

    circle_id: str
    status: str
    amount: int
    destination_address: str
    signature: str | None
    created_at: datetime


def adopt(conn: Connection, found: Found, uuid: UUID, now: datetime) -> bool:
    """Give it to the order that it must be, or make one of it; True when something was written.

    An order that was under way in the lost database has the same UUID here, so the same key. `uuid` is for a new row.
    What is known, what an order that was sent will find by its own key, and whose deposit is explained already, are
    left alone.
    """
    if _is_known(conn, found) or _is_explained(conn, found):
        return False
    order = _open_order(conn)
    if order is not None and order.amount == found.amount:
        if order.sent_at is not None:
            return False
        if found.created_at >= order.created_at - CLOCKS_DIFFER:
            _bind(conn, order, found, now)
            return True
    _make(conn, found, uuid, now)
    return True


def _open_order(conn: Connection) -> Row[Any] | None:
    """The order under way whose transfer is not known; there is one at most."""
    query = select(conversion_orders).where(
        conversion_orders.c.state.in_(OPEN),
        conversion_orders.c.origin == ORDERED,
        conversion_orders.c.circle_transfer_id.is_(None),
    )
    return conn.execute(query.with_for_update()).one_or_none()


def _is_known(conn: Connection, found: Found) -> bool:
    mine = conversion_orders.c.circle_transfer_id == found.circle_id
    return conn.scalar(select(conversion_orders.c.id).where(mine)) is not None


def _is_explained(conn: Connection, found: Found) -> bool:
    """Somebody announced it by hand, and its deposit was explained by that."""
    if found.signature is None:
        return False
    arrived = conn.execute(
        select(chain_movements.c.unexplained).where(
            chain_movements.c.signature == found.signature, chain_movements.c.kind == "deposit"
        )
    ).one_or_none()
    return arrived is not None and not arrived.unexplained


def _bind(conn: Connection, order: Row[Any], found: Found, now: datetime) -> None:
    """The order may be about to be sent here: what Circle Mint lists has used up its key, and is never sent again."""
    why = f"found at Circle Mint: {found.circle_id}"
    columns = {
        "idempotency_key": str(conversion_key(UUID(order.uuid))),
        "sent_at": found.created_at,
        "circle_transfer_id": found.circle_id,
        "circle_status": found.status,
        "circle_status_since": now,
    }
    if order.state in UNSENT:
        advance(conn, order.id, ConversionState.SENDING, now, why, **columns)
    else:
        conn.execute(change_of(conversion_orders), {"which": order.id, **columns})
        note(conn, "conversion", order.id, order.state, order.state, now, why)
    revive(conn, "conversion", order.id, now)


def _make(conn: Connection, found: Found, uuid: UUID, now: datetime) -> None:
    order_id = conn.scalar(
        insert(conversion_orders)
        .values(
            uuid=str(uuid),
            origin=ADOPTED,
            state=ConversionState.SENDING,
            amount=found.amount,
            destination_address=found.destination_address,
            digest="",
            note="found at Circle Mint",
            proposed_by="Circle Mint",
            circle_transfer_id=found.circle_id,
            circle_status=found.status,
            circle_status_since=now,
            created_at=now,
        )
        .returning(conversion_orders.c.id)
    )
    note(
        conn,
        "conversion",
        order_id or 0,
        None,
        ConversionState.SENDING,
        now,
        f"found at Circle Mint: {found.circle_id}",
    )
    revive(conn, "conversion", order_id or 0, now)
