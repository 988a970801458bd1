"""How long to wait before looking again at what somebody else has to finish."""

from datetime import timedelta

_PART = 4
"""A look comes at most a quarter later than it could have, and a day takes some forty looks."""


def look_again_after(taken: timedelta, least: timedelta, most: timedelta) -> timedelta:
    """The longer it has taken so far, the longer: notifications wake it earlier, and what is forgotten for a day costs
    no more calls than what ends within a minute."""
    return max(least, min(most, taken // _PART))
