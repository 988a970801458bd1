"""Groups of transfers that one transaction pays: intent, signed bytes, fate, and what it does to the payouts.

A group's members never change. When one of them is no longer what was frozen, or must be left out, the group is
dissolved, which needs that every attempt of it is proven dead, and its transfers are packed anew.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, case, func, insert, select, update

from domain.dead_attempts import DeadAttempts
from domain.errors import Misuse, Retryable
from domain.evidence import Evidence
from domain.ledger import Asset
from domain.states import GroupState, PackedState, UsdcStatus
from storage.attempts import parted, watch_of
from storage.history import advance, note
from storage.payouts import batches, receipts, recipients, transfers
from storage.payouts.approvals import require_as_planned
from storage.payouts.distribution import pay
from storage.sales.returns import settle_unpaid
from storage.statements import fixed, row_of
from storage.tables import (
    group_attempts,
    group_members,
    payout_groups,
    payouts,
)
from storage.tables import transfers as transfer_rows
from storage.treasury import chain_rows
from storage.treasury.movement_rows import Movement
from storage.treasury.movements import book_packed
from storage.work import enqueue

ADOPTED = "adopted"
"""Format of a group whose row was made from its transaction: it is never built or signed again."""
MINTED = "mint"
"""Format of a group that a mint's transaction has paid: instead of a receipt it has the mint's address, which can be
allocated once too. Its rows are made when that transaction is final."""


@dataclass(frozen=True, slots=True)
class Member:
    """One transfer of a group. `amount` and `owner` as frozen; `unpaid`: what is due of its payouts now; `is_payable`:
    they are covered, and still exactly what was frozen."""

    transfer_id: int
    owner: str
    amount: int
    unpaid: int
    is_payable: bool


@dataclass(frozen=True, slots=True)
class GroupCase:
    """All that is stored about one group. `watch` is what the indexer says of the live attempt's signature."""

    group: Row[Any]
    batch: Row[Any]
    members: Sequence[Member]
    attempt: Row[Any] | None
    watch: Row[Any] | None
    dead: DeadAttempts

    @property
    def is_payable(self) -> bool:
        return all(member.is_payable for member in self.members)


@dataclass(frozen=True, slots=True)
class NewGroup:
    """A group to be made of transfers that are in none: (transfer id, owner, base units)."""

    uuid: str
    format: str
    memo: str
    seed: str
    receipt_address: str
    members: Sequence[tuple[int, str, int]]


def load(conn: Connection, group_id: int) -> GroupCase:
    """Also for reads: takes no lock. Raises Misuse for an unknown group."""
    group = conn.execute(row_of(payout_groups), {"which": group_id}).one_or_none()
    if group is None:
        raise Misuse(f"no group {group_id}")
    attempt, dead = parted(conn, _ATTEMPTS, group_id)
    return GroupCase(
        group=group,
        batch=batches.by_id(conn, group.batch_id),
        members=_members(conn, group_id),
        attempt=attempt,
        watch=watch_of(conn, attempt),
        dead=dead,
    )


_ATTEMPTS = select(group_attempts).where(group_attempts.c.group_id == bindparam("of"))


def _members(conn: Connection, group_id: int) -> list[Member]:
    """Two plain look-ups by key: a group is read several times on its way, ten groups a second."""
    rows = conn.execute(_MEMBERS, {"of": group_id}).all()
    found = {row.transfer_id: row for row in conn.execute(_OWED, {"of": [row.transfer_id for row in rows]})}
    return [_member(row, found.get(row.transfer_id)) for row in rows]


_MEMBERS = (
    select(group_members, transfer_rows.c.amount.label("planned"))
    .select_from(group_members.join(transfer_rows))
    .where(group_members.c.group_id == bindparam("of"))
    .order_by(group_members.c.transfer_id)
)
_COVERED = case((payouts.c.state == fixed(UsdcStatus.PENDING_DISTRIBUTION), 1), else_=0)
_OWED = (
    select(
        payouts.c.transfer_id,
        func.count().label("payouts"),
        func.sum(_COVERED).label("covered"),
        func.sum(payouts.c.amount - payouts.c.netted_amount).label("unpaid"),
    )
    .where(payouts.c.transfer_id.in_(bindparam("of", expanding=True)))
    .group_by(payouts.c.transfer_id)
)


def _member(row: Row[Any], owed: Row[Any] | None) -> Member:
    unpaid = 0 if owed is None else int(owed.unpaid)
    covered = owed is not None and row.released_at is None and owed.payouts == owed.covered
    is_payable = covered and unpaid == row.amount == row.planned
    return Member(row.transfer_id, row.destination_address, row.amount, unpaid, is_payable)


def _locked_members(conn: Connection, group_id: int) -> list[Member]:
    """As they are now, and stay to the end of a writing transaction."""
    inside = select(group_members.c.transfer_id).where(group_members.c.group_id == group_id)
    mine = select(payouts.c.id).where(payouts.c.transfer_id.in_(inside)).order_by(payouts.c.id)
    conn.execute(mine.with_for_update())
    return _members(conn, group_id)


def create(conn: Connection, batch_id: int, wanted: NewGroup, now: datetime) -> int:
    """Make a group; its job is due. Raises IntegrityError when a transfer is in another group already."""
    group_id = file(conn, batch_id, wanted, now)
    enqueue(conn, "packed_sign", group_id, now)
    return group_id


def file(conn: Connection, batch_id: int, wanted: NewGroup, now: datetime, remark: str | None = None) -> int:
    """Make a group's rows, and nothing due: for one that is to be signed, or that the chain has paid already."""
    group_id: int | None = conn.scalar(
        insert(payout_groups)
        .values(
            uuid=wanted.uuid,
            batch_id=batch_id,
            state=GroupState.OPEN,
            format=wanted.format,
            memo=wanted.memo,
            seed=wanted.seed,
            receipt_address=wanted.receipt_address,
            amount=sum(amount for _, _, amount in wanted.members),
            created_at=now,
        )
        .returning(payout_groups.c.id)
    )
    assert group_id is not None
    conn.execute(
        insert(group_members),
        [
            {"group_id": group_id, "transfer_id": transfer_id, "destination_address": owner, "amount": amount}
            for transfer_id, owner, amount in wanted.members
        ],
    )
    note(conn, "group", group_id, None, GroupState.OPEN, now, remark)
    return group_id


def intend(conn: Connection, group_id: int, wallet_id: str, platform_address: str, now: datetime) -> None:
    """Commit an attempt's intent before anything is signed: from here on no payout leaves the group.

    Raises Retryable when a payout of it has changed since it was looked at, Misuse when one is not what its batch's
    approved plan says.
    """
    members = _locked_members(conn, group_id)
    if not all(member.is_payable for member in members):
        raise Retryable(f"a payout of group {group_id} has changed meanwhile")
    require_as_planned(conn, [member.transfer_id for member in members])
    _attempt(conn, group_id, wallet_id, platform_address, now, now)


def begun(
    conn: Connection, group_id: int, wallet_id: str, platform_address: str, begun_at: datetime, now: datetime
) -> int:
    """File the attempt of a group that the chain has paid, or may have, without this database; its id."""
    return _attempt(conn, group_id, wallet_id, platform_address, begun_at, now, "adopted")


def _attempt(
    conn: Connection,
    group_id: int,
    wallet_id: str,
    platform_address: str,
    begun_at: datetime,
    now: datetime,
    reason: str | None = None,
) -> int:
    last = select(func.max(group_attempts.c.attempt)).where(group_attempts.c.group_id == group_id)
    attempt_id: int | None = conn.scalar(
        insert(group_attempts)
        .values(
            group_id=group_id,
            attempt=(conn.scalar(last) or 0) + 1,
            state=PackedState.INTENDED,
            wallet_id=wallet_id,
            platform_address=platform_address,
            created_at=begun_at,
        )
        .returning(group_attempts.c.id)
    )
    assert attempt_id is not None
    note(conn, "packed", attempt_id, None, PackedState.INTENDED, now, reason)
    return attempt_id


def signed(
    conn: Connection, attempt_id: int, wire: bytes, signature: str, last_valid_block_height: int, now: datetime
) -> None:
    """Store the signed bytes, have the signature watched and the sending due, before anything is sent."""
    group_id = conn.scalar(select(group_attempts.c.group_id).where(group_attempts.c.id == attempt_id))
    advance(
        conn,
        attempt_id,
        PackedState.SIGNED,
        now,
        wire=wire,
        signature=signature,
        last_valid_block_height=last_valid_block_height,
        signed_at=now,
    )
    chain_rows.watch(conn, signature, "packed_settle", group_id or 0, last_valid_block_height, now)
    enqueue(conn, "packed_send", group_id or 0, now)


def sent(conn: Connection, attempt_id: int, now: datetime) -> None:
    """The bytes went out at least once."""
    state = conn.scalar(select(group_attempts.c.state).where(group_attempts.c.id == attempt_id).with_for_update())
    if state == PackedState.SIGNED:
        advance(conn, attempt_id, PackedState.SENT, now)


def paid(conn: Connection, group_id: int, evidence: Evidence, usdc_account: str, now: datetime) -> None:
    """The group's transaction is finalized and reads back as planned: every payout of it is `distributed`.

    The movement is booked here too, so that the free balance never counts this money twice. Raises Misuse without a
    live attempt, and when a member's payouts are due another amount than it moved: none of the group is called paid
    then.
    """
    case = load(conn, group_id)
    attempt = case.attempt
    if attempt is None:
        raise Misuse(f"group {group_id} has no live attempt")
    recipients.lock_of_transfers(conn, [member.transfer_id for member in case.members])
    members = _locked_members(conn, group_id)
    for member in members:
        if member.unpaid != member.amount:
            what = f"transfer {member.transfer_id} of group {group_id} moved {member.amount}"
            raise Misuse(f"{what}, and {member.unpaid} are due of its payouts")
    if attempt.signature not in (None, evidence.signature):
        note(conn, "packed", attempt.id, attempt.state, attempt.state, now, f"paid by {evidence.signature}")
        chain_rows.unwatch(conn, attempt.signature)
    advance(
        conn,
        attempt.id,
        PackedState.FINALIZED,
        now,
        signature=evidence.signature,
        cost_lamports=evidence.cost_lamports,
        fee_lamports=evidence.fee_lamports,
        proof=json.dumps({"finalized": evidence.signature, "slot": evidence.slot}),
    )
    advance(conn, group_id, GroupState.PAID, now, evidence.signature, settled_at=now)
    moved = Movement(
        evidence.signature, usdc_account, Asset.USDC, -case.group.amount, evidence.slot, evidence.block_time
    )
    book_packed(conn, moved, now)
    if case.group.format != MINTED:
        receipts.made(conn, group_id, case.group.receipt_address, evidence, now)
    pay(conn, [member.transfer_id for member in members], evidence, now)
    batches.wake_near_end(conn, case.group.batch_id, now)


def dead(conn: Connection, group_id: int, proof: Mapping[str, Any], now: datetime) -> None:
    """The live attempt never took and never will take effect; `proof` says why."""
    attempt = load(conn, group_id).attempt
    if attempt is None:
        return
    advance(conn, attempt.id, PackedState.DEAD, now, str(proof.get("why", ""))[:500], proof=json.dumps(proof))
    if attempt.signature is not None:
        chain_rows.unwatch(conn, attempt.signature)
    inside = (group_members.c.group_id == group_id) & group_members.c.released_at.is_(None)
    settle_unpaid(conn, conn.scalars(select(group_members.c.transfer_id).where(inside)).all(), now)


def withdraw(conn: Connection, group_id: int, why: str, now: datetime) -> None:
    """An intent that was never signed for: nothing of it can exist. Does nothing once something was signed."""
    attempt = load(conn, group_id).attempt
    if attempt is not None and attempt.state == PackedState.INTENDED:
        dead(conn, group_id, {"why": f"never signed: {why}"}, now)


def dissolve(conn: Connection, group_id: int, why: str, now: datetime) -> None:
    """Release the members to be packed anew. Raises Misuse while an attempt may still take effect."""
    case = load(conn, group_id)
    if case.attempt is not None:
        raise Misuse(f"group {group_id} has a live attempt: no payout leaves it")
    advance(conn, group_id, GroupState.DISSOLVED, now, why[:500], settled_at=now)
    conn.execute(update(group_members).where(group_members.c.group_id == group_id).values(released_at=now))
    enqueue(conn, "pack", case.group.batch_id, now)


def failed(conn: Connection, group_id: int, why: str, now: datetime) -> None:
    """Give the group's payouts up as `failed`. Only with no attempt that may still take effect: a send whose outcome is
    unknown leaves them pending_distribution."""
    withdraw(conn, group_id, why, now)
    case = load(conn, group_id)
    if case.attempt is not None or case.group.state != GroupState.OPEN:
        return
    dissolve(conn, group_id, why, now)
    for member in case.members:
        transfers.failed(conn, member.transfer_id, why, now)
