"""What one business account at Circle Mint holds: balance, a linked bank account, deposits, recipients, transfers.

Amounts are USDC base units inside and decimal strings of dollars on the wire: Circle Mint calls USDC "USD".
"""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum

from sandbox.circle_service.wire import format_amount, new_id
from sandbox.service import Clock

CURRENCY, CHAIN = "USD", "SOL"
USDC_DECIMALS = 6
CENTS_DECIMALS = 2
VERIFIED = frozenset({"active", "verification_succeeded"})
"""Statuses of a recipient that may be paid (reference/circle.md, section 10)."""


class Status(StrEnum):
    """Of deposits, wires and transfers alike."""

    PENDING = "pending"
    COMPLETE = "complete"
    FAILED = "failed"


@dataclass(slots=True)
class Switches:
    """Behaviour that the reference leaves open, or that a test wants to see."""

    deposit_ms: int = 2_000
    """How long a wire's deposit is pending; the real sandbox takes minutes (reference/circle.md, section 10)."""
    transfer_ms: int = 500
    """How long a transfer waits before it is sent."""
    polling_ms: int = 400
    """Between two looks at the chain for a transfer in flight."""
    verify_recipients: bool = False
    """A recipient added over the API may be paid at once, without approval in the console."""
    deny_transfers: int = 0
    """The next so many transfers are refused by screening."""
    hold_transfers: bool = False
    """Transfers stay pending until this is off."""
    replay_returns_original: bool = False
    """Same idempotency key with another payload returns the first transfer, instead of 409."""


@dataclass(frozen=True, slots=True)
class Wire:
    """The bank account from which dollars are wired, linked in Circle's console. `account_number` is Circle's own."""

    id: str
    tracking_ref: str
    account_number: str
    create_ms: int

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "status": Status.COMPLETE,
            "description": "SANDBOX BANK ****0010",
            "trackingRef": self.tracking_ref,
            "createDate": stamp(self.create_ms),
            "updateDate": stamp(self.create_ms),
        }

    def instructions(self) -> dict[str, object]:
        return {
            "trackingRef": self.tracking_ref,
            "beneficiary": {"name": "CIRCLE INTERNET FINANCIAL INC", "address1": "1 SANDBOX STREET"},
            "beneficiaryBank": {
                "name": "SANDBOX BANK",
                "swiftCode": "SANDUS33XXX",
                "routingNumber": "000000000",
                "accountNumber": self.account_number,
                "currency": CURRENCY,
                "country": "US",
            },
        }


@dataclass(slots=True)
class Deposit:
    id: str
    wire: Wire
    units: int
    create_ms: int
    update_ms: int
    status: Status = Status.PENDING

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "sourceWalletId": self.wire.id,
            "destination": {"type": "wallet", "id": "1000000001"},
            "amount": money(self.units),
            "status": self.status,
            "createDate": stamp(self.create_ms),
            "updateDate": stamp(self.update_ms),
        }


@dataclass(slots=True)
class Recipient:
    id: str
    address: str
    description: str
    create_ms: int
    status: str

    @property
    def is_verified(self) -> bool:
        return self.status in VERIFIED

    def view(self) -> dict[str, object]:
        return {
            "id": self.id,
            "address": self.address,
            "chain": CHAIN,
            "currency": CURRENCY,
            "description": self.description,
            "status": self.status,
        }


@dataclass(slots=True)
class Transfer:
    """`key` is the idempotency key that ordered it. `wire` are the signed bytes and `last_valid_height` the last block
    that can hold them; set once it is sent."""

    id: str
    key: str
    address: str
    units: int
    create_ms: int
    status: Status = Status.PENDING
    error_code: str | None = None
    tx_hash: str | None = None
    wire: bytes = b""
    last_valid_height: int = 0

    def view(self) -> dict[str, object]:
        view: dict[str, object] = {
            "id": self.id,
            "source": {"type": "wallet", "id": "1000000001"},
            "destination": {"type": "blockchain", "address": self.address, "chain": CHAIN},
            "amount": money(self.units),
            "status": self.status,
            "createDate": stamp(self.create_ms),
        }
        if self.tx_hash is not None:
            view["transactionHash"] = self.tx_hash
        if self.error_code is not None:
            view["errorCode"] = self.error_code
        return view


class Books:
    """The account. `available` is what a transfer may spend now, in base units."""

    def __init__(self, clock: Clock, rng: random.Random, switches: Switches) -> None:
        self.clock, self.switches = clock, switches
        self._rng = rng
        self.available = 0
        self.wires = [self._linked()]
        self.deposits: list[Deposit] = []
        self.recipients: list[Recipient] = []
        self.transfers: list[Transfer] = []

    def wired(self, wire: Wire, units: int) -> Deposit:
        """A person's bank sent dollars: the deposit is pending for a while."""
        now = self.clock()
        made = Deposit(new_id(self._rng), wire, units, now, now)
        self.deposits.append(made)
        return made

    def settle(self, deposit: Deposit) -> None:
        deposit.status, deposit.update_ms = Status.COMPLETE, self.clock()
        self.available += deposit.units

    def know(self, address: str, description: str, *, verified: bool) -> Recipient:
        """An address is added to the book of recipients."""
        status = "active" if verified else "pending_verification"
        made = Recipient(new_id(self._rng), address, description, self.clock(), status)
        self.recipients.append(made)
        return made

    def order(self, key: str, recipient: Recipient, units: int) -> Transfer:
        """A transfer is accepted; the balance decides once it is worked on."""
        made = Transfer(new_id(self._rng), key, recipient.address, units, self.clock())
        self.transfers.append(made)
        return made

    def fail(self, transfer: Transfer, code: str, *, refund: bool) -> None:
        transfer.status, transfer.error_code = Status.FAILED, code
        self.available += transfer.units if refund else 0

    @property
    def unsettled(self) -> int:
        return sum(one.units for one in self.deposits if one.status is Status.PENDING)

    def _linked(self) -> Wire:
        number = "".join(str(self._rng.randrange(10)) for _ in range(12))
        ref = "CIR" + "".join(self._rng.choice("ABCDEFGHJKLMNPQRSTUVWXYZ23456789") for _ in range(7))
        return Wire(new_id(self._rng), ref, number, self.clock())


def money(units: int) -> dict[str, object]:
    """At least two decimals, as Circle Mint writes dollars."""
    whole, _, places = format_amount(units, USDC_DECIMALS).partition(".")
    return {"amount": f"{whole}.{places.ljust(CENTS_DECIMALS, '0')}", "currency": CURRENCY}


def stamp(ms: int) -> str:
    """ISO 8601 with milliseconds, as Circle Mint writes its dates."""
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ms % 1000:03d}Z"
