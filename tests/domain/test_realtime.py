"""Real-time payout: what the mode may pay without a person, by figures alone."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.realtime import Bar, Left, PayoutMode, Platform, RealtimeRules, bar, last_fitting, room, sale_bar, why_left

RULES = RealtimeRules(PayoutMode.REALTIME)
STANDS = Platform(False, False, None, free=1_000, begun_today=0, unbegun=0)


@pytest.mark.parametrize(
    ("rules", "stands", "why"),
    [
        (RULES, STANDS, None),
        (replace(RULES, mode=PayoutMode.WEEKLY), STANDS, Bar.MODE),
        (replace(RULES, approvers=2), STANDS, Bar.APPROVALS),
        (RULES, replace(STANDS, sends_paused=True), Bar.PAUSED),
        (RULES, replace(STANDS, unexplained_outflow=True), Bar.OUTFLOW),
        (RULES, replace(STANDS, waiting_batch=7), Bar.OLDER_BATCH),
        (replace(RULES, day_cap=300), replace(STANDS, begun_today=200, unbegun=100), Bar.DAY_CAP),
        (replace(RULES, day_cap=301), replace(STANDS, begun_today=200, unbegun=100), None),
    ],
)
def test_whatever_needs_a_person_or_comes_first_keeps_all_of_it_for_the_monday(
    rules: RealtimeRules, stands: Platform, why: Bar | None
) -> None:
    assert bar(rules, stands) == why
    assert sale_bar(rules, stands, [1], 0) == why


@pytest.mark.parametrize(
    ("rules", "parts", "owed_before", "why"),
    [
        (RULES, [600, 400], 0, None),
        (RULES, [600, 401], 0, Bar.FUNDS),
        (RULES, [600], 401, Bar.FUNDS),
        (replace(RULES, payout_cap=599), [600], 0, Bar.PAYOUT_CAP),
        (replace(RULES, batch_cap=999), [600, 400], 0, Bar.PAYOUT_CAP),
        (replace(RULES, day_cap=999), [600, 400], 0, Bar.DAY_CAP),
        (replace(RULES, payout_cap=600, batch_cap=1_000, day_cap=1_000), [600, 400], 0, None),
        (replace(RULES, payout_cap=500), [400, 600], 0, Bar.PAYOUT_CAP),
        (replace(RULES, payout_cap=1), [], 0, None),
    ],
)
def test_a_sale_is_paid_at_once_only_with_what_is_free_and_within_every_cap(
    rules: RealtimeRules, parts: list[int], owed_before: int, why: Bar | None
) -> None:
    assert sale_bar(rules, STANDS, parts, owed_before) == why


@pytest.mark.parametrize(
    ("rules", "most"),
    [
        (RULES, None),
        (replace(RULES, batch_cap=50), 50),
        (replace(RULES, day_cap=40), 30),
        (replace(RULES, batch_cap=50, day_cap=40), 30),
        (replace(RULES, day_cap=5), 0),
    ],
)
def test_a_batch_has_the_room_that_the_tightest_cap_leaves(rules: RealtimeRules, most: int | None) -> None:
    assert room(rules, replace(STANDS, begun_today=4, unbegun=6)) == most


LEFT = Left(payouts=2, amount=100, largest=60)


@pytest.mark.parametrize(
    ("rules", "left", "why"),
    [
        (RULES, Left(), None),
        (RULES, Left(left_out=1, uncovered=1), None),
        (RULES, LEFT, None),
        (RULES, replace(LEFT, payouts=1), None),
        (RULES, replace(LEFT, uncovered=1), Bar.FUNDS),
        (replace(RULES, payout_cap=59), LEFT, Bar.PAYOUT_CAP),
        (replace(RULES, payout_cap=60), LEFT, None),
        (RULES, replace(LEFT, left_out=1), Bar.LEFT_OUT),
        (replace(RULES, day_cap=99), LEFT, Bar.DAY_CAP),
        (replace(RULES, day_cap=100), LEFT, None),
        (replace(RULES, payout_cap=59), replace(LEFT, uncovered=1, left_out=1), Bar.FUNDS),
        (replace(RULES, payout_cap=59), replace(LEFT, left_out=1), Bar.PAYOUT_CAP),
        (replace(RULES, day_cap=99), replace(LEFT, left_out=1), Bar.LEFT_OUT),
        (replace(RULES, mode=PayoutMode.WEEKLY), replace(LEFT, uncovered=1), Bar.MODE),
    ],
)
def test_what_is_left_for_the_monday_says_why(rules: RealtimeRules, left: Left, why: Bar | None) -> None:
    assert why_left(rules, STANDS, left) == why


@pytest.mark.parametrize(
    ("rules", "ceiling"),
    [
        (RULES, 0),
        (replace(RULES, payout_cap=5), 5),
        (replace(RULES, day_cap=4), 4),
        (replace(RULES, payout_cap=5, batch_cap=3, day_cap=4), 3),
    ],
)
def test_no_payout_may_be_more_than_the_least_cap_that_is_set(rules: RealtimeRules, ceiling: int) -> None:
    assert rules.ceiling == ceiling


@given(st.lists(st.integers(1, 100)), st.integers(0, 500))
def test_what_fits_is_the_longest_run_from_the_oldest(amounts: list[int], most: int) -> None:
    last = last_fitting(enumerate(amounts, start=1), most)
    count = last or 0
    assert sum(amounts[:count]) <= most
    assert count == len(amounts) or sum(amounts[: count + 1]) > most
