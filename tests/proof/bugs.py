"""The hunt for the seeded bugs: does the simulator find what is wrong?"""

import time

from tests.proof.document import Account
from tests.seeded_bugs.bugs import BUGS
from tests.seeded_bugs.hunt import SEEDS_MOST, Hit, hunt


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
        "\n".join(["| seeded bug | found at seed | by |", "|---|---|---|", *(_row(*one) for one in found.items())]),
    )


def _row(name: str, hit: Hit | None) -> str:
    if hit is None:
        return f"| {name.replace('_', ' ')} | not within this run's time | |"
    return f"| {name.replace('_', ' ')} | {hit.seed} | {hit.found.split(':')[0][:60]} |"
