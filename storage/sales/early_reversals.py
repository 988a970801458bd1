"""Refunds and disputes whose events came before their sale was paid: filed under its payment_intent until it is."""

from datetime import datetime, timedelta

from sqlalchemy import Connection, bindparam, func, select, update

from domain.errors import Retryable
from domain.states import WorkState
from storage.statements import change_of, fixed
from storage.tables import purchases, stripe_events

EARLY = "before_its_sale"
"""Code of a parked refund or dispute event whose sale is not booked yet."""
BOOKED_FIRST = timedelta(seconds=10)
"""What came before its sale is booked within this time, before anything is minted."""
_LOCK = 0x6561726C
"""Class of PostgreSQL's advisory locks on payment_intents."""


def is_paid(conn: Connection, payment_intent_id: str) -> bool:
    """Whether the sale is booked. One that is only known may still be minted for all that came back of it."""
    return conn.scalar(_PAID, {"of": payment_intent_id}) is not None


_PAID = select(purchases.c.id).where(
    purchases.c.stripe_payment_intent_id == bindparam("of"), purchases.c.paid_at.is_not(None)
)


def file(conn: Connection, event_row_id: int, payment_intent_id: str) -> None:
    """File a reversal's event under the sale it waits for, in the transaction that parks it. Raises Retryable when the
    sale has come since it was looked for: nobody would revive the event any more."""
    _one_after_the_other(conn, payment_intent_id)
    if is_paid(conn, payment_intent_id):
        raise Retryable(f"the sale of {payment_intent_id} has come meanwhile")
    conn.execute(change_of(stripe_events), {"which": event_row_id, "waits_for": payment_intent_id})


def revive(conn: Connection, payment_intent_id: str, now: datetime) -> bool:
    """The sale is booked: what waited for it is due, also where a person has closed it meanwhile. Whether anything
    did."""
    _one_after_the_other(conn, payment_intent_id)
    return conn.execute(_REVIVE, {"of": payment_intent_id, "now": now}).rowcount > 0


_REVIVE = (
    update(stripe_events)
    .where(stripe_events.c.waits_for == bindparam("of"), stripe_events.c.state != fixed(WorkState.DUE))
    .values(state=fixed(WorkState.DUE), due_at=bindparam("now"), attempts=0, waits_for=None)
)


def _one_after_the_other(conn: Connection, payment_intent_id: str) -> None:
    """On PostgreSQL: of two transactions that book a sale and file its reversal, the later one sees what the earlier
    one wrote. SQLite has one writer anyway."""
    if conn.dialect.name == "postgresql":
        conn.execute(select(func.pg_advisory_xact_lock(_LOCK, func.hashtext(payment_intent_id))))
