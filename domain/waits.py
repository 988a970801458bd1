"""How long to wait before looking again at what somebody else has to finish, and from when on to look for it."""

from datetime import timedelta

CLOCKS_DIFFER = timedelta(minutes=10)
"""By so much a service's clock may be behind ours: what came of an order is looked for from so long before it."""

_PART = 4
"""A look comes at most a quarter later than it could have, and a day takes some forty looks."""


def look_again_after(taken: timedelta, least: timedelta, most: timedelta) -> timedelta:
    """The longer it has taken so far, the longer: notifications wake it earlier, and what is forgotten for a day costs
    no more calls than what ends within a minute."""
    return max(least, min(most, taken // _PART))


_SEND_AGAIN_MOST = timedelta(minutes=5)


def send_again_after(taken: timedelta, every: timedelta) -> timedelta:
    """`every` at first, `taken` since the transaction was signed. What ever more leaders have not taken is not taken
    sooner for being sent with each: it is sent some ten times while its blockhash lives, a minute or two. What is
    neither there nor proven dead long after that waits for endpoints that stand still."""
    return look_again_after(taken, every, _SEND_AGAIN_MOST)
