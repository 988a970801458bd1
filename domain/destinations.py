"""What the chain shows of the accounts that a packed payout is about to touch, before anything is signed."""

from dataclasses import dataclass
from enum import StrEnum


class AccountStanding(StrEnum):
    """A recipient's associated USDC account as it stands."""

    READY = "ready"
    MISSING = "missing"
    FROZEN = "frozen"
    FOREIGN = "foreign"
    """Its owner gave it away, or it is no USDC account of the Token program."""


WHY_NOT = {
    AccountStanding.FROZEN: "the recipient's USDC account is frozen",
    AccountStanding.FOREIGN: "the recipient's USDC account belongs to somebody else",
}
"""What a parked payout says."""


@dataclass(frozen=True, slots=True)
class PackedView:
    """All accounts of one group in one answer. `standings` in the order of the plan's transfers; amounts in base units
    and lamports. `source_trouble`: why the platform's own USDC account can't pay, or None."""

    standings: tuple[AccountStanding, ...]
    source_trouble: str | None
    receipt_is_made: bool
    receipt_lamports: int
    wallet_lamports: int


INSUFFICIENT_FUNDS = '{"Custom": 1}'
"""The Token program's error for a source that holds too little: no destination is to blame."""
