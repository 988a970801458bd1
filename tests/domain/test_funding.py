"""Which purchases free USDC covers: oldest first, whole, and never more than there is."""

from hypothesis import given
from hypothesis import strategies as st

from domain.funding import Owed, cover, free_balance

QUEUES = st.lists(st.integers(1, 10**9), max_size=30).map(
    lambda amounts: [Owed(number, amount) for number, amount in enumerate(amounts)]
)


def test_the_oldest_are_covered_first() -> None:
    queue = [Owed(7, 2_350_000), Owed(3, 2_350_000), Owed(5, 2_350_000)]
    assert cover(4_700_000, queue) == [7, 3]
    assert cover(4_699_999, queue) == [7]
    assert cover(0, queue) == []
    assert cover(100_000_000, queue) == [7, 3, 5]


def test_the_first_that_does_not_fit_ends_the_pass_even_if_a_later_one_would_fit() -> None:
    assert cover(3_000_000, [Owed(1, 2_000_000), Owed(2, 5_000_000), Owed(3, 1)]) == [1]


def test_what_is_promised_is_not_free_and_a_shortage_is_no_credit() -> None:
    assert free_balance(10_000_000, 0) == 10_000_000
    assert free_balance(10_000_000, 4_000_000) == 6_000_000
    assert free_balance(10_000_000, 10_000_000) == 0
    assert free_balance(3_000_000, 4_000_000) == 0


@given(st.integers(0, 10**10), QUEUES)
def test_never_more_is_promised_than_is_free_and_no_purchase_is_jumped(free: int, queue: list[Owed]) -> None:
    covered = cover(free, iter(queue))
    assert covered == [owed.purchase_id for owed in queue[: len(covered)]]
    spent = sum(owed.amount for owed in queue[: len(covered)])
    assert spent <= free
    if len(covered) < len(queue):
        assert spent + queue[len(covered)].amount > free


@given(st.lists(st.integers(0, 10**8), max_size=10), QUEUES)
def test_deposits_in_pieces_never_promise_more_than_the_wallet_holds(deposits: list[int], queue: list[Owed]) -> None:
    balance, promised, waiting = 0, 0, queue
    for deposit in deposits:
        balance += deposit
        covered = cover(free_balance(balance, promised), waiting)
        promised += sum(owed.amount for owed in waiting[: len(covered)])
        waiting = waiting[len(covered) :]
        assert promised <= balance
    assert len(queue) - len(waiting) == len(cover(sum(deposits), queue))
