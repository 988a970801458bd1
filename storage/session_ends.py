"""Checkout Sessions of a work whose last edition is taken: whoever paid one would only be given his money back."""

from datetime import datetime

from sqlalchemy import Connection, String, bindparam, cast, literal, select

from domain.states import CheckoutState, WorkState
from storage.statements import fixed, insert_into
from storage.tables import checkouts, contents, jobs
from storage.work import enqueue

KIND = "session_end"
_SOLD_OUT = contents.c.editions_taken >= contents.c.editions


def end_all(conn: Connection, content_id: int, now: datetime) -> None:
    """The last edition was taken: have the open Sessions of this work ended, in one statement however many there
    are."""
    columns = (jobs.c.kind, jobs.c.subject, jobs.c.state, jobs.c.due_at, jobs.c.created_at, jobs.c.attempts)
    moment = literal(now, jobs.c.due_at.type)
    open_ones = select(
        literal(KIND), cast(checkouts.c.id, String), literal(WorkState.DUE.value), moment, moment, literal(0)
    ).where(checkouts.c.content_id == content_id, checkouts.c.state == CheckoutState.OPEN)
    born = insert_into(jobs, conn.dialect.name).from_select(columns, open_ones)
    conn.execute(born.on_conflict_do_nothing(index_elements=[jobs.c.kind, jobs.c.subject]))


def end_if_sold_out(conn: Connection, checkout_id: int, now: datetime) -> None:
    """A Session that was being made when the last edition was taken has opened."""
    if conn.scalar(_TO_BE_ENDED, {"of": checkout_id}) is not None:
        enqueue(conn, KIND, checkout_id, now)


def to_be_ended(conn: Connection, checkout_id: int, now: datetime) -> str | None:
    """Stripe's id of a Session that is open and can buy nothing; None where it is over, or an edition is there
    again."""
    row = conn.execute(_TO_BE_ENDED, {"of": checkout_id}).one_or_none()
    return None if row is None or row.expires_at <= now else row.stripe_session_id


_TO_BE_ENDED = (
    select(checkouts.c.stripe_session_id, checkouts.c.expires_at)
    .join(contents, contents.c.id == checkouts.c.content_id)
    .where(checkouts.c.id == bindparam("of"), checkouts.c.state == fixed(CheckoutState.OPEN), _SOLD_OUT)
)
