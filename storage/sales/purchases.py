"""Purchases: born from Stripe's events, paid, priced, minted, owed. Every function runs in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, insert, select, update

from domain.errors import Misuse, Rejected
from domain.keys import uuid4_shaped
from domain.ledger import fee_final, sale_due, sale_paid
from domain.money import SHARE_WHOLE_BPS, cents_to_base_units
from domain.split import SplitRule, share_out, split_net
from domain.states import PurchaseStatus, UsdcStatus
from storage.books.ledger import post
from storage.history import advance, advance_from, note
from storage.mints import mint_payouts
from storage.payouts import recipients
from storage.sales import early_reversals, session_ends
from storage.sales.checkouts import Mark, find
from storage.statements import ONE, change_of, locked_row_of, row_of
from storage.tables import (
    content_shares,
    contents,
    payouts,
    purchases,
)
from storage.work import enqueue

SOLD_OUT = "sold_out"
PAYMENT_FAILED = "payment_failed"


@dataclass(frozen=True, slots=True)
class Payment:
    """A card payment that Stripe calls succeeded. `paid_at` is Stripe's time of success."""

    payment_intent_id: str
    charge_id: str | None
    gross_cents: int
    currency: str
    paid_at: datetime


@dataclass(frozen=True, slots=True)
class Fee:
    """What the balance transaction names. Cents; `available_on` is when Stripe's money may be used."""

    balance_transaction_id: str
    charge_id: str
    gross_cents: int
    fee_cents: int
    net_cents: int
    available_on: datetime


def by_id(conn: Connection, purchase_id: int) -> Row[Any] | None:
    return conn.execute(row_of(purchases), {"which": purchase_id}).one_or_none()


def required(conn: Connection, purchase_id: int) -> Row[Any]:
    """The purchase, locked for the rest of the transaction where the database has row locks."""
    return _required(conn, locked_row_of(purchases), purchase_id)


def looked_at(conn: Connection, purchase_id: int) -> Row[Any]:
    """The purchase, not locked: also for reads, which can't lock."""
    return _required(conn, row_of(purchases), purchase_id)


def _required(conn: Connection, asked: Select[Any], purchase_id: int) -> Row[Any]:
    row = conn.execute(asked, {"which": purchase_id}).one_or_none()
    if row is None:
        raise Misuse(f"no purchase {purchase_id}")
    return row


def id_of_payment_intent(conn: Connection, payment_intent_id: str) -> int | None:
    return conn.scalar(_OF_PAYMENT_INTENT, {"of": payment_intent_id})


_OF_PAYMENT_INTENT = select(purchases.c.id).where(purchases.c.stripe_payment_intent_id == bindparam("of"))


def ensure(
    conn: Connection,
    mark: Mark,
    now: datetime,
    payment_intent_id: str | None = None,
    session_id: str | None = None,
) -> int:
    """The purchase of a checkout, made if this is the first event that tells of it; fills in Stripe's ids.

    Raises Rejected when neither the checkout nor what it sold to whom is ours, or when the ids contradict the row's.
    """
    checkout = find(conn, mark, now)
    if checkout is None:
        raise Rejected("unknown_checkout", f"no checkout {mark.checkout!r} is ours; the event waits for a person")
    found = conn.execute(_OF_CHECKOUT, {"of": checkout.id}).one_or_none()
    if found is None:
        return _create(conn, checkout, now, payment_intent_id, session_id)
    _fill(conn, found, "stripe_payment_intent_id", payment_intent_id)
    _fill(conn, found, "stripe_checkout_session_id", session_id)
    return int(found.id)


def _create(
    conn: Connection, checkout: Row[Any], now: datetime, payment_intent_id: str | None, session_id: str | None
) -> int:
    sold = {"content_id": checkout.content_id, "buyer_id": checkout.buyer_id, "gross_amount": checkout.price_cents}
    told = {"stripe_payment_intent_id": payment_intent_id, "stripe_checkout_session_id": session_id}
    born = {"uuid": checkout.uuid, "checkout_id": checkout.id, "status": PurchaseStatus.PENDING, "created_at": now}
    purchase_id = conn.scalar(_CREATE, {**born, **sold, **told, "edition_held": False})
    assert purchase_id is not None
    note(conn, "purchase", purchase_id, None, PurchaseStatus.PENDING, now)
    return int(purchase_id)


_OF_CHECKOUT = select(purchases).where(purchases.c.checkout_id == bindparam("of")).with_for_update()
_CREATE = insert(purchases).returning(purchases.c.id)


def _fill(conn: Connection, row: Row[Any], column: str, value: str | None) -> None:
    stored = row._mapping[column]  # noqa: SLF001 (SQLAlchemy's public name for a row by column)
    if value is None or stored == value:
        return
    if stored is not None:
        raise Rejected("contradiction", f"purchase {row.id} has {column} {stored}, an event says {value}")
    conn.execute(change_of(purchases), {"which": row.id, column: value})


def record_payment(conn: Connection, purchase_id: int, payment: Payment, now: datetime) -> None:
    """Stripe reports success: the money is booked, the edition taken, the mint queued. Idempotent.

    Raises Rejected when the amount or currency is not what was asked for, or when the payment had failed before: a
    person decides, nothing is minted.
    """
    row = required(conn, purchase_id)
    if row.status_reason == PAYMENT_FAILED:
        raise Rejected("paid_after_all", f"purchase {purchase_id} was paid after its payment had failed: refund it")
    if row.status != PurchaseStatus.PENDING:
        return
    if payment.currency != "usd" or payment.gross_cents != row.gross_amount:
        raise Rejected(
            "amount_mismatch",
            f"purchase {purchase_id}: {payment.gross_cents} {payment.currency} were paid, "
            f"{row.gross_amount} usd were asked for",
        )
    advance_from(
        conn,
        purchase_id,
        row.status,
        PurchaseStatus.PAYMENT_COMPLETED,
        now,
        paid_at=payment.paid_at,
        stripe_charge_id=payment.charge_id,
    )
    post(conn, sale_paid(payment.payment_intent_id, payment.gross_cents), now)
    came_back = early_reversals.revive(conn, payment.payment_intent_id, now)
    enqueue(conn, "fee", purchase_id, now)
    if take_edition(conn, row, now):
        enqueue(conn, "mint", purchase_id, now, now + early_reversals.BOOKED_FIRST if came_back else None)


def take_edition(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """Take one edition for a paid purchase, once; False for the loser of a sold-out race, whose refund is queued.

    `row` is the purchase as this transaction has read and locked it.
    """
    if row.status_reason == SOLD_OUT:
        return bool(row.edition_held)
    if reserve_edition(conn, row, now):
        return True
    conn.execute(change_of(purchases), {"which": row.id, "status_reason": SOLD_OUT})
    enqueue(conn, "refund", row.id, now)
    return False


def reserve_edition(conn: Connection, row: Row[Any], now: datetime) -> bool:
    """Take one edition for a purchase that its Session calls paid, if one is left and it has none; False where it has
    none all the same. `row` as for `take_edition`."""
    return bool(row.edition_held) or hold_edition(conn, row.id, now)


def hold_edition(conn: Connection, purchase_id: int, now: datetime) -> bool:
    """Take one edition in one conditional UPDATE; False when none is left. The caller knows that none is held. With
    the last one the work's open Sessions end."""
    content = conn.execute(_TAKE_ONE, {"of": purchase_id}).one_or_none()
    if content is None:
        return False
    conn.execute(change_of(purchases), {"which": purchase_id, "edition_held": True})
    if content.editions_taken == content.editions:
        session_ends.end_all(conn, content.id, now)
    return True


_TAKE_ONE = (
    update(contents)
    .where(contents.c.id == select(purchases.c.content_id).where(purchases.c.id == bindparam("of")).scalar_subquery())
    .where((contents.c.editions.is_(None)) | (contents.c.editions_taken < contents.c.editions))
    .values(editions_taken=contents.c.editions_taken + 1)
    .returning(contents.c.id, contents.c.editions, contents.c.editions_taken)
)


def return_edition(conn: Connection, purchase_id: int) -> None:
    """Give the edition back; only a purchase that holds one gives one back."""
    row = required(conn, purchase_id)
    if not row.edition_held:
        return
    conn.execute(change_of(purchases), {"which": purchase_id, "edition_held": False, "edition_number": None})
    conn.execute(_GIVE_ONE_BACK, {"which": row.content_id})


_GIVE_ONE_BACK = change_of(contents).values(editions_taken=contents.c.editions_taken - 1)


def edition_number(conn: Connection, purchase_id: int) -> int:
    """The purchase's number within its content ("Title #7"), given at its first mint and kept for good.

    A number that a refunded purchase gave back is given again, so that a limited edition is numbered 1 to n.
    """
    row = required(conn, purchase_id)
    if row.edition_number is not None:
        return int(row.edition_number)
    numbered = conn.execute(_NUMBER_ONE, {"which": row.content_id}).one()
    number = int(numbered.editions_numbered)
    if numbered.editions is not None and number > numbered.editions:
        used = select(purchases.c.edition_number).where(
            purchases.c.content_id == row.content_id, purchases.c.edition_number.is_not(None)
        )
        taken = set(conn.scalars(used))
        number = next(free for free in range(1, numbered.editions + 1) if free not in taken)
    conn.execute(change_of(purchases), {"which": purchase_id, "edition_number": number})
    return number


_NUMBER_ONE = (
    change_of(contents)
    .values(editions_numbered=contents.c.editions_numbered + 1)
    .returning(contents.c.editions_numbered, contents.c.editions)
)


def record_fee(conn: Connection, purchase_id: int, fee: Fee, rule: SplitRule, now: datetime) -> None:
    """The fee is final: net, split and ledger follow from it. Idempotent.

    Raises Rejected when the balance transaction is not of this sale's amount.
    """
    row = required(conn, purchase_id)
    if row.stripe_fee is not None:
        return
    if fee.gross_cents != row.gross_amount or fee.net_cents != fee.gross_cents - fee.fee_cents or fee.net_cents < 0:
        raise Rejected("fee_mismatch", f"purchase {purchase_id}: {fee.balance_transaction_id} does not fit the sale")
    split = split_net(cents_to_base_units(fee.net_cents), rule)
    final = {
        "stripe_fee": fee.fee_cents,
        "net_after_stripe": fee.net_cents,
        "stripe_balance_transaction_id": fee.balance_transaction_id,
        "stripe_charge_id": fee.charge_id,
        "available_on": fee.available_on,
        "split_rule": f"{rule.creator_bps} bps, step {rule.step}, {rule.rounding}",
        "creator_amount": split.creator,
        "platform_amount": split.platform,
    }
    conn.execute(change_of(purchases), {"which": purchase_id, **final})
    post(conn, fee_final(row.stripe_payment_intent_id, fee.gross_cents, fee.fee_cents), now)
    open_payouts(conn, purchase_id, now)


def open_payouts(conn: Connection, purchase_id: int, now: datetime) -> bool:
    """Make the recipients' payouts once the NFT is minted **and** the fee is final; True when they exist.

    An operator's release stands in for an NFT whose buyer has no wallet. Idempotent: called by whichever comes last.
    Never while the mint itself may still pay the recipients: its end calls it.
    """
    row = required(conn, purchase_id)
    if mint_payouts.under_way(conn, purchase_id):
        return False
    if (row.minted_at is None and row.released_at is None) or row.creator_amount is None:
        return False
    if conn.scalar(_ANY_PAYOUT, {"of": purchase_id}) is not None:
        return True
    shares = shares_of(conn, row.content_id)
    parts = share_out(row.creator_amount, shares)
    recipients.lock(conn, parts)
    author = conn.scalar(_AUTHOR, {"which": row.content_id})
    ordered = sorted(parts, key=lambda user: (user != author, user))
    state = UsdcStatus.ON_HOLD if row.hold_reason else UsdcStatus.PENDING_CONVERSION
    for number, user in enumerate(ordered, start=1):
        if parts[user] == 0:
            continue
        born = {
            "uuid": _payout_uuid(row.uuid, number),
            "purchase_id": purchase_id,
            "recipient_id": user,
            "recipient_number": number,
            "share_bps": shares[user],
            "amount": parts[user],
            "state": state,
            "state_before_hold": UsdcStatus.PENDING_CONVERSION if row.hold_reason else None,
            "reason": row.hold_reason,
            "paid_at": row.paid_at,
            "created_at": now,
        }
        payout_id = conn.scalar(_BORN, born)
        note(conn, "payout", payout_id or 0, None, state, now, row.hold_reason)
    net = cents_to_base_units(row.net_after_stripe)
    post(conn, sale_due(row.stripe_payment_intent_id, net, row.platform_amount, parts), now)
    enqueue(conn, "fund", "treasury", now)
    return True


_ANY_PAYOUT = select(payouts.c.id).where(payouts.c.purchase_id == bindparam("of")).limit(ONE)
_AUTHOR = select(contents.c.author_id).where(contents.c.id == bindparam("which"))
_BORN = insert(payouts).returning(payouts.c.id)


def _payout_uuid(purchase_uuid: str, number: int) -> str:
    return str(uuid4_shaped("payout", purchase_uuid, str(number)))


def shares_of(conn: Connection, content_id: int) -> dict[int, int]:
    """Recipient → basis points of the creator side; the author alone where no collaborators were named."""
    rows = conn.execute(_SHARES, {"of": content_id}).all()
    if rows:
        return {row.user_id: row.share_bps for row in rows}
    author = conn.scalar(_AUTHOR, {"which": content_id})
    if author is None:
        raise Misuse(f"no content {content_id}")
    return {author: SHARE_WHOLE_BPS}


_SHARES = select(content_shares.c.user_id, content_shares.c.share_bps).where(
    content_shares.c.content_id == bindparam("of")
)


def fail_payment(conn: Connection, purchase_id: int, now: datetime) -> None:
    """A delayed payment failed for good: `failed`, reason `payment_failed`, never retried. Idempotent."""
    row = required(conn, purchase_id)
    if row.status != PurchaseStatus.PENDING:
        return
    return_edition(conn, purchase_id)
    advance(conn, purchase_id, PurchaseStatus.FAILED, now, PAYMENT_FAILED, status_reason=PAYMENT_FAILED)


def payout_address(user: Row[Any]) -> str | None:
    """Where a user is paid: his Circle wallet, else the external address of users from before."""
    address: str | None = user.circle_wallet_address or user.wallet_address
    return address
