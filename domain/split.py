"""How one sale's net is divided: platform and creator side, then the creator side among its recipients."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from domain.errors import Misuse
from domain.money import SHARE_WHOLE_BPS


class Rounding(StrEnum):
    """Which side of the rounding step the creator's amount falls to."""

    HALF_UP = "half_up"
    DOWN = "down"
    UP = "up"


@dataclass(frozen=True, slots=True)
class SplitRule:
    """The platform's terms. `step` is the rounding step in USDC base units (10,000 = 0.01 USDC)."""

    creator_bps: int = 9_000
    step: int = 10_000
    rounding: Rounding = Rounding.HALF_UP

    def __post_init__(self) -> None:
        if not 0 <= self.creator_bps <= SHARE_WHOLE_BPS:
            raise Misuse(f"creator share of {self.creator_bps} bps is not within 0 to 10000")
        if self.step < 1:
            raise Misuse("the rounding step is at least one base unit")


@dataclass(frozen=True, slots=True)
class Split:
    """USDC base units; `creator + platform` is the net, always."""

    creator: int
    platform: int


def round_to(numerator: int, denominator: int, step: int, rounding: Rounding) -> int:
    """`numerator / denominator` rounded to a multiple of `step`, for numbers that are not negative."""
    whole, rest = divmod(numerator, denominator * step)
    twice = 2 * rest
    up = {
        Rounding.HALF_UP: twice >= denominator * step,
        Rounding.DOWN: False,
        Rounding.UP: rest > 0,
    }[rounding]
    return (whole + up) * step


def split_net(net: int, rule: SplitRule) -> Split:
    """Divide a net amount (USDC base units, not negative). The creator never gets more than the net."""
    if net < 0:
        raise Misuse(f"a net of {net} can't be split")
    creator = min(net, round_to(net * rule.creator_bps, SHARE_WHOLE_BPS, rule.step, rule.rounding))
    return Split(creator=creator, platform=net - creator)


def share_out(amount: int, shares: Mapping[int, int]) -> dict[int, int]:
    """Divide `amount` among recipients by basis points.

    Remainders go to the largest fractions, ties to the lower recipient id. The parts sum to `amount`.
    Raises Misuse when the shares do not make 10,000. Pure, and independent of the order of `shares`.
    """
    if sum(shares.values()) != SHARE_WHOLE_BPS or any(bps <= 0 for bps in shares.values()):
        raise Misuse("shares are positive basis points that sum to 10000")
    exact = {who: divmod(amount * bps, SHARE_WHOLE_BPS) for who, bps in shares.items()}
    parts = {who: whole for who, (whole, _) in exact.items()}
    left = amount - sum(parts.values())
    by_fraction = sorted(exact, key=lambda who: (-exact[who][1], who))
    for who in by_fraction[:left]:
        parts[who] += 1
    return parts


def due_after_refunds(creator_amount: int, gross_cents: int, refunded_cents: int) -> int:
    """What is due to the creator side once `refunded_cents` of `gross_cents` went back to the buyer.

    USDC base units, rounded half-up; refunds count up to gross, so a full refund leaves 0 whatever the order.
    Raises Misuse for a sale of nothing and for refunds below nothing.
    """
    if gross_cents < 1 or refunded_cents < 0:
        raise Misuse(f"{refunded_cents} cents can't have been refunded of {gross_cents}")
    kept = gross_cents - min(refunded_cents, gross_cents)
    return round_to(creator_amount * kept, gross_cents, 1, Rounding.HALF_UP)
