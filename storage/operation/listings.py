"""Lists that others keep (Circle's transactions, Stripe's events) and that are read to their end again and again: when
the last whole reading began, or this installation, since what came before it is nobody's here."""

from datetime import UTC, datetime

from sqlalchemy import Connection, select

from storage.statements import fixed
from storage.tables import installation
from storage.treasury.chain_rows import cursor, move_cursor

INSTALLED_AT = "installed_at"


def first_start(conn: Connection) -> datetime | None:
    """When this installation was started first; None before that."""
    found: datetime | None = conn.scalar(_FIRST_START)
    return found


_FIRST_START = select(installation.c.set_at).where(installation.c.name == fixed(INSTALLED_AT))


def read_since(conn: Connection, name: str, now: datetime) -> datetime:
    """From when on a list is to be read; what was created shortly before may have been missing in it then."""
    at = cursor(conn, name)
    if at is not None and at.position is not None:
        return datetime.fromtimestamp(at.position, UTC)
    return first_start(conn) or now


def read_whole(conn: Connection, name: str, began: datetime, now: datetime) -> None:
    """A reading that began then came to the list's end."""
    move_cursor(conn, name, cursor(conn, name), began.isoformat(), int(began.timestamp()), now)
