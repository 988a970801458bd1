"""Outflows that Circle shows and the database does not know: the mark of a restored backup."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import ColumnElement, Connection, Row, func, insert, select, update

from domain.fitting import fit
from domain.keys import purchase_reference
from domain.states import PAYOUT_DUE, PurchaseStatus, TransferState, UsdcStatus
from storage.history import advance, note
from storage.payouts import recipients
from storage.payouts.debts import net_debts
from storage.payouts.membership import has_begun
from storage.payouts.transfers import first_send, next_attempt, watch_signature
from storage.recovery.dues_paid import (
    adopted_batch,
    candidates,
    fit_by_debts,
    new_transfer,
    promise,
    promise_netted,
    recipients_at,
)
from storage.tables import (
    batch_items,
    group_attempts,
    installation,
    mint_attempts,
    payouts,
    purchases,
    transfer_attempts,
    transfers,
    upkeep,
    users,
)
from storage.treasury.chain_rows import unwatch
from storage.treasury.movements import claim_signature
from storage.work import revive

CREATOR_REFERENCE = re.compile(r"batch-[0-9a-f-]{36}-creator-(?P<creator>[0-9a-f-]{36})-distribution")
ENDED = frozenset({"DENIED", "CANCELLED", "FAILED"})
"""Circle's states of a transfer of which it expects nothing any more."""
RESTORED_AT = "restored_at"
"""Among the installation's facts, once a backup was put in place: what really happened may not be in the database."""


@dataclass(frozen=True, slots=True)
class Outflow:
    """One outbound transaction as Circle lists it. `amount` in base units; None when it is no USDC amount."""

    circle_id: str
    state: str
    reference: str | None
    destination: str | None
    amount: int | None
    wallet_id: str
    source_address: str
    signature: str | None
    created_at: datetime
    updated_at: datetime


def is_known(conn: Connection, circle_id: str) -> bool:
    return (
        conn.scalar(select(transfer_attempts.c.id).where(transfer_attempts.c.circle_transaction_id == circle_id))
        is not None
    )


def note_ended(conn: Connection, circle_id: str, state: str) -> None:
    """Circle expects nothing more of an order of ours: what was ordered in its place is placed by that."""
    if state in ENDED:
        conn.execute(
            update(transfer_attempts)
            .where(transfer_attempts.c.circle_transaction_id == circle_id, _IS_OPEN)
            .values(circle_state=state)
        )


_IS_OPEN = transfer_attempts.c.state == TransferState.SUBMITTED


def has_ever_sent(conn: Connection) -> bool:
    """Whether an earlier process can have sent something that has not landed yet."""
    signed = (mint_attempts, transfer_attempts, group_attempts, upkeep)
    restored = select(installation.c.name).where(installation.c.name == RESTORED_AT)
    return conn.scalar(restored) is not None or any(
        conn.scalar(select(table.c.id).limit(1)) is not None for table in signed
    )


def adopt(conn: Connection, outflow: Outflow, uuid: UUID, now: datetime) -> bool:
    """Give the outflow to the one payout that it fits by reference, amount and destination; False when there is none.

    The payout's transfer then follows Circle's transaction like any other, and is never sent anew.
    """
    transfer = _transfer(conn, outflow, uuid, now)
    if transfer is None or transfer.amount != outflow.amount or transfer.destination_address != outflow.destination:
        return False
    live = conn.execute(
        select(transfer_attempts).where(
            transfer_attempts.c.transfer_id == transfer.id, transfer_attempts.c.state != TransferState.DEAD
        )
    ).one_or_none()
    if live is None:
        body = {"adopted": outflow.circle_id}
        live_id = submitted(conn, transfer.id, outflow.wallet_id, outflow.source_address, body, uuid, now)
    elif live.circle_transaction_id is None:
        live_id = live.id
        if live.first_sent_at is None and live.signature is None:
            first_send(conn, live_id, now)
    else:
        return False
    conn.execute(
        update(transfer_attempts)
        .where(transfer_attempts.c.id == live_id)
        .values(
            circle_transaction_id=outflow.circle_id, circle_state=outflow.state, circle_updated_at=outflow.updated_at
        )
    )
    if outflow.signature is not None:
        watch_signature(conn, live_id, transfer.id, outflow.signature, now)
        claim_signature(conn, outflow.signature, transfer.id, now)
    promise_outcome(conn, transfer, now)
    return True


def _transfer(conn: Connection, outflow: Outflow, uuid: UUID, now: datetime) -> Row[Any] | None:
    """The transfer of that reference: the planned one, or made anew when the database is from before the plan.

    Its payouts are due again what was sent, where something came back since. None when that does not fit.
    """
    if outflow.reference is None or outflow.amount is None or outflow.destination is None:
        return None
    found = conn.execute(select(transfers).where(transfers.c.reference == outflow.reference)).one_or_none()
    if found is not None:
        _bury_ended(conn, found.id, outflow, now)
        stays = _is_still(conn, found, outflow) or has_begun(conn, found.id)
        return found if stays else _again_due(conn, found, outflow, now)
    target = _purchase_target(conn, outflow.reference) or _creator_target(conn, outflow)
    if target is None:
        return None
    make_due = _due_as_paid(conn, outflow, target.which, bool(target.key_scope), now)
    if make_due is None:
        return None
    named = {"uuid": str(uuid), "reference": outflow.reference, "key_scope": target.key_scope}
    batch_id = adopted_batch(conn, "circle", now)
    made = new_transfer(conn, batch_id, target.recipient_id, named, outflow.amount, outflow.destination, now)
    make_due(made)
    return made


def _bury_ended(conn: Connection, transfer_id: int, outflow: Outflow, now: datetime) -> None:
    """Whoever ordered this one had the proof that the one before it, which Circle had given up, was dead."""
    ended = (
        (transfer_attempts.c.transfer_id == transfer_id)
        & _IS_OPEN
        & transfer_attempts.c.circle_state.in_(ENDED)
        & (transfer_attempts.c.circle_transaction_id != outflow.circle_id)
    )
    for attempt in conn.execute(select(transfer_attempts).where(ended)).all():
        why = f"Circle: {attempt.circle_state}, and {outflow.circle_id} was ordered in its place"
        proof = json.dumps({"why": why, "circle": attempt.circle_transaction_id})
        advance(conn, attempt.id, TransferState.DEAD, now, why, proof=proof)
        if attempt.signature is not None:
            unwatch(conn, attempt.signature)


def _due_as_paid(
    conn: Connection, outflow: Outflow, which: ColumnElement[bool], is_one: bool, now: datetime
) -> Callable[[Row[Any]], None] | None:
    """What makes payouts of `which` due in a transfer what the outflow paid of them; None when it does not fit. Where
    the reference names one payout (`is_one`), debts may have used up another part of it than they have by now."""
    total, cause = outflow.amount or 0, f"circle {outflow.circle_id}"
    paid = fit(total, candidates(conn, which, outflow.created_at))
    if paid is not None:
        return lambda transfer: promise(conn, transfer, paid, cause, now)
    netted = fit_by_debts(conn, total, which, outflow.created_at) if is_one else None
    return None if netted is None else lambda transfer: promise_netted(conn, transfer, netted, cause, now)


def names_due(conn: Connection, reference: str) -> bool:
    """Whether a reference names a payout of a purchase that is still to be paid, or to be born, and that no person
    holds."""
    named = _named(reference)
    if named is None:
        return False
    sale = conn.execute(select(purchases).where(purchases.c.stripe_payment_intent_id == named)).one_or_none()
    target = _purchase_target(conn, reference)
    if sale is None or sale.hold_reason is not None:
        return False
    if target is None:
        return sale.status in (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING)
    return conn.scalar(select(payouts.c.state).where(target.which)) in PAYOUT_DUE


def _is_still(conn: Connection, transfer: Row[Any], outflow: Outflow) -> bool:
    """Whether the planned transfer still pays what was sent. One that its last payout has left, refunded since, keeps
    its amount and pays nothing."""
    unpaid = select(func.sum(payouts.c.amount - payouts.c.netted_amount)).where(payouts.c.transfer_id == transfer.id)
    meant = (transfer.amount, conn.scalar(unpaid) or 0, transfer.destination_address)
    return bool(meant == (outflow.amount, outflow.amount, outflow.destination))


def _again_due(conn: Connection, transfer: Row[Any], outflow: Outflow, now: datetime) -> Row[Any]:
    """A planned transfer of which less is due by now than was sent: its payouts are due again what its plan says."""
    planned = select(batch_items.c.payout_id).where(
        batch_items.c.batch_id == transfer.batch_id,
        batch_items.c.destination_address == outflow.destination,
    )
    mine = payouts.c.id.in_(planned) & (payouts.c.recipient_id == transfer.recipient_id)
    if transfer.key_scope:
        target = _purchase_target(conn, transfer.reference)
        mine = mine if target is None else mine & target.which
    make_due = _due_as_paid(conn, outflow, mine, bool(transfer.key_scope), now)
    if make_due is not None:
        make_due(transfer)
    return conn.execute(select(transfers).where(transfers.c.id == transfer.id)).one()


@dataclass(frozen=True, slots=True)
class _Target:
    """Whom a reference names: the payouts that it may have paid."""

    recipient_id: int
    which: ColumnElement[bool]
    key_scope: str


def _purchase_target(conn: Connection, reference: str) -> _Target | None:
    """The one payout whose reference this is, found through the payment_intent in it."""
    payment_intent_id = _named(reference)
    if payment_intent_id is None:
        return None
    rows = conn.execute(
        select(payouts.c.id, payouts.c.recipient_id, payouts.c.recipient_number)
        .select_from(payouts.join(purchases))
        .where(purchases.c.stripe_payment_intent_id == payment_intent_id)
    ).all()
    for row in rows:
        if purchase_reference(payment_intent_id, row.recipient_number) == reference:
            scope = f"{payment_intent_id}/{row.recipient_number}"
            return _Target(row.recipient_id, payouts.c.id == row.id, scope)
    return None


def _named(reference: str) -> str | None:
    """The payment_intent in a purchase's reference; None in any other."""
    if not reference.startswith("purchase-") or "-distribution" not in reference:
        return None
    return reference.removeprefix("purchase-").split("-distribution")[0]


def _creator_target(conn: Connection, outflow: Outflow) -> _Target | None:
    """The creator whom the reference names, if he is paid at that address."""
    named = CREATOR_REFERENCE.fullmatch(outflow.reference or "")
    if named is None or outflow.destination is None:
        return None
    user_id = conn.scalar(select(users.c.id).where(users.c.uuid == named["creator"]))
    if user_id is None or user_id not in recipients_at(conn, outflow.destination):
        return None
    return _Target(user_id, payouts.c.recipient_id == user_id, "")


def submitted(
    conn: Connection,
    transfer_id: int,
    wallet_id: str,
    source_address: str,
    body: Mapping[str, str],
    key: UUID,
    now: datetime,
) -> int:
    """The attempt that was made by a process whose rows are lost, or by a person."""
    attempt_id: int | None = conn.scalar(
        insert(transfer_attempts)
        .values(
            transfer_id=transfer_id,
            attempt=next_attempt(conn, transfer_id),
            state=TransferState.SUBMITTED,
            idempotency_key=str(key),
            wallet_id=wallet_id,
            source_address=source_address,
            body=json.dumps(body),
            created_at=now,
            first_sent_at=now,
        )
        .returning(transfer_attempts.c.id)
    )
    assert attempt_id is not None
    note(conn, "transfer", attempt_id, None, TransferState.SUBMITTED, now, f"adopted {body['adopted']}")
    return attempt_id


def promise_outcome(conn: Connection, transfer: Row[Any], now: datetime) -> None:
    """Its money is on its way, whatever the restored rows say: the payouts wait for the outcome, and what debts are
    left use up others."""
    recipients.lock(conn, [transfer.recipient_id])
    waiting = (UsdcStatus.PENDING_CONVERSION, UsdcStatus.ON_HOLD, UsdcStatus.FAILED)
    for payout in conn.execute(select(payouts).where(payouts.c.transfer_id == transfer.id)).all():
        if payout.state in waiting:
            advance(conn, payout.id, UsdcStatus.PENDING_DISTRIBUTION, now, "adopted: already sent", reason=None)
    net_debts(conn, transfer.recipient_id, now)
    revive(conn, "transfer", transfer.id, now)
