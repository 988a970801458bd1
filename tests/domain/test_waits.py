"""How often somebody is asked who has something to finish."""

from datetime import timedelta

from domain.waits import look_again_after, send_again_after

SECOND, HOUR = timedelta(seconds=1), timedelta(hours=1)


def looks_within(age: timedelta, least: timedelta, most: timedelta) -> int:
    taken, looks = timedelta(0), 0
    while taken < age:
        taken += look_again_after(taken, least, most)
        looks += 1
    return looks


def test_what_ends_soon_is_seen_soon_and_what_is_forgotten_costs_few_looks() -> None:
    assert look_again_after(timedelta(0), 2 * SECOND, HOUR) == 2 * SECOND
    assert look_again_after(40 * SECOND, 2 * SECOND, HOUR) == 10 * SECOND
    assert look_again_after(timedelta(days=9), 2 * SECOND, HOUR) == HOUR
    assert looks_within(timedelta(days=1), 2 * SECOND, HOUR) < 60


def test_a_clock_that_went_back_asks_no_more_often_than_at_first() -> None:
    assert look_again_after(-HOUR, 2 * SECOND, HOUR) == 2 * SECOND


def test_what_is_sent_is_sent_some_ten_times_while_it_may_land_and_rarely_when_endpoints_stand_still() -> None:
    taken, sends = timedelta(0), 0
    while taken < 60 * SECOND:
        taken += send_again_after(taken, 4 * SECOND)
        sends += 1
    assert 8 <= sends <= 12
    assert send_again_after(HOUR, 4 * SECOND) == 300 * SECOND
