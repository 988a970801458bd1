"""Events held for minutes: none lost; the answers' time and the daemon's memory as figures."""

import asyncio
import tempfile
from pathlib import Path

from simulator.until import Until
from tests.proof.document import Account
from tests.soak.load import DUPLICATES, OUT_OF_ORDER, Held, Outcome, hold

MEMORY_GROWTH_MEGABYTES = 50.0
"""Beyond this between the beginning and the end of a long run the daemon is said to leak."""
LONG_ENOUGH_SECONDS = 120.0
"""Shorter runs end while caches and pools are still being filled."""
STARTED_SECONDS = 60.0
"""What start and end of the processes take of the time that is given."""


def run(minutes: float, per_second: int, seed: int, until: Until) -> Account:
    """At that rate for so many minutes, or for as long as there is time."""
    held = Held(per_second, max(10.0, min(minutes * 60, until.seconds - STARTED_SECONDS)), seed)
    with tempfile.TemporaryDirectory() as folder:
        outcome = asyncio.run(hold(held, Path(folder), lambda: not until.over()))
    answers = outcome.answers
    figures = {
        "seed": seed,
        "deliveries": f"{outcome.sent} of {outcome.events} events, {DUPLICATES:.0%} of them twice, "
        f"{OUT_OF_ORDER:.0%} overtaken by later ones",
        "beside": f"{held.stuck} stuck clients, {held.slow} that send a byte at a time",
        "answered 200": len(answers.seconds),
        "answer time, from when a delivery was due": f"median {answers.percentile_ms(50):.0f} ms, "
        f"p99 {answers.percentile_ms(99):.0f} ms, longest {answers.percentile_ms(100):.0f} ms",
        "resident memory": f"{outcome.memory[0] >> 20} MB at first, {max(outcome.memory) >> 20} MB at most, "
        f"{outcome.grown_megabytes():+.1f} MB from the second fifth of the time to the last",
    }
    return Account(
        f"{minutes:g} minutes of {per_second} new events a second against the daemon on SQLite",
        f"{outcome.seconds / 60:.1f} minutes",
        until.taken,
        figures,
        _found(outcome, held),
    )


def _found(outcome: Outcome, held: Held) -> list[str]:
    found = [f"{event} was answered 200 and is not stored" for event in sorted(outcome.lost)]
    found += [f"{event} never got its 200" for event in sorted(outcome.unserved)]
    if outcome.stored_twice:
        found.append(f"{outcome.stored_twice} events are stored twice")
    if outcome.left:
        found.append(f"{outcome.left} events are stored and not worked on")
    if outcome.seconds >= LONG_ENOUGH_SECONDS and outcome.grown_megabytes() > MEMORY_GROWTH_MEGABYTES:
        found.append(f"the daemon's memory grew by {outcome.grown_megabytes():.0f} MB")
    return found
