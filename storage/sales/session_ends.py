"""Checkout Sessions of a work that is no longer for sale: whoever paid one would only be given his money back where its
last edition is taken, or buy what an operator has taken down."""

from datetime import datetime

from sqlalchemy import Connection, String, bindparam, cast, literal, select

from domain.states import CheckoutState, WorkState
from storage.statements import fixed, insert_into
from storage.tables import checkouts, contents, jobs
from storage.work import enqueue

KIND = "session_end"
_IS_OVER = (contents.c.editions_taken >= contents.c.editions) | contents.c.taken_down_at.is_not(None)


def end_all(conn: Connection, content_id: int, now: datetime) -> None:
    """A work is no longer for sale: have its open Sessions ended, in one statement however many there are."""
    columns = (jobs.c.kind, jobs.c.subject, jobs.c.state, jobs.c.due_at, jobs.c.created_at, jobs.c.attempts)
    moment = literal(now, jobs.c.due_at.type)
    open_ones = select(
        literal(KIND), cast(checkouts.c.id, String), literal(WorkState.DUE.value), moment, moment, literal(0)
    ).where(checkouts.c.content_id == content_id, checkouts.c.state == CheckoutState.OPEN)
    born = insert_into(jobs, conn.dialect.name).from_select(columns, open_ones)
    woken = {"due_at": moment, "wakes": jobs.c.wakes + 1}  # who looks at one now has perhaps seen an edition left
    conn.execute(born.on_conflict_do_update(index_elements=[jobs.c.kind, jobs.c.subject], set_=woken))


def end_if_over(conn: Connection, checkout_id: int, now: datetime) -> None:
    """A Session has opened; its work may have been sold out or taken down while it was being made. Who does either in
    another transaction meets this one at the work's row: one of the two sees what the other has written."""
    if (row := conn.execute(_LOCKED, {"of": checkout_id}).one_or_none()) is not None and row.is_over:
        enqueue(conn, KIND, checkout_id, now)


def to_be_ended(conn: Connection, checkout_id: int, now: datetime) -> str | None:
    """Stripe's id of a Session that is open and can buy nothing; None where it is over, or its work is for sale
    again."""
    row = conn.execute(_ASKED, {"of": checkout_id}).one_or_none()
    return row.stripe_session_id if row is not None and row.is_over and row.expires_at > now else None


_ASKED = (
    select(checkouts.c.stripe_session_id, checkouts.c.expires_at, _IS_OVER.label("is_over"))
    .join(contents, contents.c.id == checkouts.c.content_id)
    .where(checkouts.c.id == bindparam("of"), checkouts.c.state == fixed(CheckoutState.OPEN))
)
_LOCKED = _ASKED.with_for_update(read=True, of=contents)
