"""What the platform wallet gained and lost on chain: each (signature, account, asset) booked exactly once.

The treasury follower and the step that paid may come in either order; whoever comes first writes the row and its
ledger entry, the other one verifies. The sum of the rows is what the chain says the account holds.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Literal

from sqlalchemy import ColumnElement, Connection, Row, exists, func, literal, select, union_all, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.errors import Misuse
from domain.ledger import (
    Asset,
    Entry,
    network_cost,
    sol_moved,
    sol_moved_claimed,
    usdc_deposit,
    usdc_outside,
    usdc_outside_claimed,
)
from domain.states import TransferState
from storage import mint_payouts
from storage.deposits import explain_deposits
from storage.ledger import post, post_all
from storage.tables import chain_movements, group_attempts, mint_attempts, transfer_attempts, transfers, upkeep
from storage.work import enqueue

Cost = Literal["mint", "payout"]
"""What a transaction of ours was for, when it cost lamports."""


class MovementKind(StrEnum):
    DEPOSIT = "deposit"
    PAYOUT = "payout"
    """USDC: a payout of ours (`transfer_id` NULL = a group's, whose attempt carries the signature, or one of several
    transfers', to be claimed by its step). SOL: its cost."""
    ORPHAN = "orphan"
    """USDC left and nothing of ours explains it: stops all sends until a person has looked."""
    MINT = "mint"
    OTHER = "other"
    """SOL that moved from or to outside."""


@dataclass(frozen=True, slots=True)
class Movement:
    """One finalized change of one account: `amount` > 0 came in, < 0 went out.

    `counterparty` is the owner of the one account on the other side, None when there are several or none.
    """

    signature: str
    account: str
    asset: Asset
    amount: int
    slot: int
    block_time: datetime | None
    counterparty: str | None = None


def record_movement(
    conn: Connection, movement: Movement, kind: MovementKind, now: datetime, transfer_id: int | None = None
) -> bool:
    """Insert the row; False when this (signature, account, asset) is there already, and nothing is written then.

    Books nothing in the ledger: `book_usdc`, `book_payout` and `book_lamports` do both. Raises Misuse when the transfer
    already has another transaction.
    """
    if transfer_id is not None:
        _require_unpaid(conn, transfer_id, movement.signature)
    insert = sqlite.insert if conn.dialect.name == "sqlite" else postgresql.insert
    born = conn.scalar(
        insert(chain_movements)
        .values(**_row(movement, kind, now), transfer_id=transfer_id)
        .on_conflict_do_nothing(index_elements=_KEY)
        .returning(chain_movements.c.id)
    )
    return born is not None


_KEY = (chain_movements.c.signature, chain_movements.c.account, chain_movements.c.asset)


def _row(movement: Movement, kind: MovementKind, now: datetime) -> dict[str, Any]:
    return {
        "signature": movement.signature,
        "account": movement.account,
        "asset": movement.asset,
        "amount": movement.amount,
        "slot": movement.slot,
        "block_time": movement.block_time,
        "kind": kind,
        "counterparty": movement.counterparty,
        "unexplained": movement.amount if kind is MovementKind.DEPOSIT else None,
        "created_at": now,
    }


def book_usdc(conn: Connection, movement: Movement, now: datetime) -> MovementKind | None:
    """Book what the treasury follower saw on the platform's USDC account; None when it is booked already.

    A deposit makes job (fund, treasury) due. An outflow is a payout when a transfer attempt explains it: by its
    signature, or, while its outcome is open, by destination and amount. What nothing explains is an orphan.
    """
    if _find(conn, movement) is not None:
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


def book_packed(conn: Connection, movement: Movement, now: datetime) -> None:
    """A group's transaction was read back: its movement is the group's, also where it was booked as gone outside.

    In the transaction that marks the payouts distributed. Idempotent. Raises Misuse when the signature moved something
    else or belongs to a transfer.
    """
    if record_movement(conn, movement, MovementKind.PAYOUT, now):
        _explain_payouts_cost(conn, movement.signature, now)
        return
    row = _find(conn, movement)
    assert row is not None
    if row.amount != movement.amount or row.transfer_id is not None or row.kind == MovementKind.DEPOSIT:
        raise Misuse(f"{movement.signature} is booked as {row.kind} of {row.amount}, not {movement.amount}")
    if row.kind != MovementKind.PAYOUT:
        post(conn, usdc_outside_claimed(movement.signature, -movement.amount), now)
    conn.execute(update(chain_movements).where(chain_movements.c.id == row.id).values(kind=MovementKind.PAYOUT))
    _explain_payouts_cost(conn, movement.signature, now)


def _explain_payouts_cost(conn: Connection, signature: str, now: datetime) -> None:
    """What a transaction that paid has cost, it cost for paying; but a mint's is the mint's, whatever it paid too."""
    explain_cost(conn, signature, costs_of(conn, [signature]).get(signature, "payout"), now)


def book_adopted(conn: Connection, signature: str, now: datetime) -> None:
    """An outflow that was booked as unexplained turned out to be a group's, which carries its signature now."""
    row = conn.execute(
        select(chain_movements).where(chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC)
    ).one_or_none()
    if row is not None:
        book_packed(conn, _movement(row), now)


def claim_movement(conn: Connection, movement: Movement, transfer_id: int, now: datetime) -> None:
    """Give a booked outflow to the transfer it turned out to be; an orphan's ledger entry is taken back.

    Idempotent. Raises Misuse when the row is missing, differs, or belongs to something else.
    """
    row = _find(conn, movement)
    if row is None or row.amount != movement.amount:
        raise Misuse(f"{movement.signature} is not booked with {movement.amount} on {movement.account}")
    if row.kind == MovementKind.PAYOUT and row.transfer_id == transfer_id:
        return
    if row.kind not in (MovementKind.PAYOUT, MovementKind.ORPHAN) or row.transfer_id is not None:
        raise Misuse(f"{movement.signature} is booked as {row.kind} of transfer {row.transfer_id}, not {transfer_id}")
    _require_unpaid(conn, transfer_id, movement.signature)
    conn.execute(
        update(chain_movements)
        .where(chain_movements.c.id == row.id)
        .values(kind=MovementKind.PAYOUT, transfer_id=transfer_id)
    )
    if row.kind == MovementKind.ORPHAN:
        post(conn, usdc_outside_claimed(movement.signature, -movement.amount), now)
    explain_cost(conn, movement.signature, "payout", now)


def judge_unclaimed(conn: Connection, account: str, now: datetime) -> int:
    """Look again at payouts nobody claimed: what its attempt now names is claimed, what no open attempt can explain
    any more becomes an orphan. Returns the number of new orphans."""
    rows = conn.execute(
        select(chain_movements)
        .where(
            chain_movements.c.account == account,
            chain_movements.c.asset == Asset.USDC,
            chain_movements.c.kind == MovementKind.PAYOUT,
            chain_movements.c.transfer_id.is_(None),
            ~_is_packed(chain_movements.c.signature),
        )
        .order_by(chain_movements.c.id.desc())
        .with_for_update(of=chain_movements)
    ).all()
    orphaned = 0
    for row in rows:
        movement = _movement(row)
        transfer_id = _transfer_of(conn, movement)
        if transfer_id is not None:
            claim_movement(conn, movement, transfer_id, now)
        elif not _may_be_ours(conn, movement):
            conn.execute(update(chain_movements).where(chain_movements.c.id == row.id).values(kind=MovementKind.ORPHAN))
            post(conn, usdc_outside(movement.signature, -movement.amount), now)
            orphaned += 1
    return orphaned


def book_lamports(conn: Connection, movements: Sequence[Movement], now: datetime) -> int:
    """Book what transactions did to the platform wallet's SOL, one movement each; returns how many were not booked yet.

    A transaction known as ours is a cost (`network_cost`, the same entry that its step posts); any other is
    `sol_moved`, and put right by `explain_cost` if it turns out to be ours later.
    """
    if not movements:
        return 0
    costs = costs_of(conn, [one.signature for one in movements])
    kinds = {one.signature: MovementKind(costs.get(one.signature, MovementKind.OTHER)) for one in movements}
    insert = sqlite.insert if conn.dialect.name == "sqlite" else postgresql.insert
    born = conn.execute(
        insert(chain_movements).on_conflict_do_nothing(index_elements=_KEY).returning(chain_movements.c.signature),
        [_row(one, kinds[one.signature], now) for one in movements],
    )
    new = set(born.scalars())
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
    row = conn.execute(
        update(chain_movements)
        .where(
            chain_movements.c.signature == signature,
            chain_movements.c.asset == Asset.SOL,
            chain_movements.c.kind == MovementKind.OTHER,
        )
        .values(kind=MovementKind(cost))
        .returning(chain_movements.c.amount)
    ).one_or_none()
    if row is not None:
        post(conn, sol_moved_claimed(signature, row.amount), now)
        post(conn, network_cost(signature, cost, -row.amount), now)


def costs_of(conn: Connection, signatures: Sequence[str]) -> dict[str, Cost]:
    """What transactions of ours were for, by their signatures; those that are not known as ours are left out."""
    named = union_all(
        *(
            select(table.c.signature).where(table.c.signature.in_(signatures))
            for table in (transfer_attempts, group_attempts, upkeep)
        )
    )
    booked = select(chain_movements.c.signature).where(
        chain_movements.c.signature.in_(signatures), chain_movements.c.kind == MovementKind.PAYOUT
    )
    mints = select(mint_attempts.c.signature).where(mint_attempts.c.signature.in_(signatures))
    found: dict[str, Cost] = dict.fromkeys([*conn.scalars(named), *conn.scalars(booked)], "payout")
    return found | dict.fromkeys(conn.scalars(mints), "mint")


def movement_sum(conn: Connection, account: str, asset: Asset) -> int:
    """What the account holds by all that was booked: the balance that funding may promise from."""
    total = conn.scalar(
        select(func.sum(chain_movements.c.amount)).where(
            chain_movements.c.account == account, chain_movements.c.asset == asset
        )
    )
    return int(total or 0)


def booked_signatures(conn: Connection, account: str, asset: Asset, signatures: Sequence[str]) -> set[str]:
    """Which of these transactions have a row for this account and asset."""
    query = select(chain_movements.c.signature).where(
        chain_movements.c.account == account,
        chain_movements.c.asset == asset,
        chain_movements.c.signature.in_(signatures),
    )
    return set(conn.scalars(query))


def orphans(conn: Connection, limit: int = 100) -> list[Movement]:
    """USDC outflows that nothing explains, newest first. Any of them stops all sends."""
    rows = conn.execute(
        select(chain_movements)
        .where(chain_movements.c.kind == MovementKind.ORPHAN)
        .order_by(chain_movements.c.id.desc())
        .limit(limit)
    )
    return [_movement(row) for row in rows]


def claim_signature(conn: Connection, signature: str, transfer_id: int, now: datetime) -> None:
    """Give what a signature moved to a transfer, if the follower has booked it already. Raises as `claim_movement`."""
    row = conn.execute(
        select(chain_movements).where(chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC)
    ).one_or_none()
    if row is not None:
        claim_movement(conn, _movement(row), transfer_id, now)


def orphan_rows(conn: Connection, limit: int = 100, before: int | None = None) -> list[Row[tuple[object, ...]]]:
    """Up to `limit` unexplained USDC outflows with their row ids, newest first, with ids below `before`."""
    statement = select(chain_movements).where(chain_movements.c.kind == MovementKind.ORPHAN)
    if before is not None:
        statement = statement.where(chain_movements.c.id < before)
    return list(conn.execute(statement.order_by(chain_movements.c.id.desc()).limit(limit)).all())


def orphan_row(conn: Connection, movement_id: int) -> Row[tuple[object, ...]] | None:
    """The unexplained outflow of that id, if it is one."""
    is_it = (chain_movements.c.id == movement_id) & (chain_movements.c.kind == MovementKind.ORPHAN)
    return conn.execute(select(chain_movements).where(is_it)).one_or_none()


def accept_orphan(conn: Connection, movement_id: int) -> bool:
    """A person says that this outflow was the operator's own: it stops nothing any more. Its ledger entry already says
    that the money went outside. False when the row is no unexplained outflow."""
    done = conn.execute(
        update(chain_movements)
        .where(chain_movements.c.id == movement_id, chain_movements.c.kind == MovementKind.ORPHAN)
        .values(kind=MovementKind.OTHER)
    )
    return done.rowcount == 1


def is_explained(conn: Connection, signature: str) -> bool:
    """Whether a transaction's USDC movement is booked as something that somebody or some transfer explains."""
    found = conn.scalar(
        select(chain_movements.c.kind).where(
            chain_movements.c.signature == signature, chain_movements.c.asset == Asset.USDC
        )
    )
    return found is not None and found != MovementKind.ORPHAN


def _find(conn: Connection, movement: Movement) -> Row[tuple[object, ...]] | None:
    return conn.execute(
        select(chain_movements)
        .where(
            chain_movements.c.signature == movement.signature,
            chain_movements.c.account == movement.account,
            chain_movements.c.asset == movement.asset,
        )
        .with_for_update()
    ).one_or_none()


def _require_unpaid(conn: Connection, transfer_id: int, signature: str) -> None:
    other = conn.scalar(
        select(chain_movements.c.signature).where(
            chain_movements.c.transfer_id == transfer_id, chain_movements.c.signature != signature
        )
    )
    if other is not None:
        raise Misuse(f"transfer {transfer_id} is already paid by {other}, now {signature} claims it")


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
    """Whether more attempts of open outcome fit this movement than unclaimed movements like it are booked already."""
    fitting = conn.scalar(
        select(func.count())
        .select_from(transfers.join(transfer_attempts, transfer_attempts.c.transfer_id == transfers.c.id))
        .where(
            transfer_attempts.c.state.in_([TransferState.INTENDED, TransferState.SUBMITTED]),
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
        )
    )
    return int(fitting or 0) > int(booked or 0)


def _is_packed(signature: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether the attempt of a group, or of a mint that pays, carries this signature: stored before it is sent."""
    return exists().where(group_attempts.c.signature == signature) | mint_payouts.carries(signature)


def _movement(row: Row[tuple[object, ...]]) -> Movement:
    return Movement(
        signature=row.signature,
        account=row.account,
        asset=Asset(row.asset),
        amount=row.amount,
        slot=row.slot,
        block_time=row.block_time,
        counterparty=row.counterparty,
    )
