"""Money that comes back, followed through to what each recipient is due.

`settle_returns` makes a purchase's status, holds, dues and debts what the recorded refunds and disputes say. It is
idempotent and does not care in which order facts became known, so everything that changes one of them calls it.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from domain.keys import uuid4_shaped
from domain.ledger import dispute_money, due_changed, refund_succeeded
from domain.refunds import (
    LOST_DISPUTE,
    Returns,
    counted_as,
    dispute_news,
    dispute_rank,
    dues,
    is_open,
    returns,
)
from domain.states import MintState, PurchaseStatus, RefundState, UsdcStatus
from storage.books.ledger import post
from storage.history import advance, note
from storage.payouts import membership, recipients
from storage.payouts.debts import made_good, net_debts, undo_surplus
from storage.payouts.plan_bounds import keep_within_plan
from storage.payouts.positions import position, position_of
from storage.payouts.settlements import end_forgiveness
from storage.sales import purchases as sales
from storage.sales.holds import due_again, hold, release, take_over
from storage.statements import ONE, change_of, fixed
from storage.tables import disputes, ledger_entries, mint_attempts, payouts, purchases, refunds
from storage.work import ask_no_more, ask_person, enqueue, revive

_REFUND_ORDER = (RefundState.INTENDED, RefundState.PENDING, RefundState.SUCCEEDED, RefundState.FAILED)
DISPUTE_HOLD = "dispute "
"""Begins the reason of a hold that ends with its dispute."""
UNDERPAID = "underpaid"
"""What a person is asked to pay: the rest of a payout that was smaller by a refund which has failed since."""
NO_EDITION = "no edition is left for the sale whose refund failed"


@dataclass(frozen=True, slots=True)
class RefundSeen:
    """A refund as Stripe tells it (cents). `uuid` is ours if we asked for it."""

    stripe_refund_id: str
    amount: int
    state: RefundState
    uuid: str | None


@dataclass(frozen=True, slots=True)
class DisputeSeen:
    """A dispute as Stripe tells it (cents): `withdrawn` and `fee` as its balance transactions sum up."""

    stripe_dispute_id: str
    amount: int
    status: str
    withdrawn: int
    fee: int
    event_at: datetime


def record_refund(conn: Connection, purchase_id: int, seen: RefundSeen, now: datetime) -> None:
    """Store what Stripe says of a refund, unless newer is known, and settle the purchase."""
    known = _known(conn, seen)
    if known is None:
        _learn_refund(conn, purchase_id, seen, now)
    elif _REFUND_ORDER.index(seen.state) > _REFUND_ORDER.index(RefundState(known.state)):
        advance(conn, known.id, seen.state, now, stripe_refund_id=seen.stripe_refund_id)
        _book_refund(conn, purchase_id, known.uuid, known.amount, RefundState(known.state), seen.state, now)
    settle_returns(conn, purchase_id, f"{seen.stripe_refund_id}:{seen.state}", now)
    if seen.state == RefundState.FAILED:
        _ask_for_loser(conn, purchase_id, now)


def _known(conn: Connection, seen: RefundSeen) -> Row[Any] | None:
    """The row of a refund, by Stripe's id or else by our mark. Not one that was given up before Stripe named it: what
    Stripe finds of it after all is money that went back, and gets a row of its own."""
    named = select(refunds).where(refunds.c.stripe_refund_id == seen.stripe_refund_id)
    marked = select(refunds).where(
        refunds.c.uuid == (seen.uuid or ""),
        refunds.c.stripe_refund_id.is_(None),
        refunds.c.state != fixed(RefundState.FAILED),
    )
    known = conn.execute(named.with_for_update()).one_or_none()
    return known or conn.execute(marked.with_for_update()).one_or_none()


def _ask_for_loser(conn: Connection, purchase_id: int, now: datetime) -> None:
    """The loser of a sold-out race has his money no more, or not at all."""
    row = sales.required(conn, purchase_id)
    if row.status_reason == sales.SOLD_OUT and row.status != PurchaseStatus.REFUNDED:
        why = "a refund to the loser of a sold-out race failed: settle it with the buyer, or retry to refund him"
        ask_person(conn, "refund", str(purchase_id), "refund_failed", why, now)


def _learn_refund(conn: Connection, purchase_id: int, seen: RefundSeen, now: datetime) -> None:
    uuid = str(uuid4_shaped("refund", seen.stripe_refund_id))
    row_id = conn.scalar(
        insert(refunds)
        .values(
            uuid=uuid,
            purchase_id=purchase_id,
            stripe_refund_id=seen.stripe_refund_id,
            reason="made at Stripe",
            amount=seen.amount,
            state=seen.state,
            created_at=now,
        )
        .returning(refunds.c.id)
    )
    note(conn, "refund", row_id or 0, None, seen.state, now)
    _book_refund(conn, purchase_id, uuid, seen.amount, RefundState.INTENDED, seen.state, now)


def _book_refund(
    conn: Connection, purchase_id: int, uuid: str, amount: int, before: RefundState, after: RefundState, now: datetime
) -> None:
    payment_intent_id = sales.required(conn, purchase_id).stripe_payment_intent_id
    if after == RefundState.SUCCEEDED:
        post(conn, refund_succeeded(uuid, payment_intent_id, amount), now)
    elif after == RefundState.FAILED and before == RefundState.SUCCEEDED:
        post(conn, refund_succeeded(f"{uuid}:failed", payment_intent_id, -amount), now)


def record_dispute(conn: Connection, purchase_id: int, seen: DisputeSeen, now: datetime) -> None:
    """Store what Stripe says of a dispute, unless newer is known, and settle the purchase."""
    seen = replace(seen, status=counted_as(seen.status, seen.withdrawn))
    known = conn.execute(
        select(disputes).where(disputes.c.stripe_dispute_id == seen.stripe_dispute_id).with_for_update()
    ).one_or_none()
    rank = dispute_rank(seen.status)
    values = {"status": seen.status, "rank": rank, "event_at": seen.event_at, "amount": seen.amount}
    moved = seen.withdrawn, seen.fee
    news = dispute_news(seen.status, seen.event_at, *moved)
    if known is None:
        conn.execute(
            insert(disputes).values(
                purchase_id=purchase_id,
                stripe_dispute_id=seen.stripe_dispute_id,
                withdrawn=seen.withdrawn,
                fee=seen.fee,
                created_at=now,
                **values,
            )
        )
        note(conn, "dispute", seen.stripe_dispute_id[:64], None, seen.status, now)
    elif news >= dispute_news(known.status, known.event_at, known.withdrawn, known.fee):
        conn.execute(
            update(disputes).where(disputes.c.id == known.id).values(withdrawn=seen.withdrawn, fee=seen.fee, **values)
        )
        if known.status != seen.status:
            note(conn, "dispute", seen.stripe_dispute_id[:64], known.status, seen.status, now)
        moved = seen.withdrawn - known.withdrawn, seen.fee - known.fee
    else:
        moved = 0, 0
    cause = f"{seen.status}:{seen.withdrawn}:{seen.fee}:{int(seen.event_at.timestamp())}"
    if any(moved):
        payment_intent_id = sales.required(conn, purchase_id).stripe_payment_intent_id
        post(conn, dispute_money(seen.stripe_dispute_id, cause, payment_intent_id, *moved), now)
    settle_returns(conn, purchase_id, f"{seen.stripe_dispute_id}:{cause}", now)
    if not is_open(seen.status) and seen.status != LOST_DISPUTE:
        _give_back_to_loser(conn, purchase_id, now)


def _give_back_to_loser(conn: Connection, purchase_id: int, now: datetime) -> None:
    """His bank gives the loser of a sold-out race nothing: his refund is due, which Stripe refused till now."""
    row = sales.required(conn, purchase_id)
    if row.status_reason == sales.SOLD_OUT and row.status != PurchaseStatus.REFUNDED:
        # The dispute may have been told of late: then the refund was given up meanwhile.
        revive(conn, "refund", purchase_id, now)


def settle_returns(conn: Connection, purchase_id: int, cause: str, now: datetime) -> None:
    """Make the purchase what its refunds and disputes say. `cause` names what changed, once per change."""
    row = sales.required(conn, purchase_id)
    recipients.lock_of_sale(conn, purchase_id)
    contests = conn.execute(_DISPUTES, {"of": purchase_id}).all()
    told = _returns(conn, row, contests)
    if told.refunded != row.refunded_amount:
        conn.execute(change_of(purchases), {"which": purchase_id, "refunded_amount": told.refunded})
    if _settle_status(conn, row, told.refunded >= row.gross_amount, now):
        row = sales.required(conn, purchase_id)
    _settle_hold(conn, row, contests, now)
    settled = _settle_dues(conn, row, told, cause, now)
    for recipient_id in settled:
        net_debts(conn, recipient_id, now)
    if settled:
        enqueue(conn, "fund", "treasury", now)


def settle_unpaid(conn: Connection, transfer_ids: Collection[int], now: datetime) -> None:
    """The attempt that may have paid these transfers is proven dead: what came back of their sales, was contested or
    held while it was under way takes its effect now, before another attempt pays what is no longer due."""
    recipients.lock_of_transfers(conn, transfer_ids)
    waiting = (payouts.c.transfer_id.in_(transfer_ids)) & (payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION)
    sold = select(payouts.c.purchase_id).where(waiting).distinct().order_by(payouts.c.purchase_id)
    for purchase_id in conn.scalars(sold).all():
        settle_returns(conn, purchase_id, "not paid", now)


def returned(conn: Connection, purchase_id: int) -> Returns:
    """What went back of a sale, and what its open disputes would take. Also for reads: takes no lock."""
    contests = conn.execute(_DISPUTES, {"of": purchase_id}).all()
    return _returns(conn, sales.looked_at(conn, purchase_id), contests)


def due_now(conn: Connection, payout: Row[Any]) -> int:
    """What is due of a payout after all that came back of its sale, also where that waits for a transfer's outcome.
    Also for reads: takes no lock."""
    row = sales.looked_at(conn, payout.purchase_id)
    back = returned(conn, row.id).returned
    return dues(row.creator_amount, row.gross_amount, back, sales.shares_of(conn, row.content_id)).get(
        payout.recipient_id, 0
    )


def _returns(conn: Connection, row: Row[Any], contests: Sequence[Row[Any]]) -> Returns:
    succeeded = conn.scalars(_SUCCEEDED, {"of": row.id}).all()
    lost = [one.amount for one in contests if one.status == LOST_DISPUTE]
    contested = [one.amount for one in contests if is_open(one.status)]
    return returns(row.gross_amount, succeeded, lost, contested)


_SUCCEEDED = select(refunds.c.amount).where(
    refunds.c.purchase_id == bindparam("of"), refunds.c.state == fixed(RefundState.SUCCEEDED)
)
CAME_BACK = purchases.c.refunded_amount + func.coalesce(
    select(func.sum(disputes.c.amount))
    .where(disputes.c.purchase_id == purchases.c.id, disputes.c.status == fixed(LOST_DISPUTE))
    .correlate(purchases)
    .scalar_subquery(),
    0,
)
"""Of a row of `purchases`: cents that went back to its buyer, by refunds and by lost disputes."""
_DISPUTES = select(disputes).where(disputes.c.purchase_id == bindparam("of")).order_by(disputes.c.id)


def _settle_status(conn: Connection, row: Row[Any], full: bool, now: datetime) -> bool:
    """A full refund ends the sale, unless its mint is in flight: then the outcome is waited for. Whether the row is
    another one now."""
    status = PurchaseStatus(row.status)
    if status == PurchaseStatus.MINTING and not _mint_may_land(conn, row.id):
        status = PurchaseStatus.PAYMENT_COMPLETED
    if full and status in (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.COMPLETED, PurchaseStatus.FAILED):
        if row.minted_at is None:
            sales.return_edition(conn, row.id)
        why = row.status_reason or "refunded"
        advance(conn, row.id, PurchaseStatus.REFUNDED, now, why, status_before_refund=status)
        return True
    if not full and status == PurchaseStatus.REFUNDED:
        _restore(conn, row, now)
        return True
    return False


def _mint_may_land(conn: Connection, purchase_id: int) -> bool:
    return conn.scalar(_LIVE, {"of": purchase_id}) is not None


_LIVE = (
    select(mint_attempts.c.id)
    .where(mint_attempts.c.purchase_id == bindparam("of"), mint_attempts.c.state != fixed(MintState.DEAD))
    .limit(ONE)
)


def _restore(conn: Connection, row: Row[Any], now: datetime) -> None:
    """A refund failed after all: the state before returns; what was not minted needs an edition again."""
    before = PurchaseStatus(row.status_before_refund or PurchaseStatus.PAYMENT_COMPLETED)
    advance(conn, row.id, before, now, "the refund failed", status_before_refund=None)
    if row.status_reason == sales.SOLD_OUT or row.minted_at is not None:
        return
    if sales.hold_edition(conn, row.id, now):
        enqueue(conn, "mint", row.id, now)


def _settle_hold(conn: Connection, row: Row[Any], contests: Sequence[Row[Any]], now: datetime) -> None:
    """Held while a dispute is open; what an operator holds stays held, and so does what was on its way then. What holds
    no edition any more is a person's when no other hold keeps it."""
    if row.hold_reason == NO_EDITION and not _lacks_edition(row):
        release(conn, row.id, now)
        row = sales.required(conn, row.id)
    open_ids = [one.stripe_dispute_id for one in contests if is_open(one.status)]
    if open_ids and (row.hold_reason is None or row.hold_reason.startswith(DISPUTE_HOLD)):
        reason = f"{DISPUTE_HOLD}{open_ids[0]}"
        take_over(conn, row.id, reason, now)
        hold(conn, row.id, reason, now)
    elif not open_ids and row.hold_reason is not None and row.hold_reason.startswith(DISPUTE_HOLD):
        release(conn, row.id, now)
    elif row.hold_reason is not None:
        hold(conn, row.id, row.hold_reason, now)
    if _lacks_edition(row):
        hold(conn, row.id, NO_EDITION, now)


def _lacks_edition(row: Row[Any]) -> bool:
    """Of a sale whose refund failed, and whose edition was sold meanwhile."""
    is_open = row.paid_at is not None and row.status in (PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.FAILED)
    return is_open and row.minted_at is None and not row.edition_held and row.status_reason != sales.SOLD_OUT


def restate_due(conn: Connection, payout_id: int, due: int, cause: str, now: datetime) -> None:
    """An unpaid payout turns out to have been paid with another amount than it is due now: it is due that again until
    the payment is booked, and `settle_returns` then makes the difference its recipient's debt."""
    payout = conn.execute(select(payouts).where(payouts.c.id == payout_id).with_for_update()).one()
    if payout.amount != due:
        _change_due(conn, payout, due, cause, now)


def _settle_dues(conn: Connection, row: Row[Any], told: Returns, cause: str, now: datetime) -> list[int]:
    found = conn.execute(_PAYOUTS, {"of": row.id}).all()
    if not found or row.creator_amount is None:
        return []
    wanted = dues(row.creator_amount, row.gross_amount, told.returned, sales.shares_of(conn, row.content_id))
    for payout in found:
        due = wanted.get(payout.recipient_id, 0)
        if payout.amount != due and not _in_flight(conn, payout):
            _change_due(conn, payout, due, cause, now)
    return sorted({payout.recipient_id for payout in found})


_PAYOUTS = select(payouts).where(payouts.c.purchase_id == bindparam("of")).order_by(payouts.c.id).with_for_update()


def _in_flight(conn: Connection, payout: Row[Any]) -> bool:
    """Its transfer has begun and has no outcome: the outcome settles it."""
    return payout.state == UsdcStatus.PENDING_DISTRIBUTION and membership.has_begun(conn, payout.transfer_id)


def _change_due(conn: Connection, payout: Row[Any], due: int, cause: str, now: datetime) -> None:
    if payout.state == UsdcStatus.DISTRIBUTED:
        payout = end_forgiveness(conn, payout, due, made_good(conn, payout.id), now)
    before, after = position(payout), due
    conn.execute(update(payouts).where(payouts.c.id == payout.id).values(amount=max(after, _least(payout))))
    undo_surplus(conn, payout.id, due, now)
    row = conn.execute(select(payouts).where(payouts.c.id == payout.id)).one()
    conn.execute(update(payouts).where(payouts.c.id == payout.id).values(amount=due))
    debt = position_of(row, due).debt - before.debt
    if payout.amount != due:
        booked = f"{cause}:{_changes(conn, payout.uuid)}"
        post(conn, due_changed(booked, payout.uuid, payout.recipient_id, payout.amount - due - debt, debt), now)
    _follow_due(conn, row, due, now)
    if due > payout.amount:
        membership.cover_anew(conn, payout.id, now)
    keep_within_plan(conn, payout.id, now)
    membership.shrink_transfer(conn, payout.transfer_id, now)


def _changes(conn: Connection, payout_uuid: str) -> int:
    """How often this due has changed: makes each change's ledger key its own."""
    mine = (ledger_entries.c.subject == payout_uuid) & (ledger_entries.c.kind == "due_changed")
    return conn.scalar(select(func.count()).select_from(ledger_entries).where(mine)) or 0


def _least(payout: Row[Any]) -> int:
    """What the amount may not fall below while nettings are being undone (a CHECK of the table)."""
    return 0 if payout.state == UsdcStatus.DISTRIBUTED else int(payout.netted_amount)


def _follow_due(conn: Connection, row: Row[Any], due: int, now: datetime) -> None:
    """An unpaid payout with nothing due is cancelled; one that is due again goes back to the queue."""
    state = UsdcStatus(row.state)
    if state == UsdcStatus.DISTRIBUTED:
        tell_underpaid(conn, row, due, now)
        return
    if due == 0 and state not in (UsdcStatus.CANCELLED, UsdcStatus.NETTED):
        membership.unlink(conn, row.id, now)
        advance(conn, row.id, UsdcStatus.CANCELLED, now, "refunded", reason="refunded")
    elif due > 0 and state == UsdcStatus.CANCELLED:
        due_again(conn, row, "the refund failed", now)
    elif state == UsdcStatus.NETTED and due > row.netted_amount:
        due_again(conn, row, "more is due again", now)


def tell_underpaid(conn: Connection, row: Row[Any], due: int, now: datetime) -> None:
    """A refund that had made a payout smaller failed after it was paid. A recipient of a purchase is paid once, so the
    rest is a person's to pay; the ledger owes it meanwhile."""
    left = position_of(row, due).payable
    if left:
        why = f"{left} base units more are due to recipient {row.recipient_id} of payout {row.uuid}, paid before"
        ask_person(conn, UNDERPAID, str(row.id), UNDERPAID, why, now)
    else:
        ask_no_more(conn, UNDERPAID, str(row.id))
