"""Which payouts an outflow that nobody remembers has paid, when only recipient and amount are known.

A plan takes a recipient's payouts oldest first and whole, so what was paid is a run from the oldest on. What a payout
was due when it was paid may differ from what it is due now: something may have come back since. Amounts in base units.
"""

from collections.abc import Sequence
from dataclasses import dataclass

SUMS_MAX = 4_096
"""Different sums kept on the way; beyond that a person decides."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One unpaid payout: the amounts it may have been paid with; 0 among them when it may have been left out."""

    payout_id: int
    amounts: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Paid:
    """One payout and what the outflow paid of it."""

    payout_id: int
    amount: int


_Pick = tuple[Paid, ...]


def fit(total: int, oldest_first: Sequence[Candidate]) -> list[Paid] | None:
    """The one way in which a run from the oldest payout on sums to `total`; None when there are none or several."""
    found: set[_Pick] = set()
    sums: dict[int, set[_Pick]] = {0: {()}}
    for candidate in oldest_first:
        following: dict[int, set[_Pick]] = {}
        for reached, picks in sums.items():
            for amount in set(candidate.amounts):
                if amount < 0 or reached + amount > total:
                    continue
                paid = (Paid(candidate.payout_id, amount),) if amount else ()
                kept = following.setdefault(reached + amount, set())
                # Two ways to a sum are as good as many: both mean that it is not certain.
                kept.update(list(pick + paid for pick in picks)[: max(0, 2 - len(kept))])
        found |= following.get(total, set())
        if len(found) > 1 or len(following) > SUMS_MAX or not following:
            break
        sums = following
    return list(next(iter(found))) if len(found) == 1 else None
