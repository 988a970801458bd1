"""The one way a state changes: checked against its table of transitions, with a history row in the same transaction."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeVar

from sqlalchemy import Column, Connection, Table, insert, select, update

from domain.errors import Misuse
from domain.states import (
    BatchStatus,
    CheckoutState,
    GroupState,
    MintState,
    PackedState,
    PurchaseStatus,
    ReceiptState,
    RefundState,
    TransferState,
    UpkeepState,
    UsdcStatus,
    WalletState,
    WithdrawalState,
    require_transition,
)
from storage.tables import (
    batches,
    checkouts,
    group_attempts,
    mint_attempts,
    payout_groups,
    payouts,
    purchases,
    receipts,
    refunds,
    state_history,
    transfer_attempts,
    upkeep,
    users,
    withdrawals,
)

S = TypeVar("S", bound=StrEnum)

CHUNK = 500
"""Ids in one IN list."""

MACHINES: dict[type[StrEnum], tuple[str, Table, Column[Any]]] = {
    PurchaseStatus: ("purchase", purchases, purchases.c.status),
    UsdcStatus: ("payout", payouts, payouts.c.state),
    BatchStatus: ("batch", batches, batches.c.status),
    MintState: ("mint", mint_attempts, mint_attempts.c.state),
    TransferState: ("transfer", transfer_attempts, transfer_attempts.c.state),
    WalletState: ("wallet", users, users.c.wallet_state),
    CheckoutState: ("checkout", checkouts, checkouts.c.state),
    RefundState: ("refund", refunds, refunds.c.state),
    WithdrawalState: ("withdrawal", withdrawals, withdrawals.c.state),
    GroupState: ("group", payout_groups, payout_groups.c.state),
    PackedState: ("packed", group_attempts, group_attempts.c.state),
    UpkeepState: ("upkeep", upkeep, upkeep.c.state),
    ReceiptState: ("receipt", receipts, receipts.c.state),
}
"""Which column holds the state of which machine. `subject` in the history is the row's id."""


def advance(conn: Connection, row_id: int, after: S, now: datetime, why: str | None = None, **columns: Any) -> S:
    """Move row `row_id` of the state's table to `after`, set `columns` with it, and return the state before.

    `why` goes to the history row.

    Raises IllegalTransition when the table of transitions has no such edge, Misuse when the row is gone or another
    transaction moved it first (then the caller's whole transaction rolls back and runs again).
    """
    machine, table, column = MACHINES[type(after)]
    found = conn.scalar(select(column).where(table.c.id == row_id).with_for_update())
    if found is None:
        raise Misuse(f"no {machine} {row_id}")
    before = type(after)(found)
    require_transition(before, after)
    moved = conn.execute(
        update(table).where(table.c.id == row_id, column == before).values({column.name: after, **columns})
    )
    if moved.rowcount != 1:
        raise Misuse(f"{machine} {row_id} was moved by somebody else")
    note(conn, machine, row_id, before, after, now, why)
    return before


def advance_all(
    conn: Connection, row_ids: Sequence[int], after: S, now: datetime, why: str | None = None, **columns: Any
) -> None:
    """`advance` for many rows of one table, with a few statements for each `CHUNK` of them; errors as there.

    A value in `columns` may be an SQL expression over the row's own columns.
    """
    machine, table, column = MACHINES[type(after)]
    ordered = sorted(row_ids)
    for start in range(0, len(ordered), CHUNK):
        chunk = ordered[start : start + CHUNK]
        mine = table.c.id.in_(chunk)
        found = conn.execute(select(table.c.id, column).where(mine).order_by(table.c.id).with_for_update()).all()
        befores = {row_id: type(after)(state) for row_id, state in found}
        for before in set(befores.values()):
            require_transition(before, after)
        moved = conn.execute(
            update(table).where(mine, column.in_(set(befores.values()))).values({column.name: after, **columns})
        )
        if moved.rowcount != len(chunk):
            raise Misuse(f"of {len(chunk)} rows of {machine} {moved.rowcount} are there and unmoved")
        conn.execute(
            insert(state_history),
            [
                {"machine": machine, "subject": str(row_id), "before": before, "after": after, "reason": why, "at": now}
                for row_id, before in befores.items()
            ],
        )


def note(
    conn: Connection,
    machine: str,
    subject: int | str,
    before: str | None,
    after: str,
    now: datetime,
    why: str | None = None,
) -> None:
    """Write one history row; `before` is None at a row's birth."""
    conn.execute(
        insert(state_history).values(
            machine=machine, subject=str(subject), before=before, after=after, reason=why, at=now
        )
    )
