"""Outflows of which a person says what they paid: by what Circle's console, an earlier export or his own payment by
hand tells him.

His word only names the payouts. They must be unpaid, recipient and amount must fit, and they are `distributed` when the
transaction has been read back like any other transfer's.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Select, bindparam, select

from domain.errors import RequestError
from domain.evidence import PackedOutflow
from domain.fitting import fit
from domain.states import TransferState
from domain.waits import CLOCKS_DIFFER
from storage.history import note
from storage.payouts import recipients
from storage.payouts.planning import lock_plans
from storage.payouts.transfers import first_send, others_at_circle, watch_signature
from storage.payouts.upkeep import Payer
from storage.recovery import packed_adoption
from storage.recovery.adoption import promise_outcome, submitted
from storage.recovery.dues_paid import (
    UNPAID_OR_NETTED,
    adopted_batch,
    candidates,
    fit_by_debts,
    new_transfer,
    promise,
    promise_netted,
    recipients_at,
)
from storage.statements import fixed, locked_row_of
from storage.tables import group_attempts, group_members, jobs, payouts, purchases, transfer_attempts, transfers, users
from storage.treasury.movements import claim_signature
from storage.treasury.outflows import orphan_row, unexplained_since
from storage.work import revive

SHOWN_MOST = 50
IN_FLIGHT = timedelta(minutes=4)
"""What Circle has taken by a call that was begun longer ago it lists, whatever became of the answer. A call leaves
within a minute (decision 61) and ends half a minute later, and the clocks of two replicas may differ by another minute
before a person is told."""


@dataclass(frozen=True, slots=True)
class SentOrder:
    """An order that was sent, and of which Circle has not told. It would list it under `reference` since then;
    `others`: Circle's ids of the orders under the same reference that other attempts have made."""

    reference: str
    wallet_id: str
    since: datetime
    others: frozenset[str]


def may_be_of(conn: Connection, owner: str | None, paid_by: datetime | None) -> list[Row[Any]]:
    """Unpaid payouts that an outflow of that time to this owner may have paid, oldest payment first."""
    if owner is None:
        return []
    statement = (
        select(payouts, users.c.username)
        .select_from(payouts.join(purchases).join(users, users.c.id == payouts.c.recipient_id))
        .where(
            payouts.c.recipient_id.in_(recipients_at(conn, owner)),
            payouts.c.state.in_(UNPAID_OR_NETTED),
        )
        .order_by(payouts.c.paid_at, payouts.c.id)
        .limit(SHOWN_MOST)
    )
    if paid_by is not None:
        statement = statement.where(purchases.c.minted_at <= paid_by)
    return list(conn.execute(statement).all())


def adopt(
    conn: Connection, movement_id: int, payout_ids: Collection[int], payer: Payer, uuid: UUID, now: datetime
) -> None:
    """Give an unexplained outflow to these payouts, all of them. Raises RequestError 404 or 409, with nothing changed,
    when it can't have paid them, or what is to pay them may be on its way; Retryable where that began this moment.

    Before it is given to an order that was sent, Circle is asked for that one (`sent_order`)."""
    gone = _unexplained(conn, movement_id)
    if _give_to_lost_order(conn, gone, payout_ids, now):
        return
    _refuse_on_its_way(conn, gone)
    recipient_id = _recipient(conn, gone, payout_ids)
    recipients.lock(conn, [recipient_id])
    make_due = _due_as_paid(conn, gone, payout_ids, now)
    if make_due is None:
        raise RequestError(
            409,
            "does_not_fit",
            f"these payouts, all unpaid, were not paid with {-gone.amount} base units: not by what they are or were "
            "due, and their recipient's debts don't explain the difference",
            "payout_ids",
        )
    named = {"uuid": str(uuid), "reference": f"adopted-by-hand-{uuid}", "key_scope": ""}
    batch_id = adopted_batch(conn, "circle", now)
    made = new_transfer(conn, batch_id, recipient_id, named, -gone.amount, gone.counterparty, now)
    make_due(made)
    body = {"adopted": gone.signature}
    attempt_id = submitted(conn, made.id, payer.wallet_id, payer.address, body, uuid, now)
    watch_signature(conn, attempt_id, made.id, gone.signature, now)
    claim_signature(conn, gone.signature, made.id, now)
    promise_outcome(conn, made, now)


def adopt_packed(
    conn: Connection,
    movement_id: int,
    outflow: PackedOutflow,
    payout_ids: Collection[int],
    payer: Payer,
    new_uuid: Callable[[], UUID],
    now: datetime,
) -> None:
    """As `adopt`, of an outflow to several recipients whose transaction says who got how much: all of its parts, or
    none. Of a recipient of whom no payout is named, his part must fit by itself."""
    lock_plans(conn)
    _unexplained(conn, movement_id)
    _require_payouts(conn, payout_ids)
    recipients.lock(conn, {one for owner, _ in outflow.legs for one in recipients_at(conn, owner)})
    adopted = packed_adoption.adopt(conn, outflow, payer, new_uuid, now, payout_ids)
    if not adopted or not set(payout_ids) <= set(conn.scalars(_PAID_BY, {"of": outflow.signature})):
        raise RequestError(
            409,
            "does_not_fit",
            "not every part of it is what named payouts, all unpaid, are or were due together, and no other part is "
            "that of unpaid payouts in exactly one way",
            "payout_ids",
        )


_PAID_BY = (
    select(payouts.c.id)
    .join(group_members, group_members.c.transfer_id == payouts.c.transfer_id)
    .join(group_attempts, group_attempts.c.group_id == group_members.c.group_id)
    .where(group_attempts.c.signature == bindparam("of"))
)


def sent_order(conn: Connection, movement_id: int, payout_ids: Collection[int]) -> SentOrder | None:
    """The order to which these payouts would have the outflow given, where Circle may have taken it."""
    gone = orphan_row(conn, movement_id)
    order = None if gone is None else _lost_order(conn, gone, payout_ids)
    if order is None or order.first_sent_at is None:
        return None
    others = others_at_circle(conn, order.transfer_id, order.id)
    return SentOrder(order.reference, order.wallet_id, order.created_at - CLOCKS_DIFFER, frozenset(others))


def _unexplained(conn: Connection, movement_id: int) -> Row[Any]:
    gone = orphan_row(conn, movement_id, lock=True)
    if gone is None:
        raise RequestError(404, "outflow_not_found", f"there is no unexplained outflow {movement_id}")
    return gone


def _lost_order(conn: Connection, gone: Row[Any], payout_ids: Collection[int]) -> Row[Any] | None:
    """The order of exactly these payouts, of which Circle has never told."""
    lost = transfer_attempts.c.circle_transaction_id.is_(None) & transfer_attempts.c.signature.is_(None)
    for order in conn.execute(_orders_like(gone, TransferState.INTENDED, TransferState.SUBMITTED).where(lost)).all():
        paid = select(payouts.c.id).where(payouts.c.transfer_id == order.transfer_id)
        if set(conn.scalars(paid)) == set(payout_ids):
            return order
    return None


def _give_to_lost_order(conn: Connection, gone: Row[Any], payout_ids: Collection[int], now: datetime) -> bool:
    """Whether exactly these payouts are in an order that Circle has never told of: the outflow is that one's, and it is
    not sent any more."""
    order = _lost_order(conn, gone, payout_ids)
    if order is None:
        return False
    _refuse_in_flight(conn, order, gone, now)
    if order.first_sent_at is None:
        first_send(conn, order.id, now)
    watch_signature(conn, order.id, order.transfer_id, gone.signature, now)
    claim_signature(conn, gone.signature, order.transfer_id, now)
    remark = f"adopted by hand: {gone.signature}"
    note(conn, "transfer", order.id, TransferState.SUBMITTED, TransferState.SUBMITTED, now, remark)
    revive(conn, "transfer", order.transfer_id, now)
    return True


def _refuse_in_flight(conn: Connection, order: Row[Any], gone: Row[Any], now: datetime) -> None:
    """Whoever works on it may be sending it. What was sent may still get there; sends stop when an outflow comes to be
    unexplained, so none was begun later than that."""
    leased_until = conn.scalar(_LEASE, {"of": str(order.transfer_id)})
    is_worked_on = leased_until is not None and leased_until > now - IN_FLIGHT
    stands = conn.execute(locked_row_of(transfer_attempts), {"which": order.id}).one()
    is_as_found = (stands.state, stands.signature) == (order.state, None)
    stopped_at = unexplained_since(conn, gone.signature) or gone.created_at
    last_sent = None if stands.first_sent_at is None else max(stands.first_sent_at, stopped_at)
    if is_worked_on or not is_as_found or (last_sent is not None and last_sent > now - IN_FLIGHT):
        why = f"{order.reference}, which is to pay them, may be on its way to Circle now: try again in four minutes"
        raise RequestError(409, "may_be_on_its_way", why)


_LEASE = (
    select(jobs.c.lease_until)
    .where(jobs.c.kind == fixed("transfer"), jobs.c.subject == bindparam("of"))
    .with_for_update()
)
"""Of who works on a transfer, or did and has not said that he is done; nobody begins to before the transaction ends."""


def _refuse_on_its_way(conn: Connection, gone: Row[Any]) -> None:
    """Circle may sign an order anew: until its outcome is known, an equal outflow may be that one's."""
    sent = transfer_attempts.c.first_sent_at.is_not(None)
    begun = conn.execute(_orders_like(gone, TransferState.SUBMITTED).where(sent)).first()
    if begun is not None:
        why = f"it may be {begun.reference}, which is on its way with the same amount: wait until its outcome is known"
        raise RequestError(409, "may_be_on_its_way", why)


def _orders_like(gone: Row[Any], *states: TransferState) -> Select[Any]:
    """Attempts in these states to move that amount to that recipient."""
    plan = (transfers.c.destination_address == gone.counterparty) & (transfers.c.amount == -gone.amount)
    joined = transfer_attempts.join(transfers)
    asked = select(transfer_attempts, transfers.c.reference).select_from(joined)
    return asked.where(plan, transfer_attempts.c.state.in_(states)).order_by(transfer_attempts.c.id)


def _recipient(conn: Connection, gone: Row[Any], payout_ids: Collection[int]) -> int:
    if gone.counterparty is None:
        raise RequestError(409, "several_recipients", "it went to several accounts, or to none: hold the sales it paid")
    whose = _require_payouts(conn, payout_ids)
    if len(whose) > 1 or not whose <= set(recipients_at(conn, gone.counterparty)):
        why = f"not all of these payouts are of whoever is paid at {gone.counterparty}"
        raise RequestError(409, "another_recipient", why, "payout_ids")
    return whose.pop()


def _require_payouts(conn: Connection, payout_ids: Collection[int]) -> set[int]:
    """Whose they are."""
    found = conn.execute(select(payouts.c.id, payouts.c.recipient_id).where(payouts.c.id.in_(payout_ids))).all()
    lacking = set(payout_ids) - {row.id for row in found}
    if lacking:
        raise RequestError(404, "payout_not_found", f"there is no payout {min(lacking)}", "payout_ids")
    return {int(row.recipient_id) for row in found}


def _due_as_paid(
    conn: Connection, gone: Row[Any], payout_ids: Collection[int], now: datetime
) -> Callable[[Row[Any]], None] | None:
    which, total, cause = payouts.c.id.in_(payout_ids), -gone.amount, f"adopted by hand: {gone.signature}"
    paid = fit(total, candidates(conn, which, gone.block_time))
    if paid is not None and len(paid) == len(set(payout_ids)):
        return lambda transfer: promise(conn, transfer, paid, cause, now)
    netted = fit_by_debts(conn, total, which, gone.block_time)
    if netted is not None and len(netted) == len(set(payout_ids)):
        return lambda transfer: promise_netted(conn, transfer, netted, cause, now)
    return None
