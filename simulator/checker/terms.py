"""What the world's daemons are set to, as far as it decides what is right."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Terms:
    """The split: basis points of the creator side, rounding step in base units. A payout below `minimum` is carried
    over; on the packed rail one of an owner without a USDC account waits while it is worth less than `account_worth`
    (base units). Where it `plans_mondays`, nothing but that keeps what is due from its Monday's batch."""

    creator_bps: int = 9_000
    step: int = 10_000
    minimum: int = 10_000
    account_worth: int = 0
    plans_mondays: bool = False
