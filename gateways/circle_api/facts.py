"""What we read from Circle's objects. Amounts stay the decimal strings they are: units need a token's decimals."""

from dataclasses import dataclass, field
from datetime import datetime

from domain.foreign_text import ID_CHARS, REFERENCE_CHARS, SIGNATURE_CHARS, WORDS_CHARS, kept
from domain.money import parse_decimal
from domain.states import STATE_CHARS
from gateways.answers import (
    Json,
    boolean,
    identifier,
    mapping,
    moment,
    optional_identifier,
    optional_integer,
    optional_text,
    optional_words,
    text,
    texts,
)

TERMINAL_STATES = frozenset({"COMPLETE", "FAILED", "DENIED", "CANCELLED"})
KNOWN_STATES = TERMINAL_STATES | {"INITIATED", "CLEARED", "QUEUED", "SENT", "STUCK", "CONFIRMED"}
_OTHER_SPELLINGS = {"CANCELED": "CANCELLED", "PENDING_RISK_SCREENING": "CLEARED"}
"""Circle's webhook page and older objects use these names."""


@dataclass(frozen=True, slots=True)
class WalletSetFacts:
    id: str
    custody_type: str
    name: str | None

    @classmethod
    def read(cls, obj: Json) -> "WalletSetFacts":
        return cls(text(obj, "id"), text(obj, "custodyType"), optional_text(obj, "name"))


@dataclass(frozen=True, slots=True)
class WalletFacts:
    """`state` is LIVE or FROZEN; `custody_type` DEVELOPER or ENDUSER, with `user_id` for the latter."""

    id: str
    address: str
    blockchain: str
    state: str
    custody_type: str
    account_type: str
    wallet_set_id: str
    ref_id: str | None
    name: str | None
    user_id: str | None
    create_date: datetime

    @classmethod
    def read(cls, obj: Json) -> "WalletFacts":
        return cls(
            id=identifier(obj, "id", ID_CHARS),
            address=identifier(obj, "address", ID_CHARS),
            blockchain=text(obj, "blockchain"),
            state=text(obj, "state"),
            custody_type=text(obj, "custodyType"),
            account_type=text(obj, "accountType"),
            wallet_set_id=text(obj, "walletSetId"),
            ref_id=optional_text(obj, "refId") or None,
            name=optional_text(obj, "name") or None,
            user_id=optional_text(obj, "userId") or None,
            create_date=moment(obj, "createDate"),
        )


@dataclass(frozen=True, slots=True)
class TokenBalance:
    """`amount` in whole tokens; `units` the same in base units, None if it does not fit the token's decimals (strangers
    can send tokens of any form). `token_address` is None for the native coin."""

    token_id: str
    token_address: str | None
    symbol: str | None
    decimals: int | None
    is_native: bool
    amount: str
    units: int | None

    @classmethod
    def read(cls, obj: Json) -> "TokenBalance":
        token = mapping(obj, "token")
        amount, decimals = text(obj, "amount"), optional_integer(token, "decimals")
        return cls(
            token_id=text(token, "id"),
            token_address=optional_text(token, "tokenAddress") or None,
            symbol=optional_text(token, "symbol"),
            decimals=decimals,
            is_native=boolean(token, "isNative"),
            amount=amount,
            units=_units(amount, decimals),
        )


@dataclass(frozen=True, slots=True)
class UserFacts:
    """An end user; `id` is the userId that we chose. `pin_status` is UNSET, ENABLED or LOCKED."""

    id: str
    status: str
    pin_status: str
    create_date: datetime

    @classmethod
    def read(cls, obj: Json) -> "UserFacts":
        return cls(text(obj, "id"), text(obj, "status"), text(obj, "pinStatus"), moment(obj, "createDate"))


@dataclass(frozen=True, slots=True)
class UserToken:
    """What the user's client needs to run a challenge; good for 60 minutes, never stored."""

    user_token: str = field(repr=False)
    encryption_key: str = field(repr=False)

    @classmethod
    def read(cls, obj: Json) -> "UserToken":
        return cls(text(obj, "userToken"), text(obj, "encryptionKey"))


@dataclass(frozen=True, slots=True)
class AlreadyInitialized:
    """The user has a PIN, and a wallet or will have one: an earlier initialize call went through. It may have stopped
    between the two."""


@dataclass(frozen=True, slots=True)
class ChallengeFacts:
    """`status`: PENDING, IN_PROGRESS, COMPLETE, FAILED or EXPIRED; of one that Circle shows no more EXPIRED, MISSING or
    INVALID, without a type. `correlation_ids` of a wallet challenge are wallet ids."""

    id: str
    type: str
    status: str
    correlation_ids: tuple[str, ...]
    error_code: int | None
    error_message: str | None

    @classmethod
    def of_none(cls, challenge_id: str, end: str) -> "ChallengeFacts":
        return cls(challenge_id, "", end, (), None, None)

    @classmethod
    def read(cls, obj: Json) -> "ChallengeFacts":
        return cls(
            id=text(obj, "id"),
            type=text(obj, "type"),
            status=text(obj, "status"),
            correlation_ids=texts(obj, "correlationIds", ID_CHARS),
            error_code=optional_integer(obj, "errorCode"),
            error_message=optional_words(obj, "errorMessage", WORDS_CHARS),
        )


@dataclass(frozen=True, slots=True)
class CircleTransaction:
    """A transfer. `amounts` are decimal strings in whole tokens; `state` one of `KNOWN_STATES` or `UNKNOWN:<theirs>`.

    `tx_hash` is there from SENT on and may change until CONFIRMED. COMPLETE is Circle's word: the chain's finalized
    transaction is what counts.
    """

    id: str
    state: str
    transaction_type: str
    blockchain: str
    amounts: tuple[str, ...]
    wallet_id: str | None
    token_id: str | None
    source_address: str | None
    destination_address: str | None
    ref_id: str | None
    tx_hash: str | None
    error_reason: str | None
    error_details: str | None
    create_date: datetime
    update_date: datetime

    @classmethod
    def read(cls, obj: Json) -> "CircleTransaction":
        return cls(
            id=identifier(obj, "id", ID_CHARS),
            state=read_state(text(obj, "state")),
            transaction_type=text(obj, "transactionType"),
            blockchain=text(obj, "blockchain"),
            amounts=texts(obj, "amounts"),
            wallet_id=optional_identifier(obj, "walletId", ID_CHARS),
            token_id=optional_identifier(obj, "tokenId", ID_CHARS),
            source_address=optional_identifier(obj, "sourceAddress", ID_CHARS),
            destination_address=optional_identifier(obj, "destinationAddress", ID_CHARS),
            ref_id=optional_words(obj, "refId", REFERENCE_CHARS),
            tx_hash=optional_identifier(obj, "txHash", SIGNATURE_CHARS),
            error_reason=optional_words(obj, "errorReason", WORDS_CHARS),
            error_details=optional_words(obj, "errorDetails", WORDS_CHARS),
            create_date=moment(obj, "createDate"),
            update_date=moment(obj, "updateDate"),
        )

    @property
    def is_terminal(self) -> bool:
        """No further state follows. An unknown state is not terminal."""
        return self.state in TERMINAL_STATES

    def amount_units(self, decimals: int) -> int | None:
        """The one amount in base units; None if there is not exactly one, or it does not fit `decimals`."""
        return _units(self.amounts[0], decimals) if len(self.amounts) == 1 else None


@dataclass(frozen=True, slots=True)
class TransactionPage:
    """Oldest first. `next_cursor` continues a broken-off listing."""

    transactions: tuple[CircleTransaction, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class NotificationKey:
    """A key that signs Circle's notifications; `public_key` is base64 of the DER form."""

    id: str
    algorithm: str
    public_key: str

    @classmethod
    def read(cls, obj: Json) -> "NotificationKey":
        return cls(text(obj, "id"), text(obj, "algorithm"), text(obj, "publicKey"))


@dataclass(frozen=True, slots=True)
class SubscriptionFacts:
    id: str
    endpoint: str
    enabled: bool
    notification_types: tuple[str, ...]

    @classmethod
    def read(cls, obj: Json) -> "SubscriptionFacts":
        return cls(text(obj, "id"), text(obj, "endpoint"), boolean(obj, "enabled"), texts(obj, "notificationTypes"))


def read_state(theirs: str) -> str:
    """A transaction state under one spelling."""
    state = _OTHER_SPELLINGS.get(theirs, theirs)
    return state if state in KNOWN_STATES else kept(f"UNKNOWN:{theirs}", STATE_CHARS)


def _units(amount: str, decimals: int | None) -> int | None:
    if decimals is None:
        return None
    try:
        return parse_decimal(amount, decimals)
    except ValueError:
        return None
