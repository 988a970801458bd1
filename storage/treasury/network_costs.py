"""What transactions did to the platform wallet's SOL: costs of ours, and what came from or went outside."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Select, Table, bindparam, select, union_all, update

from domain.ledger import (
    Asset,
    Entry,
    network_cost,
    sol_moved,
    sol_moved_claimed,
)
from storage.books.ledger import post, post_all
from storage.statements import fixed, insert_into
from storage.tables import chain_movements, group_attempts, mint_attempts, transfer_attempts, upkeep
from storage.treasury.movement_rows import (
    KEY,
    Movement,
    MovementKind,
    row_values,
)

Cost = Literal["mint", "payout"]
"""What a transaction of ours was for, when it cost lamports."""


def book_lamports(conn: Connection, movements: Sequence[Movement], now: datetime) -> int:
    """Book what transactions did to the platform wallet's SOL, one movement each; returns how many were not booked yet.

    A transaction known as ours is a cost (`network_cost`, the same entry that its step posts); any other is
    `sol_moved`, and put right by `explain_cost` if it turns out to be ours later.
    """
    if not movements:
        return 0
    costs = costs_of(conn, [one.signature for one in movements])
    kinds = {one.signature: MovementKind(costs.get(one.signature, MovementKind.OTHER)) for one in movements}
    inserted = insert_into(chain_movements, conn.dialect.name).on_conflict_do_nothing(index_elements=KEY)
    rows = [row_values(one, kinds[one.signature], now) for one in movements]
    new = set(conn.execute(inserted.returning(chain_movements.c.signature), rows).scalars())
    post_all(conn, [_cost_entry(one, costs.get(one.signature)) for one in movements if one.signature in new], now)
    return len(new)


def _cost_entry(movement: Movement, cost: Cost | None) -> Entry:
    if cost is None:
        return sol_moved(movement.signature, movement.amount)
    return network_cost(movement.signature, cost, -movement.amount)


def explain_cost(conn: Connection, signature: str, cost: Cost, now: datetime) -> None:
    """A transaction turned out to be ours after what it cost was booked as `sol_moved`: book it as `network_cost`.

    Does nothing where it was known as ours, or has not been seen by the follower yet. Idempotent.
    """
    amount = conn.scalar(_COST_OF_OURS, {"of": signature, "kind": MovementKind(cost)})
    if amount is not None:
        post(conn, sol_moved_claimed(signature, amount), now)
        post(conn, network_cost(signature, cost, -amount), now)


_COST_OF_OURS = (
    update(chain_movements)
    .where(
        chain_movements.c.signature == bindparam("of"),
        chain_movements.c.asset == fixed(Asset.SOL),
        chain_movements.c.kind == fixed(MovementKind.OTHER),
    )
    .returning(chain_movements.c.amount)
)


def costs_of(conn: Connection, signatures: Sequence[str]) -> dict[str, Cost]:
    """What transactions of ours were for, by their signatures; those that are not known as ours are left out."""
    told = {"of": list(signatures)}
    found: dict[str, Cost] = dict.fromkeys(conn.scalars(_PAYOUTS, told), "payout")
    return found | dict.fromkeys(conn.scalars(_MINTS, told), "mint")


def _of_these(table: Table) -> Select[Any]:
    return select(table.c.signature).where(table.c.signature.in_(bindparam("of", expanding=True)))


_PAYOUTS = union_all(
    *(_of_these(table) for table in (transfer_attempts, group_attempts, upkeep)),
    _of_these(chain_movements).where(chain_movements.c.kind == fixed(MovementKind.PAYOUT)),
)
_MINTS = _of_these(mint_attempts)
