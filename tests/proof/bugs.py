"""The hunt for the seeded bugs: does the simulator find what is wrong?"""

import re
import time

from tests.proof.document import Account
from tests.seeded_bugs.bugs import BUGS
from tests.seeded_bugs.hunt import SEEDS_MOST, Hit, hunt

HEAD = (
    "A world counts only if nothing is found in it without the bug. Seconds are processor time of the world that told.",
    "",
    "| seeded bug | found at seed | seconds | by |",
    "|---|---|---|---|",
)
WORDS = re.compile(r"\w{24,}")
"""Ids, addresses, signatures."""


def run(seconds: float) -> Account:
    """Every bug at ever more seeds, until all are found, the seeds are used up or the time is over."""
    found: dict[str, Hit | None] = dict.fromkeys((bug.name for bug in BUGS), None)
    began, seed = time.monotonic(), 1
    while time.monotonic() < began + seconds and None in found.values() and seed <= SEEDS_MOST:
        for bug in BUGS:
            if found[bug.name] is None and time.monotonic() < began + seconds:
                found[bug.name] = hunt(bug, 1, seed)
        seed += 1
    hits = sum(hit is not None for hit in found.values())
    return Account(
        f"each of the {len(BUGS)} found within {SEEDS_MOST} seeds",
        f"{hits} found, up to seed {seed - 1}",
        time.monotonic() - began,
        {},
        [f"{name} was not found within {SEEDS_MOST} seeds" for name in found if seed > SEEDS_MOST and not found[name]],
        "\n".join([*HEAD, *(_row(*one) for one in found.items())]),
    )


def _row(name: str, hit: Hit | None) -> str:
    if hit is None:
        return f"| {name.replace('_', ' ')} | not within this run's time | | |"
    return f"| {name.replace('_', ' ')} | {hit.seed} | {hit.seconds:.1f} | {told(hit.found)} |"


def told(found: str) -> str:
    """The words of a finding that fit into a table."""
    return WORDS.sub("…", found).replace("|", "/")[:100]
