"""What a transaction bids: what is asked, more after each attempt that died, and never more than the setting."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chain.bids import bid


@pytest.mark.parametrize(
    ("recent", "dead", "price"),
    [
        ([], 0, 0),
        ([0, 0, 7], 0, 0),
        ([5, 1, 3], 0, 3),
        ([0, 0, 0], 1, 25),
        ([0, 60, 60], 1, 60),
        ([0], 3, 75),
        ([0], 4, 100),
        ([0], 7, 100),
        ([10**15], 0, 100),
    ],
)
def test_a_bid_follows_what_landed_and_what_did_not(recent: list[int], dead: int, price: int) -> None:
    found = bid(200_000, 20, recent, dead)
    assert found is not None
    assert (found.unit_limit, found.micro_lamports_per_unit) == (200_000, price)


def test_without_a_setting_there_is_no_budget_at_all() -> None:
    assert bid(200_000, 0, [1_000], 5) is None


PRICES = st.lists(st.integers(0, 10**12), max_size=5)


@given(st.integers(1, 1_400_000), st.integers(1, 10**9), PRICES, st.integers(0, 9))
def test_no_bid_costs_more_than_the_setting(units: int, most: int, recent: list[int], dead: int) -> None:
    found = bid(units, most, recent, dead)
    assert found is not None
    assert found.priority_fee_lamports <= most
