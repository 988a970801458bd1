"""The pace of attempts that no block takes, and when a person is asked."""

from datetime import timedelta

import pytest

from domain.dead_attempts import EXPIRED_MOST, PROMPT, DeadAttempts

RUNS_OUT = timedelta(seconds=90)
"""A blockhash, at mainnet's pace, with the proof of it."""


def made_in(storm: timedelta) -> int:
    """Attempts that all run out while it lasts."""
    dead, taken = DeadAttempts(), timedelta(0)
    while taken < storm:
        dead = dead.and_one(expired=True)
        taken += RUNS_OUT + dead.pause
    return dead.count


def test_the_first_are_followed_at_once_and_the_later_ones_ever_later() -> None:
    pauses = [DeadAttempts(expired=number).pause for number in range(1, EXPIRED_MOST)]
    assert pauses[:PROMPT] == [timedelta(0)] * PROMPT
    assert pauses[PROMPT : PROMPT + 7] == [timedelta(minutes=one) for one in (1, 2, 4, 8, 16, 30, 30)]
    assert max(pauses) == timedelta(minutes=30)


def test_a_storm_of_a_day_takes_some_fifty_attempts_and_leaves_as_many() -> None:
    assert made_in(timedelta(minutes=10)) == 6
    assert made_in(timedelta(hours=1)) == 10
    assert 45 < made_in(timedelta(days=1)) < 60
    assert not DeadAttempts(expired=made_in(timedelta(days=1))).are_too_many(1)
    assert made_in(timedelta(days=2)) <= EXPIRED_MOST < made_in(timedelta(days=3))


@pytest.mark.parametrize(
    ("failed", "expired", "too_many"),
    [(0, 0, False), (1, 99, False), (2, 0, True), (0, 100, True), (2, 5, True)],
)
def test_what_failed_is_counted_apart_from_what_expired(failed: int, expired: int, too_many: bool) -> None:
    dead = DeadAttempts(failed, expired)
    assert (dead.count, dead.are_too_many(2)) == (failed + expired, too_many)
    assert dead.and_one(expired=True) == DeadAttempts(failed, expired + 1)
    assert dead.and_one(expired=False) == DeadAttempts(failed + 1, expired)
