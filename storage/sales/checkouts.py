"""Checkout Sessions: the intent with its key and exact parameters, committed before Stripe is asked."""

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from functools import cache
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, bindparam, select
from sqlalchemy.sql.dml import ReturningInsert

from domain.errors import Misuse, RequestError
from domain.keys import uuid4_shaped
from domain.states import CheckoutState
from storage.history import advance, advance_from, note
from storage.sales.session_ends import end_if_over
from storage.statements import among, insert_into, locked_row_of, row_of
from storage.tables import checkouts, contents, purchases, users

LIVE = (CheckoutState.CREATING, CheckoutState.OPEN)
MADE_ANEW = "made anew: its Session is younger than the backup that was restored"


@dataclass(frozen=True, slots=True)
class Mark:
    """Our UUIDs on a Session and its payment: of the checkout, and of what was sold to whom. With the latter two a sale
    is found again that a restored backup does not know. Empty where a Session of former times has none."""

    checkout: str
    content: str = ""
    buyer: str = ""

    def as_metadata(self) -> dict[str, str]:
        """As Stripe keeps it."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Wanted:
    """A buyer's wish. `uuid` and `idempotency_key` are random and chosen before the transaction."""

    uuid: str
    idempotency_key: str
    content_id: int
    buyer_id: int
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Checkout:
    """One stored Session. `params` is what Stripe is sent, whichever time it is sent."""

    id: int
    uuid: str
    idempotency_key: str
    params: dict[str, Any]
    state: CheckoutState
    stripe_session_id: str | None
    url: str | None
    price_cents: int
    expires_at: datetime


def for_sale(conn: Connection, content_id: int) -> Row[Any]:
    """The content, if it can be bought now. Raises RequestError 404 `content_not_found` or 409 `sold_out`."""
    row = conn.execute(row_of(contents), {"which": content_id}).one_or_none()
    if row is None or row.taken_down_at is not None:
        raise RequestError(404, "content_not_found", f"there is no content {content_id} for sale")
    if row.editions is not None and row.editions_taken >= row.editions:
        raise RequestError(409, "sold_out", "all editions of this content are sold")
    return row


def begin(conn: Connection, wanted: Wanted, price_cents: int, params: dict[str, Any], now: datetime) -> Checkout:
    """The buyer's live checkout of this content: the one there is, or a new row with `params` and its key.

    One that has run out is closed and replaced. Of two requests that race, both get the same row. Raises as `for_sale`.
    """
    content = for_sale(conn, wanted.content_id)
    if content.price_cents != price_cents:
        raise Misuse(f"content {wanted.content_id} changed its price between two reads")
    live = _live(conn, wanted)
    if live is not None and live.expires_at <= now:
        advance(conn, live.id, CheckoutState.EXPIRED, now, "its time is over")
        live = None
    if live is not None:
        return _read(live)
    born = {"params": json.dumps(params), "state": CheckoutState.CREATING, "price_cents": price_cents}
    made = conn.scalar(_born(conn.dialect.name), {**asdict(wanted), **born, "created_at": now})
    if made is not None:
        note(conn, "checkout", made, None, CheckoutState.CREATING, now)
    found = _live(conn, wanted)
    if found is None:
        raise Misuse(f"checkout of content {wanted.content_id} by user {wanted.buyer_id} vanished")
    return _read(found)


@cache
def _born(dialect: str) -> ReturningInsert[Any]:
    return insert_into(checkouts, dialect).on_conflict_do_nothing().returning(checkouts.c.id)


def find(conn: Connection, mark: Mark, now: datetime) -> Row[Any] | None:
    """The checkout that a Session is marked with, locked; made anew where only its content and its buyer are known.

    None when they are not known either. What was paid is held against the content's price like any payment.
    """
    found = conn.execute(_MARKED, {"of": mark.checkout}).one_or_none()
    if found is None and _make_anew(conn, mark, now):
        found = conn.execute(_MARKED, {"of": mark.checkout}).one()
    return found


_MARKED = select(checkouts).where(checkouts.c.uuid == bindparam("of")).with_for_update()


def _make_anew(conn: Connection, mark: Mark, now: datetime) -> bool:
    content = conn.execute(select(contents).where(contents.c.uuid == mark.content)).one_or_none()
    buyer_id = conn.scalar(select(users.c.id).where(users.c.uuid == mark.buyer))
    if content is None or buyer_id is None or not _is_uuid(mark.checkout):
        return False
    made = conn.scalar(
        _born(conn.dialect.name),
        {
            "uuid": mark.checkout,
            "content_id": content.id,
            "buyer_id": buyer_id,
            "idempotency_key": str(uuid4_shaped("checkout made anew", mark.checkout)),
            "params": json.dumps({"metadata": mark.as_metadata()}),
            "state": CheckoutState.COMPLETED,  # from its birth on: the buyer may have another one open
            "price_cents": content.price_cents,
            "expires_at": now,
            "created_at": now,
        },
    )
    if made is not None:
        note(conn, "checkout", made, None, CheckoutState.CREATING, now)
        note(conn, "checkout", made, CheckoutState.CREATING, CheckoutState.COMPLETED, now, MADE_ANEW)
    return True


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def opened(conn: Connection, checkout_id: int, session_id: str, url: str, now: datetime) -> Checkout:
    """Stripe made the Session. Idempotent: the same Session may be reported twice, or be paid already.

    Raises Misuse when the row names another Session.
    """
    row = conn.execute(locked_row_of(checkouts), {"which": checkout_id}).one()
    if row.stripe_session_id not in (None, session_id):
        raise Misuse(f"checkout {checkout_id} is Session {row.stripe_session_id}, Stripe now says {session_id}")
    if row.state == CheckoutState.CREATING:
        named = {"stripe_session_id": session_id, "url": url}
        advance_from(conn, checkout_id, row.state, CheckoutState.OPEN, now, **named)
        end_if_over(conn, checkout_id, now)
    return _read(conn.execute(row_of(checkouts), {"which": checkout_id}).one())


def complete(conn: Connection, purchase_id: int, now: datetime) -> None:
    """The purchase's buyer has gone through the Session: it is closed for him."""
    checkout = conn.execute(_CHECKOUT_OF, {"of": purchase_id}).one_or_none()
    if checkout is not None and checkout.state != CheckoutState.COMPLETED:
        advance_from(conn, checkout.id, checkout.state, CheckoutState.COMPLETED, now)


_CHECKOUT_OF = (
    select(checkouts.c.id, checkouts.c.state)
    .join(purchases, purchases.c.checkout_id == checkouts.c.id)
    .where(purchases.c.id == bindparam("of"))
    .with_for_update(of=checkouts)
)


def abandon(conn: Connection, checkout_id: int, reason: str, now: datetime) -> None:
    """No Session came of it, or it is over: the buyer's next request starts anew."""
    state = conn.scalar(select(checkouts.c.state).where(checkouts.c.id == checkout_id).with_for_update())
    if state in LIVE:
        advance(conn, checkout_id, CheckoutState.EXPIRED, now, reason)


def _live(conn: Connection, wanted: Wanted) -> Row[Any] | None:
    return conn.execute(_LIVE, {"what": wanted.content_id, "whose": wanted.buyer_id}).one_or_none()


_LIVE = (
    select(checkouts)
    .where(
        checkouts.c.content_id == bindparam("what"),
        checkouts.c.buyer_id == bindparam("whose"),
        checkouts.c.state.in_(among(LIVE)),
    )
    .with_for_update()
)


def _read(row: Row[Any]) -> Checkout:
    return Checkout(
        id=row.id,
        uuid=row.uuid,
        idempotency_key=row.idempotency_key,
        params=json.loads(row.params),
        state=CheckoutState(row.state),
        stripe_session_id=row.stripe_session_id,
        url=row.url,
        price_cents=row.price_cents,
        expires_at=row.expires_at,
    )
