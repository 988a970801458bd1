"""A person tells what he has settled beside the daemon, and the books follow: what he was asked to pay a recipient, and
what a recipient has paid back or is forgiven.

None of it says that a payout was sent. Each act names the figure that the person has looked at, and is refused where
that is another one by now, as it is at a repetition. They run in the caller's transaction and raise RequestError.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, select

from domain.errors import RequestError
from domain.money import format_usdc
from domain.states import WorkState
from storage.history import note
from storage.payouts import debts, recipients, settlements
from storage.payouts.positions import position
from storage.sales.returns import UNDERPAID, tell_underpaid
from storage.statements import locked_row_of
from storage.tables import payouts, users
from storage.treasury import deposits
from storage.work import BY_HAND

SETTLED = "settled by hand: "
"""Begins the `last_error` of a job whose closing was booked."""


@dataclass(frozen=True, slots=True)
class DebtSettled:
    """Base units. `owes`: all that he owed when it was looked at; `deposit_id`: the deposit by which he repaid, if it
    came to the platform wallet."""

    way: Literal["repaid", "forgiven"]
    amount: int
    owes: int
    deposit_id: int | None
    reason: str


def asked(conn: Connection, kind: str, subject: str) -> int:
    """What a person is asked to pay now, in base units: the rest of a payout (`underpaid`), or what debts used up of
    others in vain (`overnetted`)."""
    payout = _payout(conn, subject)
    return 0 if payout is None else _asked(conn, kind, payout)


def _payout(conn: Connection, subject: str) -> Row[Any] | None:
    if not subject.isdigit():
        return None
    return conn.execute(select(payouts).where(payouts.c.id == int(subject))).one_or_none()


def _asked(conn: Connection, kind: str, payout: Row[Any]) -> int:
    return position(payout).payable if kind == UNDERPAID else debts.netted_in_vain(conn, payout)


def is_unbooked(conn: Connection, row: Row[Any]) -> bool:
    """Whether a person has closed this job while closing booked nothing (before decision 73), and its recipient's
    account is still open. He may have been paid then: nobody has written it down."""
    closed = row.kind in BY_HAND and row.state == WorkState.DONE
    return closed and not (row.last_error or "").startswith(SETTLED) and asked(conn, row.kind, row.subject) > 0


def lock_for(conn: Connection, subject: str) -> None:
    """Whoever else changes what its recipient is owed waits, as in ADR 66: before the row of work is locked."""
    payout = _payout(conn, subject)
    if payout is not None:
        recipients.lock(conn, [payout.recipient_id])


def settle_asked(conn: Connection, kind: str, subject: str, amount: int, reason: str, now: datetime) -> None:
    """A person has paid what he was asked for. Raises RequestError 409 `amount_differs`."""
    wanted = asked(conn, kind, subject)
    if amount != wanted:
        raise RequestError(
            409,
            "amount_differs",
            f"{format_usdc(wanted)} USDC are to be paid by hand now, not {format_usdc(amount)}: look again, and give "
            "what was paid; it is all of it or nothing",
            "amount",
        )
    if not subject.isdigit() or not wanted:
        return
    payout = conn.execute(locked_row_of(payouts), {"which": int(subject)}).one()
    settlements.pay(conn, payout, amount, now)
    _note(conn, payout, f"{kind} settled by hand with {format_usdc(amount)} USDC: {reason}", now)


def ask_anew(conn: Connection, subject: str, now: datetime) -> None:
    """Once the row is closed: what is left for a person after it, of this payout or of its recipient's others."""
    payout = _payout(conn, subject)
    if payout is not None:
        tell_underpaid(conn, payout, payout.amount, now)
        debts.net_debts(conn, payout.recipient_id, now)


def settle_debt(conn: Connection, recipient_id: int, wish: DebtSettled, now: datetime) -> int:
    """What a recipient has paid back, or is forgiven, of what he owes, for the oldest payouts first; what he owes then.

    Raises RequestError 404 `user_not_found`, 409 `debt_differs` or `too_much`, and as `deposits.take_for_debt`.
    """
    recipients.lock(conn, [recipient_id])
    if conn.scalar(select(users.c.id).where(users.c.id == recipient_id)) is None:
        raise RequestError(404, "user_not_found", f"there is no user {recipient_id}")
    standing = debts.open_debts(conn, recipient_id)
    owes = sum(amount for _, amount in standing)
    if owes != wish.owes:
        told = f"user {recipient_id} owes {format_usdc(owes)} USDC now, not {format_usdc(wish.owes)}: look again"
        raise RequestError(409, "debt_differs", told, "owes")
    if not 0 < wish.amount <= owes:
        raise RequestError(409, "too_much", f"user {recipient_id} owes {format_usdc(owes)} USDC", "amount")
    if wish.deposit_id is not None:
        deposits.take_for_debt(conn, wish.deposit_id, wish.amount)
    left = wish.amount
    for debtor, amount in standing:
        part = min(left, amount)
        if part:
            locked = conn.execute(locked_row_of(payouts), {"which": debtor.id}).one()
            _settle_part(conn, locked, part, wish, now)
        left -= part
    debts.net_debts(conn, recipient_id, now)
    return owes - wish.amount


def _settle_part(conn: Connection, debtor: Row[Any], amount: int, wish: DebtSettled, now: datetime) -> None:
    if wish.way == "repaid":
        settlements.repay(conn, debtor, amount, wish.deposit_id, now)
    else:
        settlements.forgive(conn, debtor, amount, now)
    _note(conn, debtor, f"{format_usdc(amount)} USDC of its debt {wish.way}: {wish.reason}", now)


def _note(conn: Connection, payout: Row[Any], why: str, now: datetime) -> None:
    note(conn, "payout", payout.id, payout.state, payout.state, now, why)
