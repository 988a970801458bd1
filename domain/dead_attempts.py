"""Attempts at one thing (a mint, a packed payout, a token account) that are proven dead: how soon the next one is
signed, and when a person is asked instead.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

EXPIRY: Final = "expiry"
"""Where a proof of death names how the blockhash ran out: no block ever took the attempt."""
PROMPT: Final = 4
"""So many of those are each followed at once: they raise the next one's bid to its most (`chain.bids`)."""
EXPIRED_MOST: Final = 100
"""Two days of them, with a minute or two for each to run out."""
_FIRST, _MOST = timedelta(minutes=1), timedelta(minutes=30)
_DOUBLINGS = 5


@dataclass(frozen=True, slots=True)
class DeadAttempts:
    """`expired`: no block ever took them, and nothing was wrong with them; `failed`: all others, on the chain or before
    it."""

    failed: int = 0
    expired: int = 0

    @property
    def count(self) -> int:
        return self.failed + self.expired

    def and_one(self, *, expired: bool) -> "DeadAttempts":
        return DeadAttempts(self.failed + (not expired), self.expired + expired)

    def are_too_many(self, failed_most: int) -> bool:
        """Whether a person is asked. What fails says what is wrong, which another attempt does not mend; blocks that
        are full empty by themselves."""
        return self.failed >= failed_most or self.expired >= EXPIRED_MOST

    @property
    def pause(self) -> timedelta:
        """After one that expired: none at first, then doubling from a minute to half an hour. In a storm of a day some
        fifty attempts are made, and its end is met at most half an hour later."""
        beyond = self.expired - PROMPT
        return timedelta(0) if beyond <= 0 else min(_MOST, _FIRST * (1 << min(beyond - 1, _DOUBLINGS)))
