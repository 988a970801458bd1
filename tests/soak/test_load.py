"""Stripe's events held at a rate, some twice and some late, beside clients that are slow or stuck: none is lost."""

from pathlib import Path

from tests.soak.load import Held, arrivals, hold

A_MOMENT = Held(per_second=100, seconds=3, seed=1)


async def test_events_held_at_a_rate_are_all_stored_once_and_worked_on_beside_stuck_clients(tmp_path: Path) -> None:
    outcome = await hold(A_MOMENT, tmp_path)
    assert outcome.events == 300
    assert outcome.sent > 1.2 * outcome.events
    assert (outcome.answers.refused, outcome.answers.unanswered) == ([], 0)
    assert (outcome.lost, outcome.unserved, outcome.stored_twice, outcome.left) == (set(), set(), 0, 0)


def test_three_of_ten_events_come_twice_and_one_of_twenty_is_overtaken() -> None:
    order = [number for _, number in arrivals(Held(per_second=200, seconds=50, seed=2))]
    first = list(dict.fromkeys(order))
    overtaken = sum(number < most for number, most in zip(first, _highest(first), strict=True))
    assert sorted(set(order)) == list(range(10_000))
    assert 0.27 < len(order) / 10_000 - 1 < 0.33
    assert 0.04 < overtaken / 10_000 < 0.06


def _highest(numbers: list[int]) -> list[int]:
    """The highest number up to each place."""
    found: list[int] = []
    for number in numbers:
        found.append(max(number, found[-1] if found else number))
    return found
