"""What each Stripe event changes. An event is a fact that was stored first; here it is worked on, once, in any order.

No handler calls Stripe: what an event does not tell is fetched by a job that it makes due (the fee).
"""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, select

from domain.errors import Rejected
from domain.foreign_text import STRIPE_ID_CHARS, WORDS_CHARS, fits, kept
from domain.keys import is_payment_intent_id
from domain.money import AMOUNT_MAX
from domain.outcomes import Commit, Done, Outcome, Refused, nothing
from domain.refunds import refund_state
from domain.states import STATE_CHARS, PurchaseStatus
from ports.clock import Clock
from storage.sales import early_reversals
from storage.sales import purchases as rows
from storage.sales.checkouts import Mark, abandon, complete
from storage.sales.early_reversals import EARLY
from storage.sales.purchases import Payment
from storage.sales.returns import DisputeSeen, RefundSeen, record_dispute, record_refund
from storage.store import Store
from storage.tables import checkouts
from storage.work import Claim, enqueue

REVERSALS = ("refund.", "charge.refunded", "charge.dispute.")
Handler = Callable[[Connection, Mapping[str, Any], datetime, datetime], None]
"""(connection, data.object, event's own time, now)."""


class StripeEventStep:
    """Kind `stripe_event`: works one inbox row on."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock

    async def run(self, claim: Claim) -> Outcome:
        event = parse_event(claim.body)
        handler = HANDLERS.get(event["type"])
        if handler is None:
            return Done()
        subject, happened = _told(event)
        early = None
        if event["type"].startswith(REVERSALS):
            early = await self._store.read(lambda conn: _overtook_its_sale(conn, subject))
        if early is not None:
            why = f"{event['type']} of {early} came before its sale; the sale's arrival revives it"
            return Refused(EARLY, why, lambda conn: early_reversals.file(conn, claim.id, early))
        return Done(lambda conn: handler(conn, subject, happened, self._clock.now()))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def parse_event(body: bytes) -> dict[str, Any]:
    """The event as a dict with a type; raises Rejected for anything that is no event (it was signed, so it waits for a
    person)."""
    try:
        event = json.loads(body, parse_constant=_refuse_constant, parse_float=Decimal, object_pairs_hook=_once)
        if not isinstance(event["type"], str):
            raise Rejected("malformed_event", "the event has no type")
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise Rejected("malformed_event", f"not an event: {type(error).__name__}") from None
    return dict(event)


def _told(event: Mapping[str, Any]) -> tuple[Mapping[str, Any], datetime]:
    """The object and the time of an event that is booked. Only these need them: Stripe's thin events have neither."""
    data, created = event.get("data"), event.get("created")
    subject = data.get("object") if isinstance(data, dict) else None
    if not isinstance(subject, dict) or not isinstance(created, int):
        raise Rejected("malformed_event", "the event has no object or no time")
    try:
        return subject, datetime.fromtimestamp(created, UTC)
    except (OverflowError, ValueError):
        raise Rejected("malformed_event", "the event's time is out of range") from None


def _refuse_constant(text: str) -> Any:
    raise ValueError(f"{text} is no JSON")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _text(subject: Mapping[str, Any], name: str) -> str | None:
    value = subject.get(name)
    found = value.get("id") if isinstance(value, dict) else value
    if found is None and value is None:
        return None
    if not isinstance(found, str):
        raise Rejected("malformed_event", f"'{name}' is neither an id nor an object")
    if not fits(found, STRIPE_ID_CHARS):
        raise Rejected("malformed_event", f"'{name}' has another form than Stripe's ids")
    return found


def _integer(subject: Mapping[str, Any], name: str) -> int:
    value = subject.get(name)
    if isinstance(value, bool) or not isinstance(value, int):
        raise Rejected("malformed_event", f"'{name}' is not an integer")
    if abs(value) > AMOUNT_MAX:
        raise Rejected("malformed_event", f"'{name}' is out of range")
    return value


def _metadata(subject: Mapping[str, Any]) -> Mapping[str, str]:
    """What is text in it."""
    found = subject.get("metadata")
    given = found if isinstance(found, dict) else {}
    return {name: kept(text, WORDS_CHARS) for name, text in given.items() if isinstance(text, str)}


def _mark(subject: Mapping[str, Any]) -> Mark:
    """What our Session and its payment carry; the UUIDs of content and buyer are empty on those of former times."""
    given = _metadata(subject)
    if "checkout" not in given:
        raise Rejected("unknown_checkout", "the payment names no checkout of ours; it waits for a person")
    return Mark(given["checkout"], given.get("content", ""), given.get("buyer", ""))


def _payment_intent(subject: Mapping[str, Any], name: str) -> str | None:
    found = _text(subject, name)
    if found is not None and not is_payment_intent_id(found):
        raise Rejected("malformed_event", "the payment_intent's id has another form than Stripe's")
    return found


def payment_succeeded(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """payment_intent.succeeded: the sale is paid, and its Session open no more, whichever of the two is told first."""
    payment_intent_id = _payment_intent(subject, "id")
    if payment_intent_id is None:
        raise Rejected("malformed_event", "the payment_intent has no id")
    purchase_id = rows.ensure(conn, _mark(subject), now, payment_intent_id=payment_intent_id)
    complete(conn, purchase_id, now)
    payment = Payment(
        payment_intent_id,
        _text(subject, "latest_charge"),
        _integer(subject, "amount_received"),
        str(subject.get("currency")),
        happened,
    )
    rows.record_payment(conn, purchase_id, payment, now)


def _sold_in(conn: Connection, session: Mapping[str, Any], now: datetime) -> int:
    """The purchase of a Session that a buyer has completed: it exists from now on."""
    purchase_id = rows.ensure(
        conn,
        _mark(session),
        now,
        payment_intent_id=_payment_intent(session, "payment_intent"),
        session_id=_text(session, "id"),
    )
    complete(conn, purchase_id, now)
    return purchase_id


def session_completed(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """checkout.session.completed and .async_payment_succeeded: the purchase exists, and holds an edition once paid. Who
    finds none left has lost the race when his payment is booked, and not before: only then is the chain asked whose the
    NFT is."""
    purchase_id = _sold_in(conn, subject, now)
    row = rows.required(conn, purchase_id)
    if subject.get("payment_status") != "paid" or row.status not in (
        PurchaseStatus.PENDING,
        PurchaseStatus.PAYMENT_COMPLETED,
    ):
        return
    if _integer(subject, "amount_total") != row.gross_amount or subject.get("currency") != "usd":
        raise Rejected("amount_mismatch", f"purchase {purchase_id}: the Session's total is not what was asked for")
    if row.status == PurchaseStatus.PENDING:
        rows.reserve_edition(conn, row, now)
    elif rows.take_edition(conn, row, now):
        enqueue(conn, "mint", purchase_id, now)


def delayed_payment_failed(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """checkout.session.async_payment_failed: a delayed method did not pay after all."""
    purchase_id = _sold_in(conn, subject, now)
    rows.fail_payment(conn, purchase_id, now)


def session_expired(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """checkout.session.expired: the buyer may open another one. No purchase exists, so no edition is held; and nothing
    was paid for one that is not ours."""
    mine = checkouts.c.uuid == str(_metadata(subject).get("checkout"))
    checkout = conn.execute(select(checkouts).where(mine)).one_or_none()
    if checkout is not None:
        abandon(conn, checkout.id, "Stripe calls it expired", now)


def charge_updated(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """charge.updated with a balance transaction: the fee can be fetched now, if the sale is known already.

    One that overtook its sale needs nothing: the sale itself queues the fetch.
    """
    payment_intent_id = _payment_intent(subject, "payment_intent")
    if _text(subject, "balance_transaction") is None or payment_intent_id is None:
        return
    purchase_id = rows.id_of_payment_intent(conn, payment_intent_id)
    if purchase_id is not None and rows.required(conn, purchase_id).stripe_fee is None:
        enqueue(conn, "fee", purchase_id, now)


def refund_changed(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """refund.*: one refund, ours or made at Stripe, moved on."""
    seen = RefundSeen(
        _required_text(subject, "id"),
        _integer(subject, "amount"),
        refund_state(str(subject.get("status"))),
        _metadata(subject).get("refund"),
    )
    record_refund(conn, _known(conn, _payment_intent(subject, "payment_intent")), seen, now)


def charge_refunded(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """charge.refunded tells the charge's total only: the refunds themselves are fetched."""
    enqueue(conn, "refunds", _known(conn, _payment_intent(subject, "payment_intent")), now)


def disputed(conn: Connection, subject: Mapping[str, Any], happened: datetime, now: datetime) -> None:
    """charge.dispute.*: what is unpaid is held while it is open; its outcome counts."""
    withdrawn, fee = _dispute_money(subject)
    seen = DisputeSeen(
        _required_text(subject, "id"),
        _integer(subject, "amount"),
        _status(subject),
        withdrawn,
        fee,
        happened,
    )
    record_dispute(conn, _known(conn, _payment_intent(subject, "payment_intent")), seen, now)


def _status(subject: Mapping[str, Any]) -> str:
    """As far as it can be kept: Stripe may add states of any length."""
    found = subject.get("status")
    if not isinstance(found, str):
        raise Rejected("malformed_event", "'status' is no text")
    return kept(found, STATE_CHARS)


def _dispute_money(subject: Mapping[str, Any]) -> tuple[int, int]:
    """What Stripe took and has not given back, and its fees, in cents, by the dispute's balance transactions."""
    moved = subject.get("balance_transactions") or []
    if not isinstance(moved, list) or not all(isinstance(one, dict) for one in moved):
        raise Rejected("malformed_event", "the dispute's balance transactions are no list of objects")
    return -sum(_integer(one, "amount") for one in moved), sum(_integer(one, "fee") for one in moved)


def _required_text(subject: Mapping[str, Any], name: str) -> str:
    found = _text(subject, name)
    if found is None:
        raise Rejected("malformed_event", f"'{name}' is missing")
    return found


def _overtook_its_sale(conn: Connection, subject: Mapping[str, Any]) -> str | None:
    """The payment_intent of a refund or dispute whose sale is not booked yet."""
    payment_intent_id = _payment_intent(subject, "payment_intent")
    if payment_intent_id is None:
        raise Rejected("unknown_purchase", "the reversal names no payment_intent; it waits for a person")
    return None if early_reversals.is_paid(conn, payment_intent_id) else payment_intent_id


def _known(conn: Connection, payment_intent_id: str | None) -> int:
    found = rows.id_of_payment_intent(conn, payment_intent_id or "")
    if found is None:
        raise Rejected("unknown_purchase", f"no purchase of {payment_intent_id}; the event waits for a person")
    return found


HANDLERS: Mapping[str, Handler] = {
    "checkout.session.completed": session_completed,
    "checkout.session.async_payment_succeeded": session_completed,
    "checkout.session.async_payment_failed": delayed_payment_failed,
    "checkout.session.expired": session_expired,
    "payment_intent.succeeded": payment_succeeded,
    "charge.updated": charge_updated,
    "charge.refunded": charge_refunded,
    "refund.created": refund_changed,
    "refund.updated": refund_changed,
    "refund.failed": refund_changed,
    "charge.dispute.created": disputed,
    "charge.dispute.updated": disputed,
    "charge.dispute.funds_withdrawn": disputed,
    "charge.dispute.funds_reinstated": disputed,
    "charge.dispute.closed": disputed,
}
"""Types without a handler are stored and answered 200; `payment_intent.payment_failed` is one of them on purpose:
a declined card changes nothing, the Session stays open."""
