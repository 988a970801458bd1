"""The times that foreign answers tell in their headers. Whatever stands there, reading it raises nothing: the answer of
a call that moved money must not be lost for it."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

_SECONDS = re.compile(r"\s*([0-9]+)\s*", re.ASCII)


def dated(headers: Mapping[str, str], name: str = "date") -> datetime | None:
    """The moment in a header, aware; without a zone it is UTC, as HTTP has it. None when there is none."""
    try:
        told = parsedate_to_datetime(headers.get(name, ""))
    except (ValueError, TypeError, OverflowError):  # the last: a year or a zone beyond all numbers
        return None
    return told if told.tzinfo else told.replace(tzinfo=UTC)


def retry_after(headers: Mapping[str, str], now: datetime, most: float) -> float | None:
    """Retry-After as seconds from `now`, given as seconds or as a date, between 0 and `most`; None without it."""
    seconds = _SECONDS.fullmatch(headers.get("retry-after", ""))
    if seconds is not None:
        return min(most, float(seconds.group(1)))
    moment = dated(headers, "retry-after")
    return None if moment is None else min(most, max(0.0, (moment - now).total_seconds()))
