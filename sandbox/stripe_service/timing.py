"""How long the sandbox's Stripe takes for what the real one takes time for. Milliseconds unless a name says else."""

from dataclasses import dataclass

HOUR_MS = 3_600_000
DAY_MS = 24 * HOUR_MS


@dataclass(frozen=True, slots=True)
class Timing:
    fee_delay_ms: int = 1500
    """Payment succeeded → its balance transaction exists and charge.updated is sent. Seen in the wild: about 3 s."""
    bank_settle_ms: int = 5000
    """A bank debit was accepted → it succeeds or fails. Real ones take days."""
    refund_update_ms: int = 1000
    """Refund made → refund.updated brings its reference."""
    payout_ms: int = 5000
    """Payout made → paid."""
    settle_business_days: int = 2
    """`available_on` of a charge: US standard T+2."""
    retry_first_ms: int = 1000
    """A failed webhook try → the next; every further gap is twice the one before, up to `retry_gap_max_ms`."""
    retry_gap_max_ms: int = 8 * HOUR_MS
    retry_for_ms: int = 3 * DAY_MS
    """Stripe's live mode gives up after three days."""

    def retry_gap_ms(self, tries: int) -> int:
        """Pause after the `tries`-th failed try (1 = the first)."""
        doublings = min(tries - 1, 40)
        return min(self.retry_gap_max_ms, self.retry_first_ms << doublings)


REALISTIC = Timing()
FAST = Timing(fee_delay_ms=300, bank_settle_ms=600, refund_update_ms=200, payout_ms=600, retry_first_ms=250)
"""For demos and tests: nothing waits longer than a person notices."""
