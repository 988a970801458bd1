"""The Mondays: which weekly batch is due, decided from what is stored and never from a timer that may be missed."""

from collections.abc import Sequence
from datetime import UTC, date, datetime, time, timedelta

BATCH_HOUR_UTC = 9
DAY, WEEK = timedelta(days=1), timedelta(days=7)


def utc_day(now: datetime) -> datetime:
    """When the day of `now` (aware, any zone) began in UTC: the caps of a day count from there."""
    return now.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def batch_time(monday: date) -> datetime:
    """Monday 09:00 UTC of that date."""
    return datetime.combine(monday, time(BATCH_HOUR_UTC), tzinfo=UTC)


def latest_batch_time(now: datetime) -> datetime:
    """The last Monday 09:00 UTC that is not after `now` (aware, any zone)."""
    utc = now.astimezone(UTC)
    monday = batch_time(utc.date() - timedelta(days=utc.weekday()))
    return monday if monday <= utc else monday - WEEK


def next_batch_time(now: datetime) -> datetime:
    """The next Monday 09:00 UTC strictly after `now`."""
    return latest_batch_time(now) + WEEK


def due_batch(now: datetime, installed_at: datetime, planned: Sequence[datetime]) -> datetime | None:
    """The Monday whose scheduled batch is to be planned now, or None.

    Only the latest missed Monday counts, since its batch takes everything older too. A Monday before the system was
    installed is nobody's. `planned` holds the cutoffs of scheduled batches already planned; a later one than ours
    means that the clock went back, and nothing is planned.
    """
    monday = latest_batch_time(now)
    if monday <= installed_at or any(cutoff >= monday for cutoff in planned):
        return None
    return monday


def scheduled_key(monday: datetime) -> str:
    """Key of the scheduled batch of that Monday: unique, so that it is planned once by whoever comes first."""
    return f"monday:{monday.astimezone(UTC).date().isoformat()}"
