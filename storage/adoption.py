"""Outflows that Circle shows and the database does not know: the mark of a restored backup."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.keys import purchase_reference
from domain.states import BatchStatus, TransferState, UsdcStatus
from storage.history import advance, note
from storage.movements import claim_signature
from storage.tables import batch_items, batches, mint_attempts, payouts, purchases, transfer_attempts, transfers
from storage.transfers import next_attempt, watch_signature
from storage.work import revive

ADOPTED_KEY = "adopted"
"""Key of the batch under which adopted transfers are filed."""


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
    updated_at: datetime


def is_known(conn: Connection, circle_id: str) -> bool:
    return (
        conn.scalar(select(transfer_attempts.c.id).where(transfer_attempts.c.circle_transaction_id == circle_id))
        is not None
    )


def has_ever_sent(conn: Connection) -> bool:
    """Whether an earlier process can have sent something that has not landed yet."""
    minted = conn.scalar(select(func.count()).select_from(mint_attempts))
    paid = conn.scalar(select(func.count()).select_from(transfer_attempts))
    return bool(minted or paid)


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
        live_id = _attempt(conn, transfer, outflow, uuid, now)
    elif live.circle_transaction_id is None:
        live_id = live.id
        if live.state == TransferState.INTENDED:
            advance(conn, live_id, TransferState.SUBMITTED, now, first_sent_at=now)
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
    _promise(conn, transfer.id, now)
    revive(conn, "transfer", transfer.id, now)
    return True


def _transfer(conn: Connection, outflow: Outflow, uuid: UUID, now: datetime) -> Row[Any] | None:
    """The transfer of that reference, made from its payout when the database is from before the plan."""
    found = conn.execute(select(transfers).where(transfers.c.reference == outflow.reference)).one_or_none()
    if found is not None:
        return found
    payout = _payout(conn, outflow.reference)
    if payout is None or payout.amount - payout.netted_amount != outflow.amount:
        return None
    transfer_id = conn.scalar(
        insert(transfers)
        .values(
            uuid=str(uuid),
            batch_id=_batch(conn, now),
            recipient_id=payout.recipient_id,
            reference=outflow.reference,
            key_scope=f"{payout.stripe_payment_intent_id}/{payout.recipient_number}",
            amount=outflow.amount,
            destination_address=outflow.destination,
            created_at=now,
        )
        .returning(transfers.c.id)
    )
    conn.execute(
        insert(batch_items).values(
            batch_id=_batch(conn, now),
            payout_id=payout.id,
            destination_address=outflow.destination,
            amount=outflow.amount,
        )
    )
    conn.execute(
        update(payouts)
        .where(payouts.c.id == payout.id)
        .values(transfer_id=transfer_id, batch_id=_batch(conn, now), destination_address=outflow.destination)
    )
    return conn.execute(select(transfers).where(transfers.c.id == transfer_id)).one()


def _payout(conn: Connection, reference: str | None) -> Row[Any] | None:
    """The payout whose reference this is, found through the payment_intent in it."""
    if reference is None or not reference.startswith("purchase-") or "-distribution" not in reference:
        return None
    payment_intent_id = reference.removeprefix("purchase-").split("-distribution")[0]
    rows = conn.execute(
        select(payouts, purchases.c.stripe_payment_intent_id)
        .select_from(payouts.join(purchases))
        .where(purchases.c.stripe_payment_intent_id == payment_intent_id, payouts.c.transfer_id.is_(None))
    ).all()
    fitting = [row for row in rows if purchase_reference(payment_intent_id, row.recipient_number) == reference]
    return fitting[0] if len(fitting) == 1 else None


def _batch(conn: Connection, now: datetime) -> int:
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    born = conn.execute(
        dialect.insert(batches)
        .values(
            uuid=ADOPTED_KEY,
            key=ADOPTED_KEY,
            cutoff_at=now,
            status=BatchStatus.SETTLED,
            grouping="purchase",
            rail="circle",
            payout_count=0,
            planned_amount=0,
            created_at=now,
        )
        .on_conflict_do_nothing()
    )
    batch_id = int(conn.scalar(select(batches.c.id).where(batches.c.key == ADOPTED_KEY)) or 0)
    if born.rowcount:
        note(conn, "batch", batch_id, None, BatchStatus.SETTLED, now, "holds what was adopted")
    return batch_id


def _attempt(conn: Connection, transfer: Row[Any], outflow: Outflow, key: UUID, now: datetime) -> int:
    attempt_id = conn.scalar(
        insert(transfer_attempts)
        .values(
            transfer_id=transfer.id,
            attempt=next_attempt(conn, transfer.id),
            state=TransferState.SUBMITTED,
            idempotency_key=str(key),
            wallet_id=outflow.wallet_id,
            source_address=outflow.source_address,
            body=json.dumps({"adopted": outflow.circle_id}),
            created_at=now,
            first_sent_at=now,
        )
        .returning(transfer_attempts.c.id)
    )
    note(conn, "transfer", attempt_id or 0, None, TransferState.SUBMITTED, now, f"adopted {outflow.circle_id}")
    return attempt_id or 0


def _promise(conn: Connection, transfer_id: int, now: datetime) -> None:
    """Its money is on its way, whatever the restored rows say: the payouts wait for the outcome."""
    waiting = (UsdcStatus.PENDING_CONVERSION, UsdcStatus.ON_HOLD, UsdcStatus.FAILED)
    for payout in conn.execute(select(payouts).where(payouts.c.transfer_id == transfer_id)):
        if payout.state in waiting:
            advance(conn, payout.id, UsdcStatus.PENDING_DISTRIBUTION, now, "adopted: already sent", reason=None)
