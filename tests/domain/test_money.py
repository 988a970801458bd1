"""Amounts between their decimal strings and the integers inside."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain import money

DECIMALS = st.integers(0, 9)


@pytest.mark.parametrize(
    ("text", "decimals", "amount"),
    [
        ("0", 6, 0),
        ("2.35", 6, 2_350_000),
        ("2.350000", 6, 2_350_000),
        ("2.350000000", 6, 2_350_000),
        ("0.000001", 6, 1),
        ("2.61", 2, 261),
        ("3", 2, 300),
        ("3.00", 0, 3),
        ("1.000000001", 9, 1_000_000_001),
        ("9223372036.854775807", 9, money.AMOUNT_MAX),
    ],
)
def test_a_plain_decimal_is_read_to_the_smallest_unit(text: str, decimals: int, amount: int) -> None:
    assert money.parse_decimal(text, decimals) == amount


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", ".", "1.", ".5", "01", "00", "1,5", "1 000", " 1", "1 ", "1\n", "$1", "1 USDC"),
        *("-1", "+1", "--1", "1e3", "1E-2", "0x10", "1_000", "inf", "nan", "Infinity", "1/2", "1.2.3"),
        *("١٢", "1.٥", "１", "１.５", "²", "1.²", "𝟏", "1\u200b", "１e3", "1\x00", "−1"),
    ],
)
def test_whatever_is_not_plain_ascii_digits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not a plain decimal"):
        money.parse_decimal(text, 6)


@pytest.mark.parametrize(("text", "decimals"), [("0.0000001", 6), ("1.001", 2), ("0.1", 0), ("1.0000010001", 6)])
def test_more_places_than_the_unit_has_are_refused_and_never_rounded(text: str, decimals: int) -> None:
    with pytest.raises(ValueError, match="decimal"):
        money.parse_decimal(text, decimals)


@pytest.mark.parametrize(("text", "decimals"), [("9223372036.854775808", 9), ("999999999999999", 6)])
def test_an_amount_that_no_column_could_hold_is_refused(text: str, decimals: int) -> None:
    with pytest.raises(ValueError, match="too large"):
        money.parse_decimal(text, decimals)


def test_decimals_that_no_token_can_have_are_refused_before_anything_is_built_of_them() -> None:
    with pytest.raises(ValueError, match="no token"):
        money.parse_decimal("10", 2**53)


def test_the_refusal_of_a_huge_text_stays_one_short_line() -> None:
    with pytest.raises(ValueError, match="not a plain decimal") as caught:
        money.parse_decimal("9" * 100_000, 6)
    assert len(str(caught.value)) < 100
    assert "\n" not in str(caught.value)


@given(st.integers(0, money.AMOUNT_MAX), DECIMALS, st.integers(0, 9))
def test_what_is_written_is_read_back_as_the_same_amount(amount: int, decimals: int, least: int) -> None:
    if amount // 10**decimals < 10**15:
        assert money.parse_decimal(money.format_decimal(amount, decimals, min(least, decimals)), decimals) == amount


@given(st.text(max_size=30) | st.from_regex(r"[0-9_.eE+\-]{1,12}"), DECIMALS)
def test_any_text_is_either_an_exact_amount_or_refused(text: str, decimals: int) -> None:
    try:
        amount = money.parse_decimal(text, decimals)
    except ValueError:
        return
    assert text.isascii()
    assert set(text) <= set("0123456789.")
    whole, _, fraction = text.partition(".")
    assert amount * 10 ** len(fraction) == int(whole + fraction) * 10**decimals


@pytest.mark.parametrize(
    ("amount", "written"),
    [
        (0, "0.00"),
        (1, "0.000001"),
        (10_000, "0.01"),
        (2_350_000, "2.35"),
        (2_349_900, "2.3499"),
        (28_500_000, "28.50"),
        (1_000_000, "1.00"),
        (123_456_789, "123.456789"),
        (-2_350_000, "-2.35"),
        (-1, "-0.000001"),
    ],
)
def test_usdc_shows_two_to_six_places_and_never_a_rounded_digit(amount: int, written: str) -> None:
    assert money.format_usdc(amount) == written


def test_the_other_spellings() -> None:
    assert money.format_usdc_exact(2_350_000) == "2.350000"
    assert money.format_usdc_exact(0) == "0.000000"
    assert money.format_cents(261) == "2.61"
    assert money.format_cents(-5) == "-0.05"
    assert money.format_sol(20_000_000) == "0.02"
    assert money.format_sol(5_000) == "0.000005"
    assert money.format_decimal(7, 0, 0) == "7"


@given(st.integers(-(10**18), 10**18))
def test_places_shown_are_exact_to_the_base_unit(amount: int) -> None:
    written = money.format_usdc(amount)
    whole, _, places = written.removeprefix("-").partition(".")
    assert 2 <= len(places) <= 6
    assert int(whole) * 10**6 + int(places.ljust(6, "0")) == abs(amount)
    assert written.startswith("-") == (amount < 0)


@given(st.integers(0, 10**12))
def test_a_cent_is_ten_thousand_base_units(cents: int) -> None:
    assert money.cents_to_base_units(cents) == cents * 10_000
    assert money.format_usdc(money.cents_to_base_units(cents)) == money.format_cents(cents)
