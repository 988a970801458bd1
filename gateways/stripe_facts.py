"""What we read from Stripe's objects. Amounts are integers in the currency's smallest unit (USD: cents)."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from domain.foreign_text import CURRENCY_CHARS, STRIPE_ID_CHARS, TYPE_CHARS
from gateways.answers import (
    Json,
    ShapeError,
    boolean,
    identifier,
    integer,
    mapping,
    optional_identifier,
    optional_integer,
    optional_text,
    rows,
    text,
    text_map,
    texts,
    unix_moment,
    words,
)


@dataclass(frozen=True, slots=True)
class SessionFacts:
    """A Checkout Session. `url` only while open; `payment_intent` only once the buyer has tried to pay."""

    id: str
    url: str | None
    status: str | None
    """open, complete or expired."""
    payment_status: str
    """paid, unpaid or no_payment_required."""
    payment_intent: str | None
    client_reference_id: str | None
    amount_total: int | None
    currency: str | None
    metadata: Mapping[str, str]
    livemode: bool
    created: datetime
    expires_at: datetime

    @classmethod
    def read(cls, obj: Json) -> "SessionFacts":
        _is(obj, "checkout.session")
        return cls(
            id=identifier(obj, "id", STRIPE_ID_CHARS),
            url=optional_text(obj, "url"),
            status=optional_text(obj, "status"),
            payment_status=text(obj, "payment_status"),
            payment_intent=reference(obj, "payment_intent"),
            client_reference_id=optional_text(obj, "client_reference_id"),
            amount_total=optional_integer(obj, "amount_total"),
            currency=optional_text(obj, "currency"),
            metadata=text_map(obj, "metadata"),
            livemode=boolean(obj, "livemode"),
            created=unix_moment(obj, "created"),
            expires_at=unix_moment(obj, "expires_at"),
        )


@dataclass(frozen=True, slots=True)
class PaymentIntentFacts:
    id: str
    status: str
    """`succeeded` is the one that means paid."""
    amount: int
    amount_received: int
    currency: str
    latest_charge: str | None
    """Null until a payment was tried, and sometimes for some seconds after the success."""
    metadata: Mapping[str, str]
    livemode: bool
    created: datetime

    @classmethod
    def read(cls, obj: Json) -> "PaymentIntentFacts":
        _is(obj, "payment_intent")
        return cls(
            id=identifier(obj, "id", STRIPE_ID_CHARS),
            status=text(obj, "status"),
            amount=integer(obj, "amount"),
            amount_received=optional_integer(obj, "amount_received") or 0,
            currency=text(obj, "currency"),
            latest_charge=reference(obj, "latest_charge"),
            metadata=text_map(obj, "metadata"),
            livemode=boolean(obj, "livemode"),
            created=unix_moment(obj, "created"),
        )


@dataclass(frozen=True, slots=True)
class BalanceTransactionFacts:
    """What a charge did to our Stripe balance, in the settlement currency: amount = fee + net."""

    id: str
    amount: int
    fee: int
    net: int
    currency: str
    status: str
    """pending, then available at `available_on`."""
    available_on: datetime

    @classmethod
    def read(cls, obj: Json) -> "BalanceTransactionFacts":
        _is(obj, "balance_transaction")
        facts = cls(
            id=identifier(obj, "id", STRIPE_ID_CHARS),
            amount=integer(obj, "amount"),
            fee=integer(obj, "fee"),
            net=integer(obj, "net"),
            currency=words(obj, "currency", CURRENCY_CHARS),
            status=text(obj, "status"),
            available_on=unix_moment(obj, "available_on"),
        )
        if facts.amount != facts.fee + facts.net:
            raise ShapeError("balance transaction: amount is not fee + net")
        return facts


@dataclass(frozen=True, slots=True)
class ChargeFacts:
    """A charge. `balance_transaction` is None until Stripe knows the fee, seconds to days after the success."""

    id: str
    payment_intent: str | None
    status: str
    paid: bool
    amount: int
    amount_captured: int
    amount_refunded: int
    refunded: bool
    """True only when refunded in full."""
    disputed: bool
    currency: str
    livemode: bool
    balance_transaction: BalanceTransactionFacts | None

    @classmethod
    def read(cls, obj: Json) -> "ChargeFacts":
        """From a charge read with `balance_transaction` expanded."""
        _is(obj, "charge")
        booked = obj.get("balance_transaction")
        if booked is not None and not isinstance(booked, dict):
            raise ShapeError("'balance_transaction' is not expanded")
        return cls(
            id=identifier(obj, "id", STRIPE_ID_CHARS),
            payment_intent=reference(obj, "payment_intent"),
            status=text(obj, "status"),
            paid=boolean(obj, "paid"),
            amount=integer(obj, "amount"),
            amount_captured=integer(obj, "amount_captured"),
            amount_refunded=integer(obj, "amount_refunded"),
            refunded=boolean(obj, "refunded"),
            disputed=boolean(obj, "disputed"),
            currency=text(obj, "currency"),
            livemode=boolean(obj, "livemode"),
            balance_transaction=None if booked is None else BalanceTransactionFacts.read(booked),
        )


@dataclass(frozen=True, slots=True)
class BalanceEntry:
    """One row of the list of balance transactions. `type` is Stripe's (`charge`, `refund`, `adjustment`, `payout`, …),
    `source` the id of what moved the money; net = amount − fee."""

    id: str
    type: str
    source: str | None
    amount: int
    fee: int
    currency: str
    created: datetime

    @classmethod
    def read(cls, obj: Json) -> "BalanceEntry":
        facts = BalanceTransactionFacts.read(obj)
        return cls(
            id=facts.id,
            type=words(obj, "type", TYPE_CHARS),
            source=reference(obj, "source"),
            amount=facts.amount,
            fee=facts.fee,
            currency=facts.currency,
            created=unix_moment(obj, "created"),
        )


@dataclass(frozen=True, slots=True)
class RefundFacts:
    id: str
    status: str | None
    """pending, requires_action, succeeded, failed or canceled; a succeeded one can still fail later."""
    amount: int
    currency: str
    payment_intent: str | None
    charge: str | None
    reason: str | None
    failure_reason: str | None
    metadata: Mapping[str, str]
    created: datetime

    @classmethod
    def read(cls, obj: Json) -> "RefundFacts":
        _is(obj, "refund")
        return cls(
            id=identifier(obj, "id", STRIPE_ID_CHARS),
            status=optional_text(obj, "status"),
            amount=integer(obj, "amount"),
            currency=text(obj, "currency"),
            payment_intent=reference(obj, "payment_intent"),
            charge=reference(obj, "charge"),
            reason=optional_text(obj, "reason"),
            failure_reason=optional_text(obj, "failure_reason"),
            metadata=text_map(obj, "metadata"),
            created=unix_moment(obj, "created"),
        )


@dataclass(frozen=True, slots=True)
class BalanceFacts:
    """Our Stripe balance by currency."""

    available: Mapping[str, int]
    pending: Mapping[str, int]
    livemode: bool

    @classmethod
    def read(cls, obj: Json) -> "BalanceFacts":
        _is(obj, "balance")
        return cls(_by_currency(obj, "available"), _by_currency(obj, "pending"), boolean(obj, "livemode"))


@dataclass(frozen=True, slots=True)
class AccountFacts:
    """Whose key it is, and whether it moves real money."""

    id: str
    livemode: bool


@dataclass(frozen=True, slots=True)
class WebhookEndpointFacts:
    """`status` is enabled or disabled: Stripe disables one itself after days of failed deliveries. `api_version` None =
    the account's default, which may change under it."""

    url: str
    status: str
    api_version: str | None
    enabled_events: tuple[str, ...]

    @classmethod
    def read(cls, obj: Json) -> "WebhookEndpointFacts":
        _is(obj, "webhook_endpoint")
        return cls(
            text(obj, "url"), text(obj, "status"), optional_text(obj, "api_version"), texts(obj, "enabled_events")
        )


@dataclass(frozen=True, slots=True)
class EventPage:
    """Events as Stripe wrote them, newest first. `next_cursor` is the `starting_after` of the next, older page."""

    events: tuple[Json, ...]
    next_cursor: str | None


def read_page(obj: Json) -> tuple[list[Json], str | None]:
    """Objects of a list answer, and the cursor of the next page if there is one."""
    _is(obj, "list")
    found = rows(obj, "data")
    if not boolean(obj, "has_more"):
        return found, None
    if not found:
        raise ShapeError("an empty page says that more follow")
    return found, text(found[-1], "id")


def read_event(obj: Json) -> Json:
    """The event unchanged, once it is seen to be one."""
    _is(obj, "event")
    identifier(obj, "id", STRIPE_ID_CHARS)
    text(obj, "type")
    integer(obj, "created")
    boolean(obj, "livemode")
    mapping(mapping(obj, "data"), "object")
    return obj


def reference(obj: Json, name: str) -> str | None:
    """The id of another object, whether Stripe sent the id or the object."""
    value = obj.get(name)
    if isinstance(value, dict):
        return identifier(value, "id", STRIPE_ID_CHARS)
    return optional_identifier(obj, name, STRIPE_ID_CHARS)


def _is(obj: Json, kind: str) -> None:
    if obj.get("object") != kind:
        raise ShapeError(f"not a {kind}")


def _by_currency(obj: Json, name: str) -> dict[str, int]:
    totals: dict[str, int] = {}
    for row in rows(obj, name):
        currency = text(row, "currency")
        totals[currency] = totals.get(currency, 0) + integer(row, "amount")
    return totals
