"""What the chain was last seen to be like: rent, fee, formats, the USDC mint. A change leaves a history row."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cache

from sqlalchemy import Connection, Insert, select

from storage.history import note
from storage.statements import insert_into
from storage.tables import chain_facts


@dataclass(frozen=True, slots=True)
class ChainFact:
    """One fact, as text. `seen_at`: last confirmed, `changed_at`: since when it is so."""

    name: str
    value: str
    seen_at: datetime
    changed_at: datetime


@dataclass(frozen=True, slots=True)
class FactChange:
    """A fact that is not what it was."""

    name: str
    before: str
    after: str


def record_facts(conn: Connection, found: Mapping[str, str], now: datetime) -> list[FactChange]:
    """Store what was found; returns what differs from what was stored. A fact seen for the first time is no change."""
    known = {fact.name: fact for fact in known_facts(conn)}
    changes = []
    for name, value in sorted(found.items()):
        before = known.get(name)
        is_new = before is None or before.value != value
        changed_at = now if before is None or is_new else before.changed_at
        told = {"name": name, "value": value, "seen_at": now, "changed_at": changed_at}
        conn.execute(_seen(conn.dialect.name), told)
        if before is not None and is_new:
            changes.append(FactChange(name, before.value, value))
            note(conn, "chain", name, None, "changed", now, f"{before.value} → {value}")
    return changes


@cache
def _seen(dialect: str) -> Insert:
    statement = insert_into(chain_facts, dialect)
    new = statement.excluded
    return statement.on_conflict_do_update(
        index_elements=[chain_facts.c.name],
        set_={"value": new.value, "seen_at": new.seen_at, "changed_at": new.changed_at},
    )


def fact(conn: Connection, name: str) -> str | None:
    """What is known by that name; None before the first look at the chain."""
    value: str | None = conn.scalar(select(chain_facts.c.value).where(chain_facts.c.name == name))
    return value


def known_facts(conn: Connection) -> Sequence[ChainFact]:
    """All that is stored, by name."""
    rows = conn.execute(_KNOWN)
    return [ChainFact(row.name, row.value, row.seen_at, row.changed_at) for row in rows]


_KNOWN = select(chain_facts).order_by(chain_facts.c.name)
