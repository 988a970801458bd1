"""Which owed purchases the platform wallet's free USDC covers. Amounts in USDC base units."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Owed:
    """One purchase in pending_conversion: the sum of its unpaid payouts, moved whole."""

    purchase_id: int
    amount: int
    paid_at: datetime


def free_balance(finalized_balance: int, promised: int) -> int:
    """What may still be promised: the wallet's finalized USDC less all unpaid amounts in pending_distribution.

    Never negative: a wallet that lost money to somewhere else promises nothing more.
    """
    return max(0, finalized_balance - promised)


def cover(free: int, oldest_first: Iterable[Owed]) -> list[Owed]:
    """Those that move to pending_distribution, in order; the first that does not fit ends the pass. None is asked for
    after it."""
    covered: list[Owed] = []
    for owed in oldest_first:
        if owed.amount > free:
            break
        free -= owed.amount
        covered.append(owed)
    return covered
