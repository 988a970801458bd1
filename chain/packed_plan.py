"""What one packed payout transaction is to do, and how payouts are put together so that each transaction fits."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, TypeVar

from chain.receipts import receipt_address
from chain.usdc_payouts import PackedTransfer, UsdcPayouts
from domain.errors import Misuse

T = TypeVar("T")
MEMO_LIMIT_BYTES: Final = 64
"""Enough for a batch and a group by name; a memo takes the room of transfers."""


class TransactionFormat(StrEnum):
    """Solana's transaction versions that payouts are packed in."""

    V0 = "v0"
    V1 = "v1"


@dataclass(frozen=True, slots=True)
class PackedPlan:
    """One group, frozen: `seed` is `domain.keys.receipt_seed` of its UUID; an empty memo is none.

    Raises `Misuse` as `UsdcPayouts`, and for a memo that is too long.
    """

    platform_wallet: str
    mint: str
    seed: str
    transfers: tuple[PackedTransfer, ...]
    format: TransactionFormat = TransactionFormat.V0
    memo: str = ""
    receipt: str = field(init=False)
    payouts: UsdcPayouts = field(init=False)

    def __post_init__(self) -> None:
        if len(self.memo.encode()) > MEMO_LIMIT_BYTES:
            raise Misuse(f"a memo has at most {MEMO_LIMIT_BYTES} bytes")
        object.__setattr__(self, "receipt", receipt_address(self.platform_wallet, self.seed))
        object.__setattr__(self, "payouts", UsdcPayouts(self.platform_wallet, self.mint, self.transfers))

    @property
    def total(self) -> int:
        """Base units that leave the platform's USDC account."""
        return self.payouts.total

    @property
    def source_account(self) -> str:
        """The platform's USDC account."""
        return self.payouts.source_account


def into_groups(transfers: Sequence[PackedTransfer], capacity: int) -> list[tuple[PackedTransfer, ...]]:
    """As few groups as fit, in order, none with an owner twice: a second payout of an owner opens or joins a later one.

    Raises `Misuse` for a capacity below 1.
    """
    if capacity < 1:
        raise Misuse("a transaction that holds no transfer can't pay anybody")
    groups: list[list[PackedTransfer]] = []
    first_open = 0
    next_for_owner: dict[str, int] = {}
    for one in transfers:
        at = max(first_open, next_for_owner.get(one.owner, 0))
        while at < len(groups) and len(groups[at]) >= capacity:
            at += 1
        if at == len(groups):
            groups.append([])
        groups[at].append(one)
        next_for_owner[one.owner] = at + 1
        while first_open < len(groups) and len(groups[first_open]) >= capacity:
            first_open += 1
    return [tuple(group) for group in groups]


def halves(members: Sequence[T]) -> list[tuple[T, ...]]:
    """The two groups that follow one which is proven dead by an error: the bad destination is found by halving.

    Raises `Misuse` for a single member: there it is the bad one.
    """
    if len(members) < 2:
        raise Misuse("a single transfer can't be halved")
    middle = (len(members) + 1) // 2
    return [tuple(members[:middle]), tuple(members[middle:])]
