"""The platform wallet's USDC, as it came and went: each (signature, account, asset) booked exactly once.

The treasury follower and the step that paid may come in either order; whoever comes first writes the row and its
ledger entry, the other one verifies. The sum of the rows is what the chain says the account holds.
"""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, bindparam, exists, func, literal, select

from domain.errors import Misuse
from domain.ledger import (
    Asset,
    usdc_deposit,
    usdc_outside,
    usdc_outside_claimed,
)
from domain.states import TransferState
from storage.books.ledger import post
from storage.mints import mint_payouts
from storage.statements import change_of, fixed, row_of
from storage.tables import chain_movements, group_attempts, transfer_attempts, transfers
from storage.treasury.deposits import explain_deposits, lock_explaining
from storage.treasury.movement_rows import Movement, MovementKind, as_movement, find, record_movement, require_unpaid
from storage.treasury.network_costs import costs_of, explain_cost
from storage.treasury.outflows import explained
from storage.work import enqueue


def book_usdc(conn: Connection, movement: Movement, now: datetime) -> MovementKind | None:
    """Book what the treasury follower saw on the platform's USDC account; None when it is booked already.

    A deposit makes job (fund, treasury) due. An outflow is a payout when a transfer attempt explains it: by its
    signature, or, while its outcome is open, by destination and amount. What nothing explains is an orphan.
    """
    if movement.amount > 0:
        lock_explaining(conn)
    if find(conn, movement) is not None:
        return None
    transfer_id = _transfer_of(conn, movement) if movement.amount < 0 else None
    kind = _kind_of(conn, movement, transfer_id)
    if not record_movement(conn, movement, kind, now, transfer_id):
        return None  # its step was a moment faster
    if kind is MovementKind.DEPOSIT:
        post(conn, usdc_deposit(movement.signature, movement.amount), now)
        explain_deposits(conn, now)
        enqueue(conn, "fund", "treasury", now)
    elif kind is MovementKind.PAYOUT:
        _explain_payouts_cost(conn, movement.signature, now)
    else:
        post(conn, usdc_outside(movement.signature, -movement.amount), now)
    return kind


def _kind_of(conn: Connection, movement: Movement, transfer_id: int | None) -> MovementKind:
    if movement.amount > 0:
        return MovementKind.DEPOSIT
    packed = transfer_id is None and conn.scalar(select(_is_packed(literal(movement.signature))))
    ours = transfer_id is not None or packed or _may_be_ours(conn, movement)
    return MovementKind.PAYOUT if ours else MovementKind.ORPHAN


def book_payout(conn: Connection, movement: Movement, transfer_id: int, now: datetime) -> None:
    """The payout step has read this transaction back as its transfer: make the movement that transfer's.

    In the transaction that marks the payouts distributed, which also posts `payouts_distributed`. Idempotent. Raises
    Misuse when the signature already explains another transfer, or this transfer has another signature.
    """
    if record_movement(conn, movement, MovementKind.PAYOUT, now, transfer_id):
        explain_cost(conn, movement.signature, "payout", now)
    else:
        claim_movement(conn, movement, transfer_id, now)
        _fund_anew(conn, now)


def book_packed(conn: Connection, movement: Movement, now: datetime) -> None:
    """A group's transaction was read back: its movement is the group's, also where it was booked as gone outside.

    In the transaction that marks the payouts distributed. Idempotent. Raises Misuse when the signature moved something
    else or belongs to a transfer.
    """
    if record_movement(conn, movement, MovementKind.PAYOUT, now):
        _explain_payouts_cost(conn, movement.signature, now)
        return
    row = find(conn, movement)
    assert row is not None
    if row.amount != movement.amount or row.transfer_id is not None or row.kind == MovementKind.DEPOSIT:
        raise Misuse(f"{movement.signature} is booked as {row.kind} of {row.amount}, not {movement.amount}")
    if row.kind != MovementKind.PAYOUT:
        post(conn, usdc_outside_claimed(movement.signature, -movement.amount), now)
    conn.execute(change_of(chain_movements), {"which": row.id, "kind": MovementKind.PAYOUT})
    if row.kind == MovementKind.ORPHAN:
        explained(conn, now)
    _explain_payouts_cost(conn, movement.signature, now)
    _fund_anew(conn, now)


def _fund_anew(conn: Connection, now: datetime) -> None:
    """The follower was first: from then until now the money counted as gone and as promised, and a deposit that came
    meanwhile was handed out without it."""
    enqueue(conn, "fund", "treasury", now)


def _explain_payouts_cost(conn: Connection, signature: str, now: datetime) -> None:
    """What a transaction that paid has cost, it cost for paying; but a mint's is the mint's, whatever it paid too."""
    explain_cost(conn, signature, costs_of(conn, [signature]).get(signature, "payout"), now)


def book_adopted(conn: Connection, signature: str, now: datetime) -> None:
    """An outflow that was booked as unexplained turned out to be a group's, which carries its signature now."""
    row = conn.execute(
        select(chain_movements).where(chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC)
    ).one_or_none()
    if row is not None:
        book_packed(conn, as_movement(row), now)


def claim_movement(conn: Connection, movement: Movement, transfer_id: int, now: datetime) -> None:
    """Give a booked outflow to the transfer it turned out to be; the ledger entry of one that was unexplained, or taken
    by a person for his own, is taken back.

    Idempotent. Raises Misuse when the row is missing, differs, or belongs to something else.
    """
    row = find(conn, movement)
    if row is None or row.amount != movement.amount:
        raise Misuse(f"{movement.signature} is not booked with {movement.amount} on {movement.account}")
    if row.kind == MovementKind.PAYOUT and row.transfer_id == transfer_id:
        return
    outside = (MovementKind.ORPHAN, MovementKind.OTHER)
    if row.kind not in (MovementKind.PAYOUT, *outside) or row.transfer_id is not None:
        raise Misuse(f"{movement.signature} is booked as {row.kind} of transfer {row.transfer_id}, not {transfer_id}")
    require_unpaid(conn, transfer_id, movement.signature)
    claimed = {"kind": MovementKind.PAYOUT, "transfer_id": transfer_id}
    conn.execute(change_of(chain_movements), {"which": row.id, **claimed})
    if row.kind == MovementKind.ORPHAN:
        explained(conn, now)
    if row.kind in outside:
        post(conn, usdc_outside_claimed(movement.signature, -movement.amount), now)
    explain_cost(conn, movement.signature, "payout", now)


def claim_signature(conn: Connection, signature: str, transfer_id: int, now: datetime) -> None:
    """Give what a signature moved to a transfer, if the follower has booked it already. Raises as `claim_movement`, and
    where the chain shows another amount or recipient than the transfer has."""
    row = conn.execute(
        select(chain_movements).where(chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC)
    ).one_or_none()
    if row is not None:
        planned = conn.execute(row_of(transfers), {"which": transfer_id}).one()
        meant, moved = (planned.destination_address, planned.amount), (row.counterparty, -row.amount)
        if meant != moved:
            raise Misuse(f"{signature} moved {moved}, and transfer {transfer_id} is {meant}")
        claim_movement(conn, as_movement(row), transfer_id, now)


def is_unclaimed(conn: Connection, signature: str) -> bool:
    """Whether an outflow is booked as a payout for its amount and recipient alone: nothing of ours names it."""
    named = exists().where(transfer_attempts.c.signature == chain_movements.c.signature)
    mine = (chain_movements.c.signature == signature) & (chain_movements.c.asset == Asset.USDC)
    return conn.scalar(select(chain_movements.c.id).where(mine, _IS_UNCLAIMED, ~named)) is not None


def disown(conn: Connection, signature: str, now: datetime) -> None:
    """An outflow that is booked as a payout for its amount and recipient alone is known to be none of ours."""
    mine = (chain_movements.c.signature == signature) & (chain_movements.c.asset == Asset.USDC)
    for row in conn.execute(select(chain_movements).where(mine, _IS_UNCLAIMED).with_for_update()).all():
        _orphan(conn, row, now)


def _orphan(conn: Connection, row: Row[Any], now: datetime) -> None:
    conn.execute(change_of(chain_movements), {"which": row.id, "kind": MovementKind.ORPHAN})
    post(conn, usdc_outside(row.signature, -row.amount), now)


def judge_unclaimed(conn: Connection, account: str, now: datetime) -> int:
    """Look again at payouts nobody claimed: what its attempt now names is claimed, what no open attempt can explain
    any more becomes an orphan. Returns the number of new orphans."""
    orphaned = 0
    for row in conn.execute(_UNCLAIMED, {"of": account}).all():
        movement = as_movement(row)
        transfer_id = _transfer_of(conn, movement)
        if transfer_id is not None:
            claim_movement(conn, movement, transfer_id, now)
        elif not _may_be_ours(conn, movement):
            _orphan(conn, row, now)
            orphaned += 1
    return orphaned


def _planned(movement: Movement) -> ColumnElement[bool]:
    """The transfer's plan fits the movement, and no transaction has paid it yet."""
    paid = exists().where(
        chain_movements.c.transfer_id == transfers.c.id, chain_movements.c.signature != movement.signature
    )
    return (transfers.c.destination_address == movement.counterparty) & (transfers.c.amount == -movement.amount) & ~paid


def _transfer_of(conn: Connection, movement: Movement) -> int | None:
    """The transfer one of whose attempts carries this signature and whose plan it fits."""
    found: int | None = conn.scalar(
        select(transfers.c.id)
        .join(transfer_attempts, transfer_attempts.c.transfer_id == transfers.c.id)
        .where(transfer_attempts.c.signature == movement.signature, _planned(movement))
        .limit(1)
    )
    return found


def _may_be_ours(conn: Connection, movement: Movement) -> bool:
    """Whether more attempts that were sent and may have left under any signature fit this movement than unclaimed
    movements like it are booked already. One that an attempt names is that attempt's, claimed or not: neither counts.
    """
    is_named = exists().where(transfer_attempts.c.signature == chain_movements.c.signature)
    fitting = conn.scalar(
        select(func.count())
        .select_from(transfers.join(transfer_attempts, transfer_attempts.c.transfer_id == transfers.c.id))
        .where(
            transfer_attempts.c.state == TransferState.SUBMITTED,
            transfer_attempts.c.first_sent_at.is_not(None),
            transfer_attempts.c.signature.is_(None),
            _planned(movement),
        )
    )
    booked = conn.scalar(
        select(func.count())
        .select_from(chain_movements)
        .where(
            chain_movements.c.account == movement.account,
            chain_movements.c.asset == movement.asset,
            chain_movements.c.kind == MovementKind.PAYOUT,
            chain_movements.c.transfer_id.is_(None),
            chain_movements.c.counterparty == movement.counterparty,
            chain_movements.c.amount == movement.amount,
            chain_movements.c.signature != movement.signature,
            ~is_named,
        )
    )
    return int(fitting or 0) > int(booked or 0)


def _is_packed(signature: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the attempt of a group, or of a mint that pays, carries this signature: stored before it is sent."""
    return exists().where(group_attempts.c.signature == signature) | mint_payouts.carries(signature)


_IS_UNCLAIMED = (
    (chain_movements.c.kind == fixed(MovementKind.PAYOUT))
    & chain_movements.c.transfer_id.is_(None)
    & ~_is_packed(chain_movements.c.signature)
)
_UNCLAIMED = (
    select(chain_movements)
    .where(chain_movements.c.account == bindparam("of"), chain_movements.c.asset == fixed(Asset.USDC), _IS_UNCLAIMED)
    .order_by(chain_movements.c.id.desc())
    .with_for_update(of=chain_movements)
)
