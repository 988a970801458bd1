"""Conversions of USD into USDC as the operator announces them. Functions run in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select, update

from domain.errors import KeyUsed, RequestError
from domain.ledger import Asset, conversion_sent, conversion_withdrawn
from domain.money import format_usdc
from storage.books.ledger import post
from storage.errors import StoreBusy
from storage.history import note
from storage.statements import insert_into
from storage.tables import conversions
from storage.treasury.chain_rows import reading
from storage.treasury.deposits import explain_deposits, lock_explaining, may_be_of
from storage.treasury.movement_rows import movement_sum_at

READ_WITHIN = timedelta(minutes=5)
"""The wallet is read every few seconds; what is older was not."""


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
    lock_explaining(conn)
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
    note(conn, "announcement", conversion_id, None, "announced", now, conversion.note)
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


def withdraw(conn: Connection, conversion_id: int, usdc_account: str, reason: str, now: datetime) -> None:
    """An announcement was a mistake: no dollars have left for it. Its entry is taken back, and it explains no more.

    Only while nothing has come for it, which the wallet's history must show as it is now. Raises RequestError 404
    `conversion_not_found`, and 409 `withdrawn_already`, `ordered`, `has_come`, `may_have_come`, or `chain_unread` where
    nobody knows.
    """
    lock_explaining(conn)
    row = conn.execute(select(conversions).where(conversions.c.id == conversion_id).with_for_update()).one_or_none()
    if row is None:
        raise RequestError(404, "conversion_not_found", f"there is no conversion {conversion_id}")
    _require_unheard(conn, row)
    _require_read(conn, row, usdc_account, now)
    conn.execute(update(conversions).where(conversions.c.id == row.id).values(withdrawn_at=now))
    post(conn, conversion_withdrawn(row.uuid, row.usd_cents), now)
    note(conn, "announcement", row.id, "announced", "withdrawn", now, reason)
    explain_deposits(conn, now)


def is_withdrawable(row: Row[Any]) -> bool:
    """Announced by hand, and nothing has come for it by its own row."""
    return row.withdrawn_at is None and row.signature is None and not row.received and row.settled_at is None


def _require_unheard(conn: Connection, row: Row[Any]) -> None:
    if row.withdrawn_at is not None:
        raise RequestError(409, "withdrawn_already", f"conversion {row.id} is withdrawn already")
    if row.signature is not None:
        raise RequestError(
            409, "ordered", f"conversion {row.id} is an order's at Circle Mint, which has sent it: nobody announced it"
        )
    if row.received or row.settled_at is not None:
        come = f"{format_usdc(row.received)} USDC have come for conversion {row.id}"
        raise RequestError(409, "has_come", f"{come}: where they were not its, say so of each deposit first")
    if may_be_of(conn, row.id):
        raise RequestError(
            409,
            "may_have_come",
            f"a deposit waits that is conversion {row.id}'s or an order's at Circle Mint: wait until that order has "
            "ended, or take it back",
        )


def _require_read(conn: Connection, row: Row[Any], usdc_account: str, now: datetime) -> None:
    """That nothing has come is known only where the wallet's balance was read a moment ago, and the books hold all of
    it."""
    seen = reading(conn, "treasury_usdc")
    if seen is None or seen.read_at < row.created_at or now - seen.read_at > READ_WITHIN:
        raise RequestError(
            409, "chain_unread", "the wallet was not read lately: nobody knows whether something has come; ask again"
        )
    if seen.amount != movement_sum_at(conn, usdc_account, Asset.USDC, seen.slot):
        raise RequestError(
            409, "chain_unread", "the books do not hold all that the wallet does: look into TreasuryGap, then ask again"
        )


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` conversions, newest first, with ids below `before`."""
    query = select(conversions).order_by(conversions.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(conversions.c.id < before)).all()


def by_id(conn: Connection, conversion_id: int) -> Row[Any]:
    return conn.execute(select(conversions).where(conversions.c.id == conversion_id)).one()
