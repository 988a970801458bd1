"""Which purchases free USDC covers: oldest first, whole, and never more than there is."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.funding import Owed, cover, free_balance

PAID_AT = datetime(2026, 1, 5, tzinfo=UTC)


def owed(purchase_id: int, amount: int) -> Owed:
    return Owed(purchase_id, amount, PAID_AT)


QUEUES = st.lists(st.integers(1, 10**9), max_size=30).map(
    lambda amounts: [owed(number, amount) for number, amount in enumerate(amounts)]
)


def test_the_oldest_are_covered_first() -> None:
    queue = [owed(7, 2_350_000), owed(3, 2_350_000), owed(5, 2_350_000)]
    assert cover(4_700_000, queue) == queue[:2]
    assert cover(4_699_999, queue) == queue[:1]
    assert cover(0, queue) == []
    assert cover(100_000_000, queue) == queue


def test_the_first_that_does_not_fit_ends_the_pass_even_if_a_later_one_would_fit() -> None:
    first = owed(1, 2_000_000)
    assert cover(3_000_000, [first, owed(2, 5_000_000), owed(3, 1)]) == [first]


def test_nobody_is_asked_for_after_the_first_that_does_not_fit() -> None:
    def queue() -> Iterator[Owed]:
        yield owed(1, 2)
        pytest.fail("the rest was read")

    assert cover(1, queue()) == []


def test_what_is_promised_is_not_free_and_a_shortage_is_no_credit() -> None:
    assert free_balance(10_000_000, 0) == 10_000_000
    assert free_balance(10_000_000, 4_000_000) == 6_000_000
    assert free_balance(10_000_000, 10_000_000) == 0
    assert free_balance(3_000_000, 4_000_000) == 0


@given(st.integers(0, 10**10), QUEUES)
def test_never_more_is_promised_than_is_free_and_no_purchase_is_jumped(free: int, queue: list[Owed]) -> None:
    covered = cover(free, iter(queue))
    assert covered == queue[: len(covered)]
    spent = sum(one.amount for one in covered)
    assert spent <= free
    if len(covered) < len(queue):
        assert spent + queue[len(covered)].amount > free


@given(st.lists(st.integers(0, 10**8), max_size=10), QUEUES)
def test_deposits_in_pieces_never_promise_more_than_the_wallet_holds(deposits: list[int], queue: list[Owed]) -> None:
    balance, promised, waiting = 0, 0, queue
    for deposit in deposits:
        balance += deposit
        covered = cover(free_balance(balance, promised), waiting)
        promised += sum(one.amount for one in covered)
        waiting = waiting[len(covered) :]
        assert promised <= balance
    assert len(queue) - len(waiting) == len(cover(sum(deposits), queue))
