"""Which announced conversions a deposit is. Amounts in USDC base units. It only explains: the chain releases money."""

from collections.abc import Sequence
from dataclasses import dataclass

SLIPPAGE_BPS = 100
"""A conversion that lacks at most so much of what was expected has arrived: the rest went into fees and rate."""
BPS = 10_000


@dataclass(frozen=True, slots=True)
class OpenConversion:
    """An announced conversion of which `expected - received` has not arrived."""

    conversion_id: int
    expected: int
    received: int

    @property
    def missing(self) -> int:
        return self.expected - self.received


@dataclass(frozen=True, slots=True)
class Share:
    """The part of a deposit that is a conversion's. `settles`: nothing more of it is to come."""

    conversion_id: int
    amount: int
    settles: bool


def explain(amount: int, oldest_first: Sequence[OpenConversion], *, known_sender: bool) -> list[Share]:
    """The shares of a deposit, oldest conversion first; what they leave of it nothing explains (it is overpaid, or no
    conversion of ours).

    One that fits a single conversion exactly, or but for its slippage, is that one. Otherwise it fills the oldest,
    the last one in part. A crumb from a sender who never sent a conversion is nobody's: anybody can send one.
    """
    exact = next((one for one in oldest_first if one.missing == amount), None)
    near = exact or next((one for one in oldest_first if 0 < one.missing - amount <= _slippage(one)), None)
    if near is not None and (exact is not None or len(oldest_first) == 1 or near is oldest_first[0]):
        return [Share(near.conversion_id, amount, settles=True)]
    shares: list[Share] = []
    for one in oldest_first:
        part = min(amount, one.missing)
        if part <= 0 or (not shares and not known_sender and part <= _slippage(one)):
            break
        shares.append(Share(one.conversion_id, part, settles=one.missing - part <= _slippage(one)))
        amount -= part
    return shares


def brought(amount: int, conversion: OpenConversion) -> Share:
    """The share of a deposit of the very transaction that a conversion names."""
    part = min(amount, conversion.missing)
    return Share(conversion.conversion_id, part, settles=conversion.missing - part <= _slippage(conversion))


def _slippage(conversion: OpenConversion) -> int:
    return conversion.expected * SLIPPAGE_BPS // BPS
