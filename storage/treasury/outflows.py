"""USDC outflows that nothing explains: any of them stops all sends until a person has looked."""

from collections.abc import Collection
from datetime import datetime

from sqlalchemy import Connection, Integer, Row, bindparam, select, update

from domain.ledger import Asset, usdc_outside
from storage.history import note
from storage.operation.stopped import look_again
from storage.statements import fixed, varying
from storage.tables import chain_movements, ledger_entries
from storage.treasury.movement_rows import Movement, MovementKind, as_movement


def orphans(conn: Connection, limit: int = 100) -> list[Movement]:
    """USDC outflows that nothing explains, newest first. Any of them stops all sends."""
    return [as_movement(row) for row in conn.execute(_ORPHANS, {"most": limit})]


_IS_ORPHAN = chain_movements.c.kind == fixed(MovementKind.ORPHAN)
_ORPHANS = (
    select(chain_movements)
    .where(_IS_ORPHAN)
    .order_by(chain_movements.c.id.desc())
    .limit(varying(bindparam("most", type_=Integer())))
)


def orphan_rows(conn: Connection, limit: int = 100, before: int | None = None) -> list[Row[tuple[object, ...]]]:
    """Up to `limit` unexplained USDC outflows with their row ids, newest first, with ids below `before`."""
    statement = select(chain_movements).where(_IS_ORPHAN)
    if before is not None:
        statement = statement.where(chain_movements.c.id < before)
    return list(conn.execute(statement.order_by(chain_movements.c.id.desc()).limit(limit)).all())


def oldest_orphans(conn: Connection, above: int, limit: int) -> list[Row[tuple[object, ...]]]:
    """Up to `limit` unexplained USDC outflows with row ids above that, in the order in which they were booked."""
    asked = _IS_ORPHAN & (chain_movements.c.id > above)
    return list(conn.execute(select(chain_movements).where(asked).order_by(chain_movements.c.id).limit(limit)).all())


def orphan_row(conn: Connection, movement_id: int, *, lock: bool = False) -> Row[tuple[object, ...]] | None:
    """The unexplained outflow of that id, if it is one. `lock`: nobody else says meanwhile what it was."""
    query = select(chain_movements).where((chain_movements.c.id == movement_id) & _IS_ORPHAN)
    return conn.execute(query.with_for_update() if lock else query).one_or_none()


def unexplained_since(conn: Connection, signature: str) -> datetime | None:
    """When an unexplained outflow came to stop all sends: it may have passed for an order's own till then."""
    key = usdc_outside(signature, 1).key
    since: datetime | None = conn.scalar(select(ledger_entries.c.created_at).where(ledger_entries.c.key == key))
    return since


def explained(conn: Connection, now: datetime) -> None:
    """An outflow stops nothing any more. What the last one has stopped goes on."""
    if not orphans(conn, limit=1):
        look_again(conn, now)


def accept_orphan(conn: Connection, movement_id: int, reason: str, now: datetime) -> bool:
    """A person says that this outflow was the operator's own: it stops nothing any more. Its ledger entry already says
    that the money went outside. False when the row is no unexplained outflow."""
    done = conn.execute(
        update(chain_movements)
        .where(chain_movements.c.id == movement_id, chain_movements.c.kind == MovementKind.ORPHAN)
        .values(kind=MovementKind.OTHER)
    )
    if done.rowcount == 1:
        note(conn, "outflow", movement_id, MovementKind.ORPHAN, "own", now, reason)
        explained(conn, now)
    return done.rowcount == 1


def tell_adopted(conn: Connection, movement_id: int, payout_ids: Collection[int], reason: str, now: datetime) -> None:
    """A person has said which payouts this outflow has paid, and by what he knows it."""
    named = ", ".join(map(str, sorted(payout_ids)))
    note(conn, "outflow", movement_id, MovementKind.ORPHAN, "adopted", now, f"payouts {named}: {reason}"[:2_000])


def kind_of(conn: Connection, signature: str) -> MovementKind | None:
    """What a transaction's USDC movement is booked as; None while it is not booked."""
    found = conn.scalar(
        select(chain_movements.c.kind).where(
            chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC
        )
    )
    return None if found is None else MovementKind(found)
