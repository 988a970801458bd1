"""Packed payouts that the chain shows and the database does not know: the mark of a restored backup.

The receipt names the group where its row is there; else the transaction itself says who got how much, and each part
must fit the unpaid payouts of exactly one recipient in exactly one way. All of it is adopted, or a person decides: he
names payouts of the recipients of whom that is not certain.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, select

from domain.evidence import PackedOutflow
from domain.fitting import Paid, fit
from domain.states import GroupState, PackedState
from storage.history import advance
from storage.payouts import groups, recipients
from storage.payouts.debts import net_debts
from storage.payouts.groups import Member, NewGroup
from storage.payouts.planning import lock_plans
from storage.payouts.upkeep import Payer
from storage.recovery.dues_paid import adopted_batch, candidates, fit_a_plan, new_transfer, promise, recipients_at
from storage.tables import batch_items, group_members, payout_groups, payouts, transfers, users
from storage.treasury import chain_rows
from storage.treasury.movements import book_adopted


def adopt(
    conn: Connection,
    outflow: PackedOutflow,
    payer: Payer,
    new_uuid: Callable[[], UUID],
    now: datetime,
    named: Collection[int] = (),
) -> bool:
    """Give the outflow to the group it is, known or made anew; False when it fits none. Its fate then settles it like
    any other group's, and nothing of it is ever sent again. `named`: payouts that a person says it paid, all of those
    of their recipients."""
    lock_plans(conn)  # the gates of several replicas read one history
    known = conn.execute(
        select(payout_groups).where(payout_groups.c.receipt_address == outflow.receipt_address)
    ).one_or_none()
    if known is None:
        group_id = _make(conn, outflow, new_uuid, now, named)
    elif known.state == GroupState.OPEN and restore_members(conn, known.id, payer, now, named):
        group_id = known.id
    else:
        return False
    if group_id is None:
        return False
    _follow(conn, group_id, outflow, payer, now)
    paid = conn.scalars(_RECIPIENTS, {"of": group_id}).all()
    recipients.lock(conn, paid)
    for recipient_id in paid:
        net_debts(conn, recipient_id, now)
    return True


_RECIPIENTS = (
    select(transfers.c.recipient_id)
    .join(group_members, group_members.c.transfer_id == transfers.c.id)
    .where(group_members.c.group_id == bindparam("of"))
    .order_by(transfers.c.recipient_id)
    .distinct()
)


def restore_members(conn: Connection, group_id: int, payer: Payer, now: datetime, named: Collection[int] = ()) -> bool:
    """Make every member of a group whose receipt stands due what was frozen, and have an attempt to settle.

    False, and nothing changed, when what is due now does not tell how it was made up.
    """
    case = groups.load(conn, group_id)
    if case.attempt is not None:
        return True
    changed: list[tuple[Member, list[Paid]]] = []
    for member in case.members:
        if member.is_payable:
            continue
        found = _of_plan(conn, member, case.batch.id, named)
        if found is None:
            return False
        changed.append((member, found))
    for member, found in changed:
        transfer = conn.execute(select(transfers).where(transfers.c.id == member.transfer_id)).one()
        promise(conn, transfer, found, f"group {case.group.uuid}", now)
    groups.begun(conn, group_id, payer.wallet_id, payer.address, now, now)
    return True


def _of_plan(conn: Connection, member: Member, batch_id: int, named: Collection[int]) -> list[Paid] | None:
    """The member's payouts, among those that the batch's plan has for its recipient."""
    recipient: int = conn.execute(
        select(transfers.c.recipient_id).where(transfers.c.id == member.transfer_id)
    ).scalar_one()
    if _named_of(conn, [recipient], named):
        return _as_named(conn, member.amount, recipient, None, named)
    planned = select(batch_items.c.payout_id).where(batch_items.c.batch_id == batch_id)
    mine = payouts.c.id.in_(planned) & (payouts.c.recipient_id == recipient)
    return fit(member.amount, candidates(conn, mine, None))


def _named_of(conn: Connection, there: Sequence[int], named: Collection[int]) -> set[int]:
    """Of which of these recipients payouts are named."""
    if not named:
        return set()
    mine = payouts.c.id.in_(named) & payouts.c.recipient_id.in_(there)
    return set(conn.scalars(select(payouts.c.recipient_id).where(mine)))


def _as_named(
    conn: Connection, amount: int, recipient_id: int, paid_by: datetime | None, named: Collection[int]
) -> list[Paid] | None:
    """How the named payouts of a recipient, and none of them left out, make up an amount."""
    mine = candidates(conn, payouts.c.id.in_(named) & (payouts.c.recipient_id == recipient_id), paid_by)
    return fit(amount, [replace(one, amounts=tuple(paid for paid in one.amounts if paid)) for one in mine])


def _make(
    conn: Connection, outflow: PackedOutflow, new_uuid: Callable[[], UUID], now: datetime, named: Collection[int]
) -> int | None:
    """A group of what the transaction paid, all or nothing."""
    placed: list[tuple[int, str, int, list[Paid]]] = []
    for owner, amount in outflow.legs:
        found = _place(conn, owner, amount, outflow.block_time, named)
        if found is None:
            return None
        placed.append((found[0], owner, amount, found[1]))
    if len({recipient_id for recipient_id, *_ in placed}) < len(placed):
        return None  # two addresses of one recipient: which payout went where is not certain
    batch_id, uuid = adopted_batch(conn, "solana", now), str(new_uuid())
    made = [_transfer(conn, batch_id, uuid, one, new_uuid, now) for one in placed]
    wanted = NewGroup(
        uuid=uuid,
        format=groups.ADOPTED,
        memo="",
        seed=outflow.seed,
        receipt_address=outflow.receipt_address,
        members=[(row.id, owner, amount) for row, (_, owner, amount, _) in zip(made, placed, strict=True)],
    )
    return groups.file(conn, batch_id, wanted, now, f"adopted {outflow.signature}")


def _place(
    conn: Connection, owner: str, amount: int, paid_by: datetime | None, named: Collection[int]
) -> tuple[int, list[Paid]] | None:
    """The one recipient at this address whose named payouts are that amount; or, where none of his are named, of whom a
    plan has it, or whose unpaid payouts make it up in one way."""
    there = recipients_at(conn, owner)
    fitting = []
    for recipient_id in sorted(_named_of(conn, there, named)) or there:
        found = _paid_of(conn, recipient_id, owner, amount, paid_by, named)
        if found is not None:
            fitting.append((recipient_id, found))
    return fitting[0] if len(fitting) == 1 else None


def _paid_of(
    conn: Connection, recipient_id: int, owner: str, amount: int, paid_by: datetime | None, named: Collection[int]
) -> list[Paid] | None:
    if _named_of(conn, [recipient_id], named):
        return _as_named(conn, amount, recipient_id, paid_by, named)
    found = fit_a_plan(conn, amount, recipient_id, owner)
    return found or fit(amount, candidates(conn, payouts.c.recipient_id == recipient_id, paid_by))


def _transfer(
    conn: Connection,
    batch_id: int,
    group_uuid: str,
    placed: tuple[int, str, int, list[Paid]],
    new_uuid: Callable[[], UUID],
    now: datetime,
) -> Row[Any]:
    recipient_id, owner, amount, paid = placed
    creator = conn.scalar(select(users.c.uuid).where(users.c.id == recipient_id))
    named = {"uuid": str(new_uuid()), "reference": f"adopted-{group_uuid}-creator-{creator}", "key_scope": ""}
    transfer = new_transfer(conn, batch_id, recipient_id, named, amount, owner, now)
    promise(conn, transfer, paid, f"group {group_uuid}", now)
    return transfer


def _follow(conn: Connection, group_id: int, outflow: PackedOutflow, payer: Payer, now: datetime) -> None:
    """Have the signature followed and the movement known as the group's."""
    attempt = groups.load(conn, group_id).attempt
    attempt_id = (
        groups.begun(conn, group_id, payer.wallet_id, payer.address, now, now) if attempt is None else attempt.id
    )
    if attempt is None or attempt.state == PackedState.INTENDED:
        advance(conn, attempt_id, PackedState.SIGNED, now, "adopted", signature=outflow.signature)
        advance(conn, attempt_id, PackedState.SENT, now, "adopted")
        chain_rows.watch(conn, outflow.signature, "packed_settle", group_id, None, now)
    book_adopted(conn, outflow.signature, now)
