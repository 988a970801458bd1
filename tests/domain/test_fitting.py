import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.fitting import SUMS_MAX, Candidate, Paid, fit


def of(*amounts: int | tuple[int, ...]) -> list[Candidate]:
    each = [one if isinstance(one, tuple) else (one,) for one in amounts]
    return [Candidate(number, options) for number, options in enumerate(each, start=1)]


@given(amounts=st.lists(st.integers(1, 10**9), min_size=1, max_size=30), data=st.data())
def test_a_run_from_the_oldest_on_is_found_again(amounts: list[int], data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(amounts)))
    total = sum(amounts[:count])
    assert fit(total, of(*amounts)) == [Paid(n, amount) for n, amount in enumerate(amounts[:count], start=1)]


@pytest.mark.parametrize(("total", "owed"), [(5, of(3, 3)), (3, of(4, 3)), (1, []), (7, of(3, 3))])
def test_what_is_no_run_from_the_oldest_on_fits_nothing(total: int, owed: list[Candidate]) -> None:
    assert fit(total, owed) is None


def test_a_refund_since_then_is_seen_through_by_what_was_due_before_it() -> None:
    owed = of((235, 100), 235, (235, 0))
    assert fit(705, owed) == [Paid(1, 235), Paid(2, 235), Paid(3, 235)]
    assert fit(335, owed) == [Paid(1, 100), Paid(2, 235)]


def test_two_ways_to_the_same_sum_are_none() -> None:
    assert fit(300, of((100, 200), (200, 100))) is None
    assert fit(235, of((235, 0), (235, 0))) is None


def test_what_was_left_out_is_passed_over() -> None:
    assert fit(500, of((235, 0), 500)) == [Paid(2, 500)]


def test_too_many_possibilities_are_left_to_a_person() -> None:
    many = [Candidate(number, (2**number, 0)) for number in range(20)]
    assert 2**20 > SUMS_MAX
    assert fit(2**20 - 1, many) is None
