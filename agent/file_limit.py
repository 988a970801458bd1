"""How many files and sockets this process may have open."""

import resource

WANTED = 8_192
"""Two ports with 2,000 connections each, the database's files and the calls to Stripe, Circle and the RPCs, twice."""
KEPT_FREE = 512
"""What everything but the two ports' connections may need."""


def raise_file_limit() -> int:
    """Raise the soft limit as far as the hard one lets us, and return it. Many systems begin at 1,024, which a few
    hundred stuck connections would use up."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WANTED if hard == resource.RLIM_INFINITY else min(WANTED, hard)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return soft if soft != resource.RLIM_INFINITY else WANTED
    resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
    return wanted


def connections_for(file_limit: int, most: int) -> int:
    """How many connections one of two ports may hold, `most` at most."""
    return max(16, min(most, (file_limit - KEPT_FREE) // 2))
