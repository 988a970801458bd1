"""Circle's transaction objects and their states (reference/circle.md, section 4)."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import StrEnum

from sandbox.circle_service.errors import transaction_not_found
from sandbox.circle_service.solana import Fee
from sandbox.circle_service.tokens import Token
from sandbox.circle_service.wallets import Wallet
from sandbox.circle_service.wire import format_amount, iso
from sandbox.service import Clock


class State(StrEnum):
    INITIATED = "INITIATED"
    """Accepted; it has an id."""
    CLEARED = "CLEARED"
    """Screening passed."""
    QUEUED = "QUEUED"
    """Waiting to be submitted."""
    SENT = "SENT"
    """Broadcast; it has a txHash, which may change until CONFIRMED."""
    STUCK = "STUCK"
    """Fee too low; never on Solana."""
    CONFIRMED = "CONFIRMED"
    """In a block that most of the stake has voted for; balances are updated."""
    COMPLETE = "COMPLETE"
    FAILED = "FAILED"
    DENIED = "DENIED"
    """Screening refused it."""
    CANCELLED = "CANCELLED"


UNSENT = frozenset({State.INITIATED, State.CLEARED, State.QUEUED})
TERMINAL = frozenset({State.COMPLETE, State.FAILED, State.DENIED, State.CANCELLED})
TRANSITIONS: dict[State, frozenset[State]] = {
    State.INITIATED: frozenset({State.CLEARED, State.DENIED, State.FAILED, State.CANCELLED}),
    State.CLEARED: frozenset({State.QUEUED, State.FAILED}),
    State.QUEUED: frozenset({State.SENT, State.FAILED, State.CANCELLED}),
    State.SENT: frozenset({State.CONFIRMED, State.STUCK, State.FAILED}),
    State.STUCK: frozenset({State.SENT, State.CONFIRMED, State.CANCELLED, State.FAILED}),
    State.CONFIRMED: frozenset({State.COMPLETE, State.FAILED}),
}
INBOUND = "INBOUND"
OUTBOUND = "OUTBOUND"


@dataclass(slots=True)
class Transaction:
    """One transfer out of or into a wallet. `units` are the token's base units."""

    id: str
    kind: str
    wallet: Wallet
    token: Token
    units: int
    source: str
    destination: str
    create_ms: int
    update_ms: int
    state: State = State.INITIATED
    state_before: State = State.INITIATED
    fee: Fee | None = None
    fee_level: str | None = None
    ref_id: str | None = None
    tx_hash: str | None = None
    slot: int | None = None
    first_confirm_ms: int | None = None
    network_fee_lamports: int | None = None
    error_reason: str | None = None
    error_details: str | None = None
    wire: bytes = field(default=b"", repr=False)
    last_valid_block_height: int = 0
    offered_lamports: int = 0
    """What the signed transaction costs, the limit raised for distinctness included."""

    @property
    def is_terminal(self) -> bool:
        return self.state in TERMINAL

    def summary(self) -> dict[str, object]:
        return {"id": self.id, "state": self.state.value}

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {
            "id": self.id,
            "blockchain": self.wallet.blockchain,
            "tokenId": self.token.id,
            "walletId": self.wallet.id,
            "sourceAddress": self.source,
            "destinationAddress": self.destination,
            "transactionType": self.kind,
            "custodyType": self.wallet.custody,
            "state": self.state.value,
            "operation": "TRANSFER",
            "amounts": [format_amount(self.units, self.token.decimals)],
            "nfts": None,
            "abiParameters": None,
            "refId": self.ref_id or "",
            "createDate": iso(self.create_ms),
            "updateDate": iso(self.update_ms),
        }
        return view | {name: value for name, value in self._optional().items() if value is not None}

    def view_before(self) -> dict[str, object]:
        """As a replica of Circle's database that lags behind still tells it."""
        told = self.view() | {"state": self.state_before.value}
        if self.state_before in UNSENT:
            told.pop("txHash", None)
        return told

    def _optional(self) -> dict[str, object | None]:
        lamports = self.network_fee_lamports
        return {
            "userId": self.wallet.user_id,
            "txHash": self.tx_hash,
            "blockHeight": self.slot,
            "firstConfirmDate": None if self.first_confirm_ms is None else iso(self.first_confirm_ms),
            "networkFee": None if lamports is None else format_amount(lamports, 9),
            "feeLevel": self.fee_level,
            "estimatedFee": None if self.fee is None else fee_view(self.fee),
            "errorReason": self.error_reason,
            "errorDetails": self.error_details,
        }


def fee_view(fee: Fee) -> dict[str, object]:
    """Circle's TransactionFee for Solana: compute units as gasLimit, priority fee only, all strings."""
    return {
        "gasLimit": str(fee.compute_units),
        "priorityFee": str(fee.price),
        "networkFee": format_amount(fee.lamports, 9),
        "networkFeeRaw": format_amount(fee.lamports, 9),
    }


class IllegalState(RuntimeError):
    """A transition outside `TRANSITIONS`: a bug of the sandbox."""


class TransactionBook:
    """All transactions in the order of their making; the only place where a state changes."""

    def __init__(self, clock: Clock, on_change: Callable[[Transaction], None]) -> None:
        self._clock = clock
        self._on_change = on_change
        self._all: dict[str, Transaction] = {}

    def add(self, transaction: Transaction) -> None:
        self._all[transaction.id] = transaction
        self._on_change(transaction)

    def get(self, transaction_id: str, user_id: str | None = None) -> Transaction:
        found = self._all.get(transaction_id)
        if found is None or (user_id is not None and found.wallet.user_id != user_id):
            raise transaction_not_found()
        return found

    def all(self) -> Iterable[Transaction]:
        return self._all.values()

    def advance(self, transaction: Transaction, state: State) -> None:
        if state not in TRANSITIONS.get(transaction.state, frozenset()):
            raise IllegalState(f"{transaction.id}: {transaction.state} to {state}")
        transaction.state_before, transaction.state = transaction.state, state
        transaction.update_ms = self._clock()
        self._on_change(transaction)

    def fail(self, transaction: Transaction, reason: str, details: str, state: State = State.FAILED) -> None:
        transaction.error_reason = reason
        transaction.error_details = details
        self.advance(transaction, state)
