"""Which Monday's batch is due: from what is stored, in any zone, however the daemon or the clock behaved."""

import subprocess
import sys
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.calendar import WEEK, batch_time, due_batch, latest_batch_time, next_batch_time, scheduled_key

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
INSTALLED = MONDAY - timedelta(days=3)
ZONES = [
    *("UTC", "Europe/Berlin", "America/New_York", "America/St_Johns", "Asia/Kolkata", "Asia/Kathmandu"),
    *("Australia/Lord_Howe", "Pacific/Kiritimati", "Pacific/Pago_Pago", "Pacific/Chatham", "Africa/Casablanca"),
]
MOMENTS = st.datetimes(
    datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.sampled_from([ZoneInfo(z) for z in ZONES])
)


def test_two_years_of_mondays_are_planned_once_each_and_at_nine() -> None:
    now, planned, seen = INSTALLED, list[datetime](), list[datetime]()
    while now < INSTALLED + timedelta(days=731):
        due = due_batch(now, INSTALLED, planned)
        if due is not None:
            planned.append(due)
            seen.append(now)
        now += timedelta(minutes=10)
    assert seen == planned == [MONDAY + WEEK * n for n in range(104)]
    assert {(moment.weekday(), moment.hour, moment.minute, moment.second) for moment in planned} == {(0, 9, 0, 0)}
    assert len({scheduled_key(moment) for moment in planned}) == 104


@pytest.mark.parametrize(
    ("late", "due"),
    [
        (timedelta(microseconds=-1), None),
        (timedelta(0), MONDAY),
        (timedelta(seconds=1), MONDAY),
        (timedelta(minutes=7), MONDAY),
        (timedelta(days=6, hours=23, minutes=59), MONDAY),
    ],
    ids=["a moment before nine", "at nine", "restarted at 09:00:01", "down at nine, back at 09:07", "back on Sunday"],
)
def test_down_at_nine_or_back_later_runs_that_mondays_batch(late: timedelta, due: datetime | None) -> None:
    assert due_batch(MONDAY + late, INSTALLED, []) == due


def test_the_monday_at_whose_nine_o_clock_the_system_was_installed_is_nobodys() -> None:
    assert due_batch(MONDAY, MONDAY, []) is None
    assert due_batch(MONDAY + WEEK, MONDAY, []) == MONDAY + WEEK


def test_a_restart_right_after_planning_plans_nothing_twice() -> None:
    for seconds in (0, 1, 420, 86_400):
        assert due_batch(MONDAY + timedelta(seconds=seconds), INSTALLED, [MONDAY]) is None


def test_after_several_missed_mondays_only_the_latest_is_planned() -> None:
    planned = [MONDAY]
    back = MONDAY + 4 * WEEK + timedelta(hours=5)
    due = due_batch(back, INSTALLED, planned)
    assert due == MONDAY + 4 * WEEK
    assert due is not None
    assert due_batch(back, INSTALLED, [*planned, due]) is None
    assert due_batch(back + WEEK, INSTALLED, [*planned, due]) == MONDAY + 5 * WEEK


def test_a_clock_that_goes_back_plans_nothing_twice() -> None:
    planned = [MONDAY, MONDAY + WEEK]
    for back in (timedelta(minutes=1), timedelta(days=3), WEEK, 3 * WEEK):
        assert due_batch(MONDAY + WEEK - back, INSTALLED, planned) is None
    assert due_batch(MONDAY + 2 * WEEK, INSTALLED, planned) == MONDAY + 2 * WEEK


def test_mondays_before_the_installation_are_nobodys() -> None:
    installed = MONDAY + timedelta(hours=1)
    assert due_batch(installed, installed, []) is None
    assert due_batch(MONDAY + WEEK - timedelta(seconds=1), installed, []) is None
    assert due_batch(MONDAY + WEEK, installed, []) == MONDAY + WEEK


@pytest.mark.parametrize(
    ("now", "monday"),
    [
        ("2026-12-31T23:59:59+00:00", "2026-12-28"),
        ("2027-01-01T00:00:00+00:00", "2026-12-28"),
        ("2027-01-04T09:00:00+00:00", "2027-01-04"),
        ("2028-02-28T09:00:00+00:00", "2028-02-28"),
        ("2028-02-29T12:00:00+00:00", "2028-02-28"),
        ("2028-03-06T08:59:59+00:00", "2028-02-28"),
        ("2044-02-29T09:00:00+00:00", "2044-02-29"),
        ("2029-01-01T08:00:00+00:00", "2028-12-25"),
        ("2029-01-01T09:00:00+00:00", "2029-01-01"),
        ("2027-03-28T23:30:00-11:00", "2027-03-29"),
        ("2027-03-29T22:30:00+14:00", "2027-03-22"),
    ],
)
def test_year_ends_leap_days_and_far_zones(now: str, monday: str) -> None:
    found = latest_batch_time(datetime.fromisoformat(now))
    assert found.isoformat() == f"{monday}T09:00:00+00:00"
    assert scheduled_key(found) == f"monday:{monday}"


@given(MOMENTS)
def test_the_latest_and_the_next_monday_enclose_every_moment_of_every_zone(now: datetime) -> None:
    latest, following = latest_batch_time(now), next_batch_time(now)
    assert latest <= now < following  # compared as instants
    assert following - latest == WEEK
    assert latest.tzinfo is UTC
    assert (latest.weekday(), latest.time().hour) == (0, 9)
    assert latest == batch_time(latest.date()) == latest_batch_time(now.astimezone(UTC))


@given(MOMENTS, st.lists(st.integers(-6, 6), max_size=4))
def test_planning_what_is_due_leaves_nothing_due_at_that_moment(now: datetime, weeks: list[int]) -> None:
    planned = [latest_batch_time(now) + WEEK * n for n in weeks]
    due = due_batch(now, now - 10 * WEEK, planned)
    if due is None:
        assert any(cutoff >= latest_batch_time(now) for cutoff in planned)
    else:
        assert due not in planned
        assert due_batch(now, now - 10 * WEEK, [*planned, due]) is None


ASK = """
from datetime import UTC, datetime, timedelta
from domain.calendar import due_batch, scheduled_key
start = datetime(2026, 10, 1, tzinfo=UTC)
planned = []
for hour in range(24 * 7 * 30):
    now = (start + timedelta(hours=hour)).astimezone()  # the machine's zone
    due = due_batch(now, start, planned)
    if due is not None:
        planned.append(due)
        print(scheduled_key(due), now.astimezone(UTC).isoformat())
"""


def test_the_machines_time_zone_changes_nothing() -> None:
    zones = ["UTC", "Europe/Berlin", "America/St_Johns", "Pacific/Kiritimati", "Australia/Lord_Howe"]
    processes = [
        subprocess.Popen([sys.executable, "-c", ASK], env={"TZ": zone}, stdout=subprocess.PIPE, text=True)
        for zone in zones
    ]
    answers = {process.communicate(timeout=30)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * len(zones)
    assert len(answers) == 1
    lines = answers.pop().splitlines()
    assert lines[0] == "monday:2026-10-05 2026-10-05T09:00:00+00:00"
    assert len(lines) == 30
