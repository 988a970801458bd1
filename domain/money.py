"""Amounts as integers in the smallest unit: USD cents, USDC base units (10^-6), lamports (10^-9 SOL).

Decimal strings exist only at the edges; they are read by an ASCII pattern, since `int` and `Decimal` also take other
scripts' digits, exponents and underscores.
"""

import re

USDC_DECIMALS = 6
BASE_UNITS_PER_USDC = 10**USDC_DECIMALS
BASE_UNITS_PER_CENT = 10_000
"""1 cent = 0.01 USDC = 10,000 base units, exactly: USDC is redeemed one to one."""
SHARE_WHOLE_BPS = 10_000
AMOUNT_MAX = 2**63 - 1
"""What the database's BIGINT holds."""
DECIMALS_MAX = 255
"""A token's decimals are one byte on chain."""

_DECIMAL = re.compile(r"(0|[1-9][0-9]{0,14})(?:\.([0-9]{1,9}))?", re.ASCII)


def cents_to_base_units(cents: int) -> int:
    """USD cents as USDC base units; exact."""
    return cents * BASE_UNITS_PER_CENT


def parse_decimal(text: str, decimals: int) -> int:
    """Read a decimal string as an integer of its smallest unit.

    Raises ValueError for anything but plain ASCII digits with at most `decimals` places: nothing is rounded. So it does
    for an amount that no database column of ours could hold.
    """
    if decimals > DECIMALS_MAX:
        raise ValueError(f"no token has {decimals} decimal places")
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(f"not a plain decimal amount, like 12.50: {text[:40]!r}")
    whole, fraction = match.group(1), match.group(2) or ""
    if len(fraction.rstrip("0")) > decimals:
        raise ValueError(f"more than {decimals} decimal places: {text[:40]!r}")
    amount = int(whole + fraction[:decimals].ljust(decimals, "0"))
    if amount > AMOUNT_MAX:
        raise ValueError(f"too large an amount: {text[:40]!r}")
    return amount


def format_decimal(amount: int, decimals: int, least: int) -> str:
    """Write an integer amount as a decimal string with at least `least` places and never a rounded digit."""
    sign, digits = ("-", -amount) if amount < 0 else ("", amount)
    whole, fraction = divmod(digits, 10**decimals)
    places = f"{fraction:0{decimals}d}".rstrip("0").ljust(least, "0")
    return f"{sign}{whole}.{places}" if places else f"{sign}{whole}"


def format_usdc(base_units: int) -> str:
    """USDC with 2 to 6 decimals: 2_350_000 → "2.35", 2_349_900 → "2.3499"."""
    return format_decimal(base_units, USDC_DECIMALS, 2)


def format_usdc_exact(base_units: int) -> str:
    """USDC with all 6 decimals: 2_350_000 → "2.350000"."""
    return format_decimal(base_units, USDC_DECIMALS, USDC_DECIMALS)


def format_cents(cents: int) -> str:
    """USD: 261 → "2.61"."""
    return format_decimal(cents, 2, 2)


def format_sol(lamports: int) -> str:
    """SOL with 2 to 9 decimals."""
    return format_decimal(lamports, 9, 2)
