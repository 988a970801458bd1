"""What a creator must get, worked out anew from the product's words and Stripe's record, without the daemon's code.

Integers only: cents in, USDC base units (10^-6) out.
"""

import re
from collections.abc import Mapping

CREATOR_PERCENT = 90
BASE_UNITS_PER_CENT = 10_000
BASE_UNITS_PER_USDC = 1_000_000
WHOLE_BPS = 10_000


def creator_side(gross_cents: int, fee_cents: int) -> int:
    """90 % of what Stripe leaves, rounded half-up to the cent, in base units."""
    net_cents = gross_cents - fee_cents
    return (net_cents * CREATOR_PERCENT + 50) // 100 * BASE_UNITS_PER_CENT


def shared(amount: int, shares: Mapping[int, int]) -> dict[int, int]:
    """The amount among user ids by basis points: whole parts first, what is left over one by one to the largest
    remainders, among equals to the lower id."""
    if sum(shares.values()) != WHOLE_BPS:
        raise ValueError("shares are basis points that sum to 10,000")
    parts = {user: amount * bps // WHOLE_BPS for user, bps in shares.items()}
    by_remainder = sorted(shares, key=lambda user: (-(amount * shares[user] % WHOLE_BPS), user))
    for user in by_remainder[: amount - sum(parts.values())]:
        parts[user] += 1
    return parts


def usdc_text(base_units: int) -> str:
    """2 to 6 decimals, never rounded: 2350000 → "2.35"."""
    sign, size = ("-", -base_units) if base_units < 0 else ("", base_units)
    whole, rest = divmod(size, BASE_UNITS_PER_USDC)
    fraction = f"{rest:06d}"
    return f"{sign}{whole}.{fraction[:2]}{fraction[2:].rstrip('0')}"


def usdc_units(text: str) -> int:
    """A decimal string as base units. Raises ValueError for anything that is not plain digits with 2 to 6 decimals."""
    found = re.fullmatch(r"([0-9]{1,12})\.([0-9]{2,6})", text, re.ASCII)
    if found is None:
        raise ValueError(f"not an amount of USDC: {text[:40]!r}")
    return int(found[1]) * BASE_UNITS_PER_USDC + int(found[2].ljust(6, "0"))


def cents(text: str) -> int:
    """A decimal string of USD with two places as cents. Raises ValueError for anything else."""
    found = re.fullmatch(r"([0-9]{1,12})\.([0-9]{2})", text, re.ASCII)
    if found is None:
        raise ValueError(f"not an amount of USD: {text[:40]!r}")
    return int(found[1]) * 100 + int(found[2])
