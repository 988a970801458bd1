"""One sale held against four books: Stripe's balance transactions, our ledger, Circle's transactions, the chain.

Pure: facts in, a verdict out. Green: all four say the same and nothing is open. Explained: what is open, or differs,
has a reason that ends by itself or is somebody's decision. Red: nothing explains it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from enum import StrEnum

from domain.states import PurchaseStatus, UsdcStatus

HOUR_UTC = 3
"""When the daily reconciliation is due: a quiet hour, well before a Monday's plan."""


class Colour(StrEnum):
    GREEN = "green"
    EXPLAINED = "explained"
    RED = "red"


@dataclass(frozen=True, slots=True)
class Verdict:
    """`code` is short and bounded, for counts; `why` a sentence for the operator."""

    colour: Colour
    code: str = ""
    why: str = ""


GREEN = Verdict(Colour.GREEN)


@dataclass(frozen=True, slots=True)
class AtStripe:
    """One balance transaction. Cents; `amount` as Stripe signs it, `net` = amount − fee."""

    id: str
    source: str
    amount: int
    fee: int

    @property
    def net(self) -> int:
        return self.amount - self.fee


@dataclass(frozen=True, slots=True)
class Back:
    """A refund (`taken` is its amount while it stands) or a dispute (`taken` withdrawn, `fee` its fees), in cents.
    `is_pending`: Stripe may have moved the money already, and books count it once it has succeeded."""

    id: str
    taken: int
    fee: int = 0
    is_pending: bool = False


@dataclass(frozen=True, slots=True)
class AtCircle:
    state: str
    amount: int | None
    destination: str | None
    signature: str | None


@dataclass(frozen=True, slots=True)
class Payment:
    """A movement that paid payouts of the sale. `moved` is what the finalized chain shows for its signature in base
    units, None for nothing; `by_circle` whether Circle was asked for it, `circle` what Circle shows."""

    reference: str
    signature: str
    amount: int
    destination: str
    moved: int | None
    by_circle: bool
    circle: AtCircle | None


@dataclass(frozen=True, slots=True)
class Due:
    """One payout. Base units; `settled` by hand, beside what was paid."""

    recipient_id: int
    state: UsdcStatus
    amount: int
    netted: int
    paid: int
    reason: str | None
    settled: int = 0


@dataclass(frozen=True, slots=True)
class SaleFacts:
    """One paid sale. `booked` is what the ledger has moved on Stripe's balance for it (cents). `is_fresh`: the ledger
    has changed since Stripe and Circle were listed, so that a difference may be only that."""

    status: PurchaseStatus
    status_reason: str | None
    hold_reason: str | None
    gross: int
    fee: int | None
    balance_transaction_id: str | None
    at_stripe: Sequence[AtStripe]
    refunds: Sequence[Back]
    disputes: Sequence[Back]
    booked: int
    payments: Sequence[Payment]
    dues: Sequence[Due]
    is_fresh: bool


def judge(sale: SaleFacts) -> Verdict:
    """The verdict on one sale: a difference first, then what is open."""
    difference = _at_stripe(sale) or _paid(sale)
    if difference is not None and sale.is_fresh and difference.colour is Colour.RED:
        return Verdict(Colour.EXPLAINED, "changed_meanwhile", f"it changed while it was looked at: {difference.why}")
    return difference or _open(sale) or GREEN


def _red(code: str, why: str) -> Verdict:
    return Verdict(Colour.RED, code, why)


def _explained(code: str, why: str) -> Verdict:
    return Verdict(Colour.EXPLAINED, code, why)


def _at_stripe(sale: SaleFacts) -> Verdict | None:
    if sale.fee is None:
        return None
    charge = next((one for one in sale.at_stripe if one.id == sale.balance_transaction_id), None)
    if charge is None:
        return _red("charge_missing", f"Stripe lists no balance transaction {sale.balance_transaction_id}")
    if (charge.amount, charge.fee) != (sale.gross, sale.fee):
        told = f"{charge.amount} with a fee of {charge.fee}"
        return _red("charge_differs", f"{charge.id} is {told} at Stripe, {sale.gross} with {sale.fee} here")
    found = next(filter(None, (_returned(sale, back) for back in (*sale.refunds, *sale.disputes))), None)
    if found is not None:
        return found
    listed = sum(one.net for one in sale.at_stripe)
    if listed != sale.booked:
        return _red("ledger_differs", f"Stripe's balance moved by {listed} cents for it, the ledger has {sale.booked}")
    return None


def _returned(sale: SaleFacts, back: Back) -> Verdict | None:
    if back.is_pending:
        return _explained("refund_pending", f"refund {back.id} is on its way")
    mine = [one for one in sale.at_stripe if one.source == back.id]
    taken, fee = -sum(one.amount for one in mine), sum(one.fee for one in mine)
    if (taken, fee) == (back.taken, back.fee):
        return None
    why = f"{back.id} took {taken} and a fee of {fee} at Stripe, {back.taken} and {back.fee} here"
    return _red("return_differs", why)


def _paid(sale: SaleFacts) -> Verdict | None:
    for payment in sale.payments:
        if payment.moved != payment.amount:
            shown = "nothing" if payment.moved is None else str(payment.moved)
            return _red("chain_differs", f"{payment.signature} moved {shown}, {payment.amount} were paid by it")
        if payment.by_circle:
            found = _by_circle(payment)
            if found is not None:
                return found
    return None


def _by_circle(payment: Payment) -> Verdict | None:
    seen = payment.circle
    if seen is None:
        return _red("circle_missing", f"Circle lists no transaction for {payment.reference}")
    told = (seen.amount, seen.destination, seen.signature)
    if told != (payment.amount, payment.destination, payment.signature):
        return _red("circle_differs", f"Circle has {told} for {payment.reference}")
    if seen.state in {"FAILED", "DENIED", "CANCELLED"}:
        return _red("circle_denies", f"Circle calls {payment.reference} {seen.state}, the chain shows it paid")
    if seen.state != "COMPLETE":
        return _explained("circle_lags", f"Circle calls {payment.reference} {seen.state}; the chain is final")
    return None


_WAITS = {
    PurchaseStatus.PAYMENT_COMPLETED: ("not_minted", "the NFT is not minted yet"),
    PurchaseStatus.MINTING: ("minting", "the mint is under way, or its outcome is being looked up"),
    PurchaseStatus.FAILED: ("mint_failed", "the mint failed and can be retried"),
}
_UNPAID = {
    UsdcStatus.ON_HOLD: ("held", "held"),
    UsdcStatus.FAILED: ("payout_failed", "not paid, can be retried"),
    UsdcStatus.PENDING_CONVERSION: ("waits_for_conversion", "no deposit covers it yet"),
    UsdcStatus.PENDING_DISTRIBUTION: ("waits_for_payout", "covered, and planned or on its way"),
}


def _open(sale: SaleFacts) -> Verdict | None:
    return next(_open_reasons(sale), None)


def _open_reasons(sale: SaleFacts) -> Iterator[Verdict]:
    """What is not at its end, the most telling first."""
    if sale.fee is None:
        yield _explained("fee_unknown", "Stripe has not named the fee, or it was not fetched yet")
    if sale.status in _WAITS:
        code, why = _WAITS[sale.status]
        yield _explained(code, f"{why}{_because(sale.status_reason)}")
    if sale.hold_reason is not None:
        yield _explained("held", sale.hold_reason)
    for state, (code, why) in _UNPAID.items():
        for due in sale.dues:
            if due.state is state:
                yield _explained(code, f"recipient {due.recipient_id}: {why}{_because(due.reason)}")
    for due in sale.dues:
        got = due.paid + due.netted + due.settled
        if due.paid and got > due.amount:
            yield _explained("paid_beyond_due", f"recipient {due.recipient_id} got more than is due now: his debt")
        if due.paid and got < due.amount:
            yield _explained("paid_below_due", f"recipient {due.recipient_id} is due more again: a person decides")


def _because(reason: str | None) -> str:
    return f" ({reason})" if reason else ""


def is_due(now: datetime, last_started: datetime | None, installed_at: datetime) -> bool:
    """Whether the daily reconciliation is to run: an hour of 03:00 UTC has passed since the last one began. What began
    later than now did so by a clock that has been set back since."""
    utc = now.astimezone(UTC)
    today = datetime.combine(utc.date(), time(HOUR_UTC), tzinfo=UTC)
    latest = today if today <= utc else today - timedelta(days=1)
    known = [moment for moment in (installed_at, last_started) if moment is not None and moment <= now]
    return not known or latest > max(known)
