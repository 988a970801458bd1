"""The hunt for the seeded bugs: does the simulator find what is wrong?"""

import re
from collections.abc import Iterator

from simulator.cores import cores, in_order
from simulator.progress import Progress
from simulator.until import Until
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


def run(until: Until) -> Account:
    """Every bug at ever more seeds, until all are found, the seeds are used up or the time is over."""
    found: dict[str, Hit | None] = dict.fromkeys((bug.name for bug in BUGS), None)
    last = 0

    def missing() -> Iterator[tuple[str, int]]:
        nonlocal last
        for last in range(1, SEEDS_MOST + 1):
            yield from ((name, last) for name, hit in found.items() if hit is None)

    progress = Progress("bugs", len(found), "bugs")
    for name, hit in until.each(in_order(_hunted, missing(), cores())):
        found[name] = found[name] or hit
        progress.at(sum(one is not None for one in found.values()), f"at seed {last}")
    hits = [hit.seed for hit in found.values() if hit is not None]
    return Account(
        f"each of the {len(BUGS)} found within {SEEDS_MOST} seeds",
        f"{len(hits)} found, up to seed {max(hits, default=0)}",
        until.taken,
        {},
        [f"{name} was not found within {SEEDS_MOST} seeds" for name in found if last == SEEDS_MOST and not found[name]],
        "\n".join([*HEAD, *(_row(*one) for one in found.items())]),
    )


def _hunted(asked: tuple[str, int]) -> tuple[str, Hit | None]:
    name, seed = asked
    return name, hunt(next(bug for bug in BUGS if bug.name == name), 1, seed)


def _row(name: str, hit: Hit | None) -> str:
    if hit is None:
        return f"| {name.replace('_', ' ')} | not within this run's time | | |"
    return f"| {name.replace('_', ' ')} | {hit.seed} | {hit.seconds:.1f} | {told(hit.found)} |"


def told(found: str) -> str:
    """The words of a finding that fit into a table."""
    return WORDS.sub("…", found).replace("|", "/")[:100]
