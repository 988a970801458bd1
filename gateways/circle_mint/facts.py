"""What we read from Circle Mint's objects. It calls USDC "USD"; amounts become USDC base units here.

`createDate` is read as required: the lists are filtered by it (reference/circle.md, section 10, leaves it open whether
a transfer always has one).
"""

from dataclasses import dataclass
from datetime import datetime

from domain.foreign_text import ID_CHARS, SIGNATURE_CHARS
from domain.money import USDC_DECIMALS, parse_decimal
from domain.states import STATE_CHARS
from gateways.answers import (
    Json,
    ShapeError,
    identifier,
    mapping,
    moment,
    optional_identifier,
    optional_mapping,
    optional_text,
    text,
    words,
)

COMPLETE, FAILED = "complete", "failed"
VERIFIED = frozenset({"active", "verification_succeeded"})


def units_of(money: Json, currency: str = "USD") -> int:
    """Base units of an amount object. Raises ShapeError."""
    if text(money, "currency") != currency:
        raise ShapeError(f"the currency is not {currency}")
    try:
        return parse_decimal(text(money, "amount"), USDC_DECIMALS)
    except ValueError as error:
        raise ShapeError(f"'amount' {error}") from error


@dataclass(frozen=True, slots=True)
class WireInstructions:
    """Where a person or a bank sends dollars, and the text without which Circle can't tell whose they are."""

    wire_id: str
    tracking_ref: str
    beneficiary: str
    bank: str
    account_number: str
    routing_number: str
    swift_code: str

    @classmethod
    def read(cls, obj: Json, wire_id: str) -> "WireInstructions":
        bank = mapping(obj, "beneficiaryBank")
        return cls(
            wire_id=wire_id,
            tracking_ref=text(obj, "trackingRef"),
            beneficiary=text(mapping(obj, "beneficiary"), "name"),
            bank=optional_text(bank, "name") or "",
            account_number=text(bank, "accountNumber"),
            routing_number=optional_text(bank, "routingNumber") or "",
            swift_code=optional_text(bank, "swiftCode") or "",
        )


@dataclass(frozen=True, slots=True)
class DepositFacts:
    """Money that came in, dollars mostly; `units` 0 for another currency. `status`: pending, complete, failed."""

    id: str
    units: int
    currency: str
    status: str
    create_date: datetime

    @classmethod
    def read(cls, obj: Json) -> "DepositFacts":
        money = mapping(obj, "amount")
        currency = text(money, "currency")
        units = units_of(money) if currency == "USD" else 0
        status = words(obj, "status", STATE_CHARS)
        return cls(identifier(obj, "id", ID_CHARS), units, currency, status, moment(obj, "createDate"))


@dataclass(frozen=True, slots=True)
class RecipientFacts:
    """An address in the account's book. `status` is None where Circle tells none: then the list has verified ones
    only."""

    id: str
    address: str
    chain: str
    status: str | None

    @property
    def is_verified(self) -> bool:
        return self.status is None or self.status in VERIFIED

    @classmethod
    def read(cls, obj: Json) -> "RecipientFacts":
        return cls(text(obj, "id"), text(obj, "address"), text(obj, "chain"), optional_text(obj, "status"))


@dataclass(frozen=True, slots=True)
class MintTransfer:
    """`address` and `chain` are None where it came into the account instead of leaving it. `signature` is the Solana
    transaction's; `units` 0 for another currency than USD. Whether `fees` are taken from `amount` or beside it is not
    documented: what arrives is read from the chain."""

    id: str
    status: str
    units: int
    currency: str
    address: str | None
    chain: str | None
    signature: str | None
    error_code: str | None
    create_date: datetime

    @property
    def is_complete(self) -> bool:
        return self.status == COMPLETE

    @property
    def has_failed(self) -> bool:
        return self.status == FAILED

    @classmethod
    def read(cls, obj: Json) -> "MintTransfer":
        money, to = mapping(obj, "amount"), optional_mapping(obj, "destination") or {}
        leaves = optional_text(to, "type") == "blockchain"
        currency = text(money, "currency")
        return cls(
            id=identifier(obj, "id", ID_CHARS),
            status=words(obj, "status", STATE_CHARS),
            units=units_of(money) if currency == "USD" else 0,
            currency=currency,
            address=text(to, "address") if leaves else None,
            chain=text(to, "chain") if leaves else None,
            signature=optional_identifier(obj, "transactionHash", SIGNATURE_CHARS),
            error_code=optional_text(obj, "errorCode"),
            create_date=moment(obj, "createDate"),
        )
