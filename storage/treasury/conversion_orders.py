"""Orders of USDC from Circle Mint. Functions run in the caller's transaction; amounts in USDC base units."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, func, insert, select, update

from domain.errors import Misuse, RequestError, Retryable
from domain.money import BASE_UNITS_PER_CENT
from domain.states import ConversionState
from storage.history import advance, note
from storage.people import tokens
from storage.statements import insert_into
from storage.tables import (
    chain_movements,
    conversion_approvals,
    conversion_orders,
    mint_deposits,
)
from storage.tables import conversions as announced
from storage.treasury import conversions
from storage.treasury.conversions import Announced
from storage.treasury.deposits import explain_deposits
from storage.work import enqueue, revive

ORDERED, ADOPTED = "order", "adopted"
UNSENT = (ConversionState.PROPOSED, ConversionState.APPROVED)
OPEN = (*UNSENT, ConversionState.SENDING)


@dataclass(frozen=True, slots=True)
class Wish:
    """`uuid` is random and chosen before the transaction: digest and idempotency key come from it."""

    uuid: UUID
    amount: int
    destination_address: str
    note: str
    proposed_by: str


@dataclass(frozen=True, slots=True)
class MintDeposit:
    """One wire as Circle Mint lists it."""

    circle_id: str
    amount: int
    status: str
    created_at: datetime


def propose(conn: Connection, wish: Wish, now: datetime) -> int:
    """The order's id. Raises RequestError 409 `conversion_open` while another one is under way."""
    other = conn.execute(
        select(conversion_orders).where(conversion_orders.c.state.in_(OPEN), conversion_orders.c.origin == ORDERED)
    ).one_or_none()
    if other is not None:
        raise RequestError(
            409, "conversion_open", f"order {other.id} is {other.state}: finish or cancel it, there is one at a time"
        )
    order_id = conn.scalar(
        insert(conversion_orders)
        .values(
            uuid=str(wish.uuid),
            origin=ORDERED,
            state=ConversionState.PROPOSED,
            amount=wish.amount,
            destination_address=wish.destination_address,
            digest=_digest(wish),
            note=wish.note,
            proposed_by=wish.proposed_by[:64],
            created_at=now,
        )
        .returning(conversion_orders.c.id)
    )
    assert order_id is not None
    note(conn, "conversion", order_id, None, ConversionState.PROPOSED, now, wish.proposed_by)
    return int(order_id)


def _digest(wish: Wish) -> str:
    """What approvers agree to: this order, this amount, to this address."""
    return hashlib.sha256(f"{wish.uuid}|{wish.amount}|{wish.destination_address}".encode()).hexdigest()


def required(conn: Connection, order_id: int, *, lock: bool = False) -> Row[Any]:
    """Raises RequestError 404."""
    query = select(conversion_orders).where(conversion_orders.c.id == order_id)
    row = conn.execute(query.with_for_update() if lock else query).one_or_none()
    if row is None:
        raise RequestError(404, "order_not_found", f"there is no conversion order {order_id}")
    return row


def approvers(conn: Connection, order_id: int) -> Sequence[str]:
    """Who agreed, in order."""
    mine = conversion_approvals.c.order_id == order_id
    return conn.scalars(select(conversion_approvals.c.approver).where(mine).order_by(conversion_approvals.c.id)).all()


def approve(
    conn: Connection, order_id: int, digest: str, approver: str, made_by: str, needed: int, now: datetime
) -> None:
    """One approver agrees to exactly this order; with the last of `needed` it may be sent. Idempotent for the same
    approver. Raises RequestError 404, 403 `same_person`, 409 `digest_differs` or `not_waiting`."""
    order = required(conn, order_id, lock=True)
    if order.digest != digest:
        raise RequestError(409, "digest_differs", "the order has another digest: look at it again before approving")
    already = approvers(conn, order_id)
    if approver in already:
        return
    if order.state != ConversionState.PROPOSED:
        raise RequestError(409, "not_waiting", f"the order is {order.state}: it waits for no approval")
    tokens.require_another_person(conn, set(already), approver, made_by)
    conn.execute(
        insert(conversion_approvals).values(order_id=order_id, digest=digest, approver=approver[:64], created_at=now)
    )
    why = f"{approver}: {digest}"
    if len(already) + 1 < needed:
        note(conn, "conversion", order_id, order.state, order.state, now, why)
        return
    advance(conn, order_id, ConversionState.APPROVED, now, why)
    revive(conn, "conversion", order_id, now)


def cancel(conn: Connection, order_id: int, reason: str, now: datetime) -> None:
    """Raises RequestError 409 `already_sent` once Circle may know of it. Deposits that might have been its are others'
    now."""
    order = required(conn, order_id, lock=True)
    if order.state not in UNSENT:
        raise RequestError(409, "already_sent", f"the order is {order.state}: it can't be taken back any more")
    advance(conn, order_id, ConversionState.CANCELLED, now, reason[:500])
    explain_deposits(conn, now)
    enqueue(conn, "conversion", order_id, now)  # it waits for nothing any more


def page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` orders, newest first, with ids below `before`."""
    query = select(conversion_orders).order_by(conversion_orders.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(conversion_orders.c.id < before)).all()


def deposits(conn: Connection, limit: int) -> Sequence[Row[Any]]:
    """The newest wires that were seen at Circle Mint."""
    newest = mint_deposits.c.circle_created_at.desc(), mint_deposits.c.id.desc()
    return conn.execute(select(mint_deposits).order_by(*newest).limit(limit)).all()


def on_its_way(conn: Connection) -> int:
    """What was announced, or ordered and approved, and has not arrived."""
    missing = func.sum(announced.c.expected_usdc - announced.c.received)
    waiting = (ConversionState.APPROVED, ConversionState.SENDING)
    ordered = select(func.sum(conversion_orders.c.amount)).where(conversion_orders.c.state.in_(waiting))
    waits = announced.c.settled_at.is_(None), announced.c.withdrawn_at.is_(None)
    return int(conn.scalar(select(missing).where(*waits)) or 0) + int(conn.scalar(ordered) or 0)


def looked(conn: Connection, order_id: int, available: int, seen: Sequence[MintDeposit], now: datetime) -> None:
    """What the account holds now, and which wires have come."""
    conn.execute(
        update(conversion_orders)
        .where(conversion_orders.c.id == order_id)
        .values(available_base_units=available, looked_at=now)
    )
    for one in seen:
        born = insert_into(mint_deposits, conn.dialect.name).values(
            circle_deposit_id=one.circle_id,
            amount=one.amount,
            status=one.status,
            circle_created_at=one.created_at,
            seen_at=now,
        )
        conn.execute(
            born.on_conflict_do_update(
                index_elements=[mint_deposits.c.circle_deposit_id], set_={"status": one.status, "seen_at": now}
            )
        )


def sent_since(conn: Connection, moment: datetime) -> int:
    """What orders first sent since then move; failed ones moved nothing."""
    total = select(func.sum(conversion_orders.c.amount)).where(
        conversion_orders.c.sent_at >= moment, conversion_orders.c.state != ConversionState.FAILED
    )
    return int(conn.scalar(total) or 0)


def intend(conn: Connection, order_id: int, key: UUID, body: Mapping[str, Any], now: datetime) -> bool:
    """Commit key and exact business body before anything is sent. False when the order is no longer approved."""
    order = required(conn, order_id, lock=True)
    if order.state != ConversionState.APPROVED:
        return False
    wish = Wish(UUID(order.uuid), order.amount, order.destination_address, order.note, order.proposed_by)
    if order.digest != _digest(wish) or not approvers(conn, order_id):
        raise Misuse(f"order {order.uuid} is not what was approved; nothing of it is sent")
    saved = json.dumps(body, sort_keys=True)
    advance(conn, order_id, ConversionState.SENDING, now, idempotency_key=str(key), body=saved)
    return True


def first_send(conn: Connection, order_id: int, now: datetime) -> None:
    """From here on the transfer may exist at Circle, whatever the answer: committed before the call. Raises Retryable
    where a start gate has found it at Circle Mint since it was loaded: then it is not ordered any more."""
    found = required(conn, order_id, lock=True).circle_transfer_id
    if found is not None:
        raise Retryable(f"{found} was found as its transfer meanwhile: it is not ordered")
    mine = (conversion_orders.c.id == order_id) & conversion_orders.c.sent_at.is_(None)
    conn.execute(update(conversion_orders).where(mine).values(sent_at=now))


def not_sent(conn: Connection, order_id: int, sent_at: datetime) -> None:
    """Our key, or a right of it, was refused at the first send, which therefore did nothing."""
    mine = (conversion_orders.c.id == order_id) & (conversion_orders.c.sent_at == sent_at)
    unknown = conversion_orders.c.circle_transfer_id.is_(None)
    conn.execute(update(conversion_orders).where(mine, unknown).values(sent_at=None))


def seen(conn: Connection, order_id: int, circle_id: str, status: str, signature: str | None, now: datetime) -> None:
    """What Circle says of the transfer; `circle_status_since` moves only with the status."""
    order = required(conn, order_id, lock=True)
    since = order.circle_status_since if order.circle_status == status else now
    conn.execute(
        update(conversion_orders)
        .where(conversion_orders.c.id == order_id)
        .values(
            circle_transfer_id=circle_id,
            circle_status=status,
            circle_status_since=since,
            signature=signature or order.signature,
        )
    )


def arriving(conn: Connection, order_id: int, signature: str, uuid: UUID, now: datetime) -> None:
    """Circle calls it complete: it becomes an announced conversion, which only the deposit of this transaction
    explains. `uuid` is the conversion's."""
    order = required(conn, order_id, lock=True)
    cents = order.amount // BASE_UNITS_PER_CENT
    text = f"Circle Mint transfer {order.circle_transfer_id}"
    conversion_id = conversions.announce(conn, Announced(str(uuid), cents, order.amount, text, signature), now)
    advance(conn, order_id, ConversionState.ARRIVING, now, signature=signature, conversion_id=conversion_id)
    explain_deposits(conn, now)
    enqueue(conn, "conversion", order_id, now)


def has_arrived(conn: Connection, order_id: int) -> bool:
    """Whether the finalized deposit of its transaction is booked, and is what was ordered."""
    query = select(announced.c.settled_at).join(conversion_orders, conversion_orders.c.conversion_id == announced.c.id)
    return conn.scalar(query.where(conversion_orders.c.id == order_id)) is not None


def done(conn: Connection, order_id: int, now: datetime) -> None:
    advance(conn, order_id, ConversionState.DONE, now)


def failed(conn: Connection, order_id: int, proof: Mapping[str, Any], now: datetime) -> None:
    """It never took and never will take effect; `proof` says why. Deposits that might have been its are others' now."""
    advance(conn, order_id, ConversionState.FAILED, now, str(proof.get("why", ""))[:500], proof=json.dumps(proof))
    explain_deposits(conn, now)


def known_transfers(conn: Connection, circle_ids: Sequence[str]) -> set[str]:
    """Which of these transfers belong to orders."""
    mine = conversion_orders.c.circle_transfer_id.in_(circle_ids)
    return set(conn.scalars(select(conversion_orders.c.circle_transfer_id).where(mine)))


def deposited(conn: Connection, signature: str) -> bool:
    """Whether a finalized transaction of this signature brought USDC into the platform wallet."""
    mine = (chain_movements.c.signature == signature) & (chain_movements.c.kind == "deposit")
    return conn.scalar(select(chain_movements.c.id).where(mine)) is not None
