"""Conversions of USD into USDC as the operator announces them. Functions run in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, select

from domain.errors import KeyUsed
from domain.ledger import conversion_sent
from storage.books.ledger import post
from storage.errors import StoreBusy
from storage.statements import insert_into
from storage.tables import conversions
from storage.treasury.deposits import explain_deposits


@dataclass(frozen=True, slots=True)
class Announced:
    """`uuid` is random and chosen before the transaction. `expected_usdc` in base units. `signature`: of the
    transaction that brings it, where that is known; then no other deposit explains it."""

    uuid: str
    usd_cents: int
    expected_usdc: int
    note: str
    signature: str | None = None


def announce(conn: Connection, conversion: Announced, now: datetime) -> int:
    """Store it and book the dollars into the clearing account. It explains deposits, also those that were faster; it
    releases no money. Raises StoreBusy while another transaction announces the same."""
    conversion_id = conn.scalar(
        insert_into(conversions, conn.dialect.name)
        .values(
            uuid=conversion.uuid,
            usd_cents=conversion.usd_cents,
            expected_usdc=conversion.expected_usdc,
            note=conversion.note,
            signature=conversion.signature,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[conversions.c.uuid])
        .returning(conversions.c.id)
    )
    if conversion_id is None:
        raise StoreBusy("this conversion is being announced")
    post(conn, conversion_sent(conversion.uuid, conversion.usd_cents), now)
    explain_deposits(conn, now)
    return int(conversion_id)


def announced_before(conn: Connection, wish: Announced) -> int | None:
    """The id of this very conversion, if it is announced already. Raises KeyUsed where its UUID is another one's."""
    row = conn.execute(select(conversions).where(conversions.c.uuid == wish.uuid)).one_or_none()
    if row is None:
        return None
    if (row.usd_cents, row.expected_usdc, row.note) != (wish.usd_cents, wish.expected_usdc, wish.note):
        raise KeyUsed
    return int(row.id)


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` conversions, newest first, with ids below `before`."""
    query = select(conversions).order_by(conversions.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(conversions.c.id < before)).all()


def by_id(conn: Connection, conversion_id: int) -> Row[Any]:
    return conn.execute(select(conversions).where(conversions.c.id == conversion_id)).one()
