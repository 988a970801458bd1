"""What an arriving deposit is, by the conversions that were announced."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.deposits import OpenConversion, Share, brought, explain

USDC = 1_000_000


def opened(*expected: int, received: int = 0) -> list[OpenConversion]:
    """Conversions 1, 2, … of so many USDC, of the first one so much has arrived."""
    return [
        OpenConversion(number, amount * USDC, received * USDC if number == 1 else 0)
        for number, amount in enumerate(expected, start=1)
    ]


def told(amount: int, conversions: list[OpenConversion], *, known: bool = True) -> list[tuple[int, int, bool]]:
    return [(one.conversion_id, one.amount, one.settles) for one in explain(amount, conversions, known_sender=known)]


def test_a_deposit_that_fits_one_conversion_exactly_is_that_one_however_old_the_others_are() -> None:
    assert told(300 * USDC, opened(100, 300, 200)) == [(2, 300 * USDC, True)]


@pytest.mark.parametrize(("arrived", "settles"), [(99_500_000, True), (99_000_000, True), (98_999_999, False)])
def test_what_fees_took_up_to_a_hundredth_does_not_keep_a_conversion_open(arrived: int, settles: bool) -> None:
    assert told(arrived, opened(100)) == [(1, arrived, settles)]
    assert brought(arrived, opened(100)[0]) == Share(1, arrived, settles)


def test_what_falls_a_little_short_of_a_newer_conversion_fills_the_oldest_first() -> None:
    assert told(299 * USDC, opened(100, 300)) == [(1, 100 * USDC, True), (2, 199 * USDC, False)]


def test_a_deposit_brings_its_own_conversion_no_more_than_was_missing() -> None:
    assert brought(120 * USDC, opened(100, received=30)[0]) == Share(1, 70 * USDC, True)


def test_a_conversion_that_comes_in_parts_is_settled_by_the_last_one() -> None:
    assert told(60 * USDC, opened(100)) == [(1, 60 * USDC, False)]
    assert told(40 * USDC, opened(100, received=60)) == [(1, 40 * USDC, True)]


def test_several_conversions_that_come_as_one_are_filled_oldest_first() -> None:
    assert told(300 * USDC, opened(100, 200)) == [(1, 100 * USDC, True), (2, 200 * USDC, True)]
    assert told(150 * USDC, opened(100, 200)) == [(1, 100 * USDC, True), (2, 50 * USDC, False)]


def test_what_was_overpaid_is_left_over() -> None:
    assert told(120 * USDC, opened(100)) == [(1, 100 * USDC, True)]
    assert told(5 * USDC, []) == []


@pytest.mark.parametrize(
    ("amount", "known", "shares"),
    [(1, False, 0), (USDC, False, 0), (USDC + 1, False, 1), (1, True, 1), (USDC, True, 1), (100 * USDC, False, 1)],
)
def test_a_strangers_crumb_explains_nothing(amount: int, known: bool, shares: int) -> None:
    assert len(told(amount, opened(100), known=known)) == shares


def test_a_strangers_crumb_does_not_end_a_conversion_that_lacks_little() -> None:
    half_arrived = [OpenConversion(1, 100 * USDC, 98_500_000)]
    assert told(600_000, half_arrived, known=False) == []
    assert told(600_000, half_arrived) == [(1, 600_000, True)]


def test_what_is_left_of_a_strangers_deposit_goes_to_the_next_however_little_it_is() -> None:
    assert told(101 * USDC, opened(100, 200), known=False) == [(1, 100 * USDC, True), (2, USDC, False)]


@given(
    amount=st.integers(1, 10**12),
    sizes=st.lists(st.tuples(st.integers(1, 10**12), st.integers(0, 10**12)), max_size=6),
    known=st.booleans(),
)
def test_no_share_is_more_than_arrived_or_than_was_missing(
    amount: int, sizes: list[tuple[int, int]], known: bool
) -> None:
    conversions = [
        OpenConversion(number, expected, min(received, expected - 1))
        for number, (expected, received) in enumerate(sizes, start=1)
    ]
    shares: list[Share] = explain(amount, conversions, known_sender=known)
    missing = {one.conversion_id: one.missing for one in conversions}
    assert sum(one.amount for one in shares) <= amount
    assert all(0 < one.amount <= missing[one.conversion_id] for one in shares)
    assert len({one.conversion_id for one in shares}) == len(shares)
    assert all(one.settles for one in shares if one.amount == missing[one.conversion_id])
