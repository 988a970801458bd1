"""Headers that nobody should send, and somebody does: odd waits, odd dates, ways to other places."""

import random
from email.utils import formatdate

from simulator.outside import ELSEWHERE_URL

NO_WAITS = ("0", "-30", "1.5", "soon", "", "9" * 17, "9" * 40, "Thu, 19 Nov 2026 10:00:00 +99999999999999999999")
NO_DATES = ("", "yesterday", "Thu, 19 Nov 99999999999999999999 10:00:00 GMT")
REDIRECTS = (301, 302, 303, 307, 308)


def odd_wait(dice: random.Random, now_ms: int) -> dict[str, str]:
    """A Retry-After beside the plain seconds, now and then under a Date that can't be read."""
    soon, past, far = (formatdate(now_ms / 1_000 + by, usegmt=True) for by in (40, -9_000, 400 * 86_400))
    wait = dice.choice((soon, past, far, soon.replace("GMT", "-0000"), *NO_WAITS))
    date = dice.choice((None, None, None, *NO_DATES))
    return {"retry-after": wait} if date is None else {"retry-after": wait, "date": date}


def redirect(dice: random.Random) -> dict[str, str]:
    """Elsewhere, to the same place again, or nowhere."""
    places = (f"{ELSEWHERE_URL}/login", "//elsewhere.test/", "/", ".", "")
    place = dice.choice((*places, None))
    return {} if place is None else {"location": place}
