"""Stripe's arithmetic: what it keeps of a payment, and when the rest is available. Whole cents, whole days."""

from datetime import UTC, datetime, timedelta

DISPUTE_FEE_CENTS = 1500
"""$15.00, taken with the disputed amount in one balance transaction; not returned when the dispute is won."""
ACH_FEE_CAP_CENTS = 500
SATURDAY = 5


def card_fee_cents(gross_cents: int) -> int:
    """2.9 % + 30 ¢, half a cent rounds up: 300 → 39, 500 → 45."""
    return (gross_cents * 29 + 500) // 1000 + 30


def ach_fee_cents(gross_cents: int) -> int:
    """US bank debit: 0.8 %, at most $5.00, half a cent rounds up."""
    return min(ACH_FEE_CAP_CENTS, (gross_cents * 8 + 500) // 1000)


def available_on(created_seconds: int, business_days: int) -> int:
    """Midnight UTC, so many business days later; holidays are not modelled."""
    day = datetime.fromtimestamp(created_seconds, UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    left = business_days
    while left > 0:
        day += timedelta(days=1)
        if day.weekday() < SATURDAY:
            left -= 1
    return int(day.timestamp())
