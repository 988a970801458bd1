"""The one way a state changes: checked against its table of transitions, with a history row in the same transaction."""

from datetime import datetime
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import (
    Column,
    ColumnElement,
    Connection,
    Insert,
    Select,
    String,
    Table,
    Text,
    Update,
    bindparam,
    cast,
    insert,
    select,
    update,
)

from domain.errors import Misuse, Retryable
from domain.states import (
    BatchStatus,
    CheckoutState,
    ConversionState,
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
from storage.statements import change_of, fixed
from storage.tables import (
    batches,
    checkouts,
    conversion_orders,
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
    ConversionState: ("conversion", conversion_orders, conversion_orders.c.state),
}
"""Which column holds the state of which machine. `subject` in the history is the row's id."""


_NOTE = insert(state_history)


def advance(conn: Connection, row_id: int, after: S, now: datetime, why: str | None = None, **columns: Any) -> S:
    """Move row `row_id` of the state's table to `after`, set `columns` with it, and return the state before.

    `why` goes to the history row.

    Raises IllegalTransition when the table of transitions has no such edge, Misuse when the row is gone, Retryable when
    another transaction moved it first: then the caller's whole transaction rolls back and runs again.
    """
    found = conn.scalar(_standing(type(after)), {"which": row_id})
    if found is None:
        raise Misuse(f"no {MACHINES[type(after)][0]} {row_id}")
    before = type(after)(found)
    advance_from(conn, row_id, before, after, now, why, **columns)
    return before


def advance_from(
    conn: Connection, row_id: int, before: str, after: StrEnum, now: datetime, why: str | None = None, **columns: Any
) -> None:
    """`advance` for a row that this transaction has read, and locked where there are locks: it is not asked again."""
    machine, _, column = MACHINES[type(after)]
    require_transition(type(after)(before), after)
    moved = conn.execute(_moving(type(after)), {"which": row_id, "standing": before, column.name: after, **columns})
    if moved.rowcount != 1:
        raise Retryable(f"{machine} {row_id} was moved by somebody else")
    note(conn, machine, row_id, before, after, now, why)


@cache
def _standing(states: type[StrEnum]) -> Select[Any]:
    _, table, column = MACHINES[states]
    return select(column).where(table.c.id == bindparam("which")).with_for_update()


@cache
def _moving(states: type[StrEnum]) -> Update:
    """Sets the columns that its parameters name."""
    _, table, column = MACHINES[states]
    return change_of(table).where(column == bindparam("standing"))


class Moving(NamedTuple):
    """A set-based move of rows, as statements that are built once: see `moving`."""

    after: StrEnum
    befores: Select[Any]
    notes: Insert
    moved: Update


def moving(which: ColumnElement[bool], after: StrEnum, **columns: Any) -> Moving:
    """To move all rows of the state's table that `which` chooses, and to set `columns` with it, to values or SQL
    expressions. The parameters in `which` and `columns` are given to `advance_all`; their names are none of a column,
    nor `why` and `moved_at`. `which` chooses the same rows until they are moved."""
    machine, table, column = MACHINES[type(after)]
    why, moved_at = bindparam("why", type_=Text()), bindparam("moved_at", type_=state_history.c.at.type)
    told = select(fixed(machine), cast(table.c.id, String), column, fixed(after), why, moved_at).where(which)
    return Moving(
        after=after,
        befores=select(column).where(which).order_by(table.c.id).with_for_update(),
        notes=insert(state_history).from_select(["machine", "subject", "before", "after", "reason", "at"], told),
        moved=update(table).where(which).values({column.name: after, **columns}),
    )


def advance_all(conn: Connection, move: Moving, now: datetime, why: str | None = None, **parameters: Any) -> int:
    """`advance` for all rows that a move chooses, set-based; returns how many. Errors as there: on PostgreSQL another
    transaction may have made one more of them between two statements, which nobody has looked at."""
    befores = conn.scalars(move.befores, parameters).all()
    for before in set(befores):
        require_transition(type(move.after)(before), move.after)
    conn.execute(move.notes, {**parameters, "why": why, "moved_at": now})
    moved = conn.execute(move.moved, parameters)
    if moved.rowcount != len(befores):
        raise Retryable(f"of {len(befores)} rows of {MACHINES[type(move.after)][0]} {moved.rowcount} were moved")
    return len(befores)


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
    told = {"machine": machine, "subject": str(subject), "before": before, "after": after, "reason": why, "at": now}
    conn.execute(_NOTE, told)
