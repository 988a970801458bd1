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

    One that fits a conversion exactly is that one. Otherwise it fills the oldest, the last one in part. A crumb from a
    sender who never sent a conversion is nobody's: anybody can send one.
    """
    exact = next((one for one in oldest_first if one.missing == amount), None)
    if exact is not None:
        return [Share(exact.conversion_id, amount, settles=True)]
    shares: list[Share] = []
    for one in oldest_first:
        part = min(amount, one.missing)
        if part <= 0 or (not shares and not known_sender and part <= _slippage(one)):
            break
        shares.append(brought(amount, one))
        amount -= part
    return shares


def brought(amount: int, conversion: OpenConversion) -> Share:
    """What of a deposit is a conversion's: no more than it lacks."""
    part = min(amount, conversion.missing)
    return Share(conversion.conversion_id, part, settles=conversion.missing - part <= _slippage(conversion))


def is_there(conversion: OpenConversion) -> bool:
    """Whether nothing more of it is to come."""
    return conversion.missing <= _slippage(conversion)


def _slippage(conversion: OpenConversion) -> int:
    return conversion.expected * SLIPPAGE_BPS // BPS
