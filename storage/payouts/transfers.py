"""Circle transfers: one USDC movement to one recipient, its attempts, and what their outcome does to the payouts."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, exists, func, insert, select, update

from domain.errors import Misuse, Retryable
from domain.evidence import Evidence
from domain.ledger import Asset
from domain.states import PAYOUT_PENDING, PackedState, TransferState, UsdcStatus, WatchState, WorkState
from storage.attempts import parted, watch_of
from storage.history import advance, advance_from, note
from storage.mints import mint_payouts
from storage.payouts import recipients
from storage.payouts.approvals import require_as_planned
from storage.payouts.batches import UNSETTLED, wake_near_end
from storage.payouts.distribution import pay
from storage.sales.returns import due_now, settle_returns, settle_unpaid
from storage.statements import ONE, among, change_of, fixed, locked_row_of, row_of
from storage.tables import (
    batches,
    chain_movements,
    group_attempts,
    group_members,
    jobs,
    payout_groups,
    payouts,
    purchases,
    state_history,
    transfer_attempts,
    transfers,
)
from storage.treasury import chain_rows
from storage.treasury.movement_rows import Movement, MovementKind
from storage.treasury.movements import book_payout
from storage.treasury.network_costs import explain_cost
from storage.work import enqueue, revive


@dataclass(frozen=True, slots=True)
class TransferCase:
    """All that is stored about one transfer. `watch` is what the indexer says of the attempt's signature."""

    transfer: Row[Any]
    batch: Row[Any]
    payouts: Sequence[Row[Any]]
    attempt: Row[Any] | None
    watch: Row[Any] | None
    dead_attempts: int

    @property
    def live(self) -> Row[Any]:
        """The attempt of a transfer that was begun."""
        assert self.attempt is not None
        return self.attempt

    @property
    def never_left(self) -> bool:
        """Its attempt was never sent, or is known not to have reached Circle: nothing of it exists."""
        attempt = self.live
        return attempt.first_sent_at is None and attempt.circle_transaction_id is None and attempt.signature is None

    @property
    def sendable(self) -> bool:
        """Every payout in it is covered, and together they are what the transfer says."""
        covered = all(row.state == UsdcStatus.PENDING_DISTRIBUTION for row in self.payouts)
        return bool(self.payouts) and covered and self.unpaid == self.transfer.amount

    @property
    def is_on_its_way(self) -> bool:
        """Ordered, by Circle's or the chain's word, and without an outcome."""
        attempt = self.attempt
        if attempt is None or attempt.state != TransferState.SUBMITTED:
            return False
        return attempt.circle_transaction_id is not None or attempt.signature is not None

    @property
    def unpaid(self) -> int:
        """What is due of its payouts (base units)."""
        return sum(int(row.amount - row.netted_amount) for row in self.payouts)


def load(conn: Connection, transfer_id: int, *, lock: bool = False) -> TransferCase:
    """`lock`: hold transfer and payouts to the end of a writing transaction; reads can't lock."""
    wanted, paid = (locked_row_of(transfers), _PAID_LOCKED) if lock else (row_of(transfers), _PAID)
    transfer = conn.execute(wanted, {"which": transfer_id}).one_or_none()
    if transfer is None:
        raise Misuse(f"no transfer {transfer_id}")
    attempt, dead = parted(conn, _ATTEMPTS, transfer_id)
    return TransferCase(
        transfer=transfer,
        batch=conn.execute(row_of(batches), {"which": transfer.batch_id}).one(),
        payouts=conn.execute(paid, {"of": transfer_id}).all(),
        attempt=attempt,
        watch=watch_of(conn, attempt),
        dead_attempts=dead.count,
    )


_PAID = select(payouts).where(payouts.c.transfer_id == bindparam("of")).order_by(payouts.c.id)
_PAID_LOCKED = _PAID.with_for_update()
_ATTEMPTS = select(transfer_attempts).where(transfer_attempts.c.transfer_id == bindparam("of"))


def others_at_circle(conn: Connection, transfer_id: int, attempt_id: int) -> set[str]:
    """Circle's ids of the orders that other attempts of the transfer have made."""
    told = conn.execute(_ATTEMPTS, {"of": transfer_id}).all()
    return {row.circle_transaction_id for row in told if row.id != attempt_id and row.circle_transaction_id}


def next_attempt(conn: Connection, transfer_id: int) -> int:
    """Number of the next attempt, counted from 1."""
    return (conn.scalar(_LAST_NUMBER, {"of": transfer_id}) or 0) + 1


_LAST_NUMBER = select(func.max(transfer_attempts.c.attempt)).where(transfer_attempts.c.transfer_id == bindparam("of"))


def intend(
    conn: Connection,
    case: TransferCase,
    number: int,
    key: UUID,
    wallet_id: str,
    source_address: str,
    body: Mapping[str, Any],
    now: datetime,
) -> TransferCase:
    """Commit an attempt's key and exact business body, before the first send; the case with it. `case`: as this
    transaction has loaded and locked it. Raises Misuse when it is not sendable."""
    transfer_id = case.transfer.id
    if not case.sendable:
        raise Misuse(f"transfer {transfer_id} is not covered as planned")
    require_as_planned(conn, [transfer_id])
    intent = {"attempt": number, "idempotency_key": str(key), "body": json.dumps(body, sort_keys=True)}
    source = {"wallet_id": wallet_id, "source_address": source_address}
    born = {"transfer_id": transfer_id, "state": TransferState.INTENDED, "created_at": now}
    attempt = conn.execute(_INTEND, {**born, **intent, **source}).one()
    note(conn, "transfer", attempt.id, None, TransferState.INTENDED, now)
    return replace(case, attempt=attempt)


_INTEND = insert(transfer_attempts).returning(*transfer_attempts.c)


def first_send(conn: Connection, attempt_id: int, now: datetime) -> None:
    """From here on the transfer may exist at Circle, whatever the answer: committed before each call.

    Raises Retryable where a person has given it an outflow since it was loaded: then it is not sent any more."""
    attempt = conn.execute(locked_row_of(transfer_attempts), {"which": attempt_id}).one()
    if attempt.signature is not None:
        raise Retryable(f"{attempt.signature} was adopted as its outflow meanwhile: it is not sent")
    if attempt.state == TransferState.INTENDED:
        advance_from(conn, attempt_id, attempt.state, TransferState.SUBMITTED, now, first_sent_at=now)
    elif attempt.first_sent_at is None:
        conn.execute(change_of(transfer_attempts), {"which": attempt_id, "first_sent_at": now})


def not_sent(conn: Connection, attempt_id: int, sent_at: datetime, now: datetime) -> None:
    """Its first send is known not to have done anything: however long it takes until it is sent, it is not looked for
    as what may have been lost. Written down once, however often it is tried."""
    attempt = conn.execute(locked_row_of(transfer_attempts), {"which": attempt_id}).one()
    is_named = attempt.circle_transaction_id is not None or attempt.signature is not None
    if attempt.first_sent_at != sent_at or is_named:
        return
    conn.execute(change_of(transfer_attempts), {"which": attempt_id, "first_sent_at": None})
    if conn.scalar(_NOTED_NOT_SENT, {"of": str(attempt_id)}) is None:
        note(conn, "transfer", attempt_id, attempt.state, attempt.state, now, NOT_SENT)


NOT_SENT = "not sent: Circle was not reached, or refused us access"
_NOTED_NOT_SENT = (
    select(state_history.c.id)
    .where(
        state_history.c.machine == fixed("transfer"),
        state_history.c.subject == bindparam("of"),
        state_history.c.reason == NOT_SENT,
    )
    .limit(ONE)
)


def wake_unanswered(conn: Connection, now: datetime) -> None:
    """Circle answers orders again: make due those that wait because nobody did. What is due within a minute anyway is
    left alone, so that orders that are answered now and then wake each other no more often."""
    conn.execute(_WAKE_UNANSWERED, {"now": now, "soon": now + timedelta(minutes=1)})


_WAKE_UNANSWERED = (
    update(jobs)
    .where(
        jobs.c.kind == "transfer",
        jobs.c.state == fixed(WorkState.DUE),
        jobs.c.due_at > bindparam("soon", type_=jobs.c.due_at.type),
        jobs.c.lease_until.is_(None),
        jobs.c.unknown_since.is_not(None),
    )
    .values(due_at=bindparam("now", type_=jobs.c.due_at.type), wakes=jobs.c.wakes + 1)
)


def seen_at_circle(
    conn: Connection, attempt_id: int, circle_id: str, state: str, updated: datetime, error: str | None
) -> None:
    """What Circle says of the transfer."""
    seen = {"circle_transaction_id": circle_id, "circle_state": state, "circle_updated_at": updated}
    conn.execute(change_of(transfer_attempts), {"which": attempt_id, **seen, "error_reason": error})


def watch_signature(conn: Connection, attempt_id: int, transfer_id: int, signature: str, now: datetime) -> None:
    """Circle named the signature: the indexer follows it. Circle may name another one until the transfer confirms."""
    attempt = conn.execute(row_of(transfer_attempts), {"which": attempt_id}).one()
    before = attempt.signature
    if before == signature:
        return
    if before is not None:
        chain_rows.unwatch(conn, before)
        note(conn, "transfer", attempt_id, attempt.state, attempt.state, now, f"{signature} in place of {before}")
    conn.execute(change_of(transfer_attempts), {"which": attempt_id, "signature": signature})
    chain_rows.watch(conn, signature, "transfer", transfer_id, None, now)


def distributed(conn: Connection, transfer_id: int, evidence: Evidence, usdc_account: str, now: datetime) -> None:
    """The transfer is finalized and reads back as planned: its payouts are `distributed`, all in one transaction.

    The movement is booked here too, so that the free balance never counts this money twice. Idempotent: its own step
    and a start gate's look may both have seen it. Raises Misuse when its payouts are due another amount than it moved:
    none of them is called paid then.
    """
    recipients.lock_of_transfers(conn, [transfer_id])
    case = load(conn, transfer_id, lock=True)
    if case.attempt is None:
        raise Misuse(f"transfer {transfer_id} has no live attempt")
    if (case.attempt.state, case.attempt.signature) == (TransferState.FINALIZED, evidence.signature):
        return
    if case.unpaid != case.transfer.amount:
        raise Misuse(f"transfer {transfer_id} moved {case.transfer.amount}, and {case.unpaid} are due of its payouts")
    proof = json.dumps({"finalized": evidence.signature, "slot": evidence.slot})
    advance(
        conn,
        case.attempt.id,
        TransferState.FINALIZED,
        now,
        signature=evidence.signature,
        cost_lamports=evidence.cost_lamports,
        proof=proof,
    )
    usdc = Movement(
        evidence.signature,
        usdc_account,
        Asset.USDC,
        -case.transfer.amount,
        evidence.slot,
        evidence.block_time,
        case.transfer.destination_address,
    )
    book_payout(conn, usdc, transfer_id, now)
    explain_cost(conn, evidence.signature, "payout", now)
    pay(conn, [transfer_id], evidence, now)
    wake_near_end(conn, case.transfer.batch_id, now)


def why_held(conn: Connection, case: TransferCase) -> str | None:
    """Why a sale of the transfer is held, by a person or a dispute, if one is."""
    sold = select(purchases.c.hold_reason).where(purchases.c.id.in_([row.purchase_id for row in case.payouts]))
    why = conn.scalar(sold.where(purchases.c.hold_reason.is_not(None)).limit(1))
    return None if why is None else f"its sale is held: {why}"


def why_overtaken(conn: Connection, case: TransferCase) -> str | None:
    """Why an attempt that never left is not to leave any more, if it is so: a sale of the transfer is held, or money of
    one came back, since it was meant."""
    if any(due_now(conn, payout) != payout.amount for payout in case.payouts):
        return "money of its sale came back"
    return why_held(conn, case)


def look_for(conn: Connection, above: int, limit: int, now: datetime) -> int:
    """Have it looked what became of transfers that are on their way, by Circle's or the chain's word: up to `limit` of
    them with ids above that. The last one's id; 0 when no more follow."""
    asked = (
        select(transfer_attempts.c.transfer_id)
        .where(_ON_THEIR_WAY, transfer_attempts.c.transfer_id > above)
        .order_by(transfer_attempts.c.transfer_id)
        .limit(limit)
    )
    found = list(conn.scalars(asked))
    for transfer_id in found:
        revive(conn, "transfer_look", transfer_id, now)
    return found[-1] if len(found) == limit else 0


_ON_THEIR_WAY = (transfer_attempts.c.state == TransferState.SUBMITTED) & (
    transfer_attempts.c.circle_transaction_id.is_not(None) | transfer_attempts.c.signature.is_not(None)
)


def dead(conn: Connection, transfer_id: int, proof: Mapping[str, Any], now: datetime) -> None:
    """The live attempt never took and never will take effect; `proof` says why."""
    recipients.lock_of_transfers(conn, [transfer_id])
    attempt = load(conn, transfer_id, lock=True).attempt
    if attempt is None:
        return
    advance(conn, attempt.id, TransferState.DEAD, now, str(proof.get("why", ""))[:500], proof=json.dumps(proof))
    if attempt.signature is not None:
        chain_rows.unwatch(conn, attempt.signature)
    settle_unpaid(conn, [transfer_id], now)


def failed(conn: Connection, transfer_id: int, why: str, now: datetime) -> None:
    """Give the transfer's payouts up as `failed`, with the reason. Only with no attempt that may still take effect:
    a send whose outcome is unknown leaves them pending_distribution."""
    recipients.lock_of_transfers(conn, [transfer_id])
    case = load(conn, transfer_id, lock=True)
    if case.attempt is not None and not case.never_left:
        return
    if case.attempt is not None:
        advance(
            conn, case.attempt.id, TransferState.DEAD, now, why[:500], proof=json.dumps({"why": f"never sent: {why}"})
        )
    unpaid = [payout for payout in case.payouts if payout.state == UsdcStatus.PENDING_DISTRIBUTION]
    for payout in unpaid:
        advance(conn, payout.id, UsdcStatus.FAILED, now, why[:500], reason=why[:500])
    for payout in unpaid:  # not before all are: what one sale's return leaves to be owed would take from the next one
        settle_returns(conn, payout.purchase_id, "not paid", now)
    enqueue(conn, "batch", case.transfer.batch_id, now)
    enqueue(conn, "fund", "treasury", now)


def begun_since(conn: Connection, moment: datetime) -> int:
    """What attempts begun since then move (base units), of both rails and of mints that pay; the dead moved nothing.
    Read by one statement: what a mint pays counts as a group's from the moment on that it has landed."""
    single = (
        select(func.sum(transfers.c.amount))
        .select_from(transfers.join(transfer_attempts, transfer_attempts.c.transfer_id == transfers.c.id))
        .where(transfer_attempts.c.created_at >= moment, transfer_attempts.c.state != TransferState.DEAD)
    )
    packed = (
        select(func.sum(payout_groups.c.amount))
        .select_from(payout_groups.join(group_attempts, group_attempts.c.group_id == payout_groups.c.id))
        .where(group_attempts.c.created_at >= moment, group_attempts.c.state != PackedState.DEAD)
    )
    begun = (single, packed, mint_payouts.begun_since(moment))
    return sum(int(part or 0) for part in conn.execute(select(*(one.scalar_subquery() for one in begun))).one())


def unbegun(conn: Connection) -> int:
    """What open batches that are not paused have still to begin (base units): payouts in them without an attempt that
    may still take effect."""
    unpaid = func.sum(payouts.c.amount - payouts.c.netted_amount)
    alone = exists().where(
        transfer_attempts.c.transfer_id == payouts.c.transfer_id, transfer_attempts.c.state != TransferState.DEAD
    )
    packed = exists().where(
        group_members.c.transfer_id == payouts.c.transfer_id,
        group_members.c.released_at.is_(None),
        group_attempts.c.group_id == group_members.c.group_id,
        group_attempts.c.state != PackedState.DEAD,
    )
    statement = (
        select(unpaid)
        .select_from(payouts.join(batches, batches.c.id == payouts.c.batch_id))
        .where(
            UNSETTLED,
            batches.c.paused.is_(False),
            payouts.c.state.in_(among(PAYOUT_PENDING)),
            ~alone,
            ~packed,
        )
    )
    return int(conn.scalar(statement) or 0)


def explained(conn: Connection, destination: str, amount: int) -> frozenset[str]:
    """Signatures of equal outflows that belong to transfers already."""
    rows = conn.scalars(
        select(chain_movements.c.signature).where(
            chain_movements.c.counterparty == destination,
            chain_movements.c.amount == -amount,
            chain_movements.c.transfer_id.is_not(None),
        )
    )
    return frozenset(rows)


def unclaimed(conn: Connection, case: TransferCase) -> str | None:
    """Signature of the outflow, booked since the live attempt began, that pays exactly this transfer and that nothing
    claims; None where there are several, or where another attempt of unknown signature may have paid it."""
    transfer, attempt = case.transfer, case.attempt
    if attempt is None or attempt.signature is not None:
        return None
    found = conn.scalars(
        select(chain_movements.c.signature)
        .where(
            chain_movements.c.asset == Asset.USDC,
            chain_movements.c.kind == MovementKind.PAYOUT,
            chain_movements.c.transfer_id.is_(None),
            chain_movements.c.counterparty == transfer.destination_address,
            chain_movements.c.amount == -transfer.amount,
            chain_movements.c.created_at >= attempt.created_at,
            ~exists().where(group_attempts.c.signature == chain_movements.c.signature),
        )
        .limit(2)
    ).all()
    rivals = conn.scalar(
        select(func.count())
        .select_from(transfers.join(transfer_attempts))
        .where(
            transfers.c.id != transfer.id,
            transfers.c.destination_address == transfer.destination_address,
            transfers.c.amount == transfer.amount,
            transfer_attempts.c.state.in_([TransferState.INTENDED, TransferState.SUBMITTED]),
            transfer_attempts.c.signature.is_(None),
        )
    )
    return found[0] if len(found) == 1 and not rivals else None


def watch_state(watch: Row[Any] | None) -> WatchState | None:
    return None if watch is None else WatchState(watch.state)
