"""Writes docs/PROOF.md: weeks of all faults and the hunt for the seeded bugs, for as long as it is given.

`python -m tests.proof [--minutes M] [--seed S]`: half of the time for weeks, half for bugs. Run by `make soak`.
"""

import argparse
import subprocess
import time
from datetime import UTC, datetime
from pathlib import Path

from storage import engine_library

engine_library.install()

from simulator.report import Report  # noqa: E402
from simulator.runs import WEEKS_OF_A_WORLD  # noqa: E402
from simulator.scenario import ALL_FAULTS, Scenario  # noqa: E402
from simulator.week import simulate  # noqa: E402
from tests.seeded_bugs.bugs import BUGS  # noqa: E402
from tests.seeded_bugs.hunt import Hit, hunt  # noqa: E402

PLACE = Path(__file__).parent.parent / "docs" / "PROOF.md"
PURCHASES = 10
INVARIANTS = (
    "Invariants, as the checker numbers them: I1 the ledger sums to zero. I2 gross, fee, net and shares are Stripe's",
    "and the split's. I3 shares sum up. I4 nothing paid is lost. I5 each payout is in one plan and one transfer. I6",
    "what is called paid is on the chain, and what left is called paid. I7 at most once. I8 one key, one body, a",
    "successor only beside a proof. I9 states move along their edges, with history. I10 receipts stand. I11 wallet,",
    "movements and ledger are one number. I12 everything comes to rest. I15 each Monday takes what was paid before.",
)


def weeks_for(seconds: float, seed: int) -> Report:
    """Worlds of all faults, with and without people at work, until the time is over."""
    report, end, number = Report(), time.monotonic() + seconds, seed
    while time.monotonic() < end:
        weeks = 1 + number % WEEKS_OF_A_WORLD
        report.add(simulate(Scenario(number, weeks, PURCHASES, ALL_FAULTS, operators=number % 3 != 0)))
        number += 1
    return report


def hunt_for(seconds: float) -> dict[str, Hit | None]:
    """Every bug at ever more seeds, until all are found or the time is over."""
    found: dict[str, Hit | None] = dict.fromkeys((bug.name for bug in BUGS), None)
    end, seed = time.monotonic() + seconds, 1
    while time.monotonic() < end and None in found.values():
        for bug in BUGS:
            if found[bug.name] is None and time.monotonic() < end:
                found[bug.name] = hunt(bug, 1, seed)
        seed += 1
    return found


def text_of(report: Report, hits: dict[str, Hit | None], seed: int, seconds: float) -> str:
    told = report.as_json()
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    minutes, per_week = seconds / 60, told["seconds"] / max(1, told["weeks"])
    lines = [
        "# Proof",
        "",
        "What was run, and what came of it. Written by `make soak` (`tests/proof.py`): the figures are of that run",
        "and of no other.",
        "",
        f"- date: {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, commit {commit.stdout.strip()}",  # noqa: TID251
        f"- time: {minutes:.0f} minutes in one process, on a machine that did other work beside",
        f"- weeks of all faults: {told['weeks']} in {told['worlds']} worlds, seeds from {seed}",
        f"- purchases: {told['purchases']}, {PURCHASES} a week at most",
        f"- faults injected: {told['faults_injected']}; deaths of processes: {told['deaths']}",
        f"- points at which a process could have died: {told['crash_points']}",
        f"- violations: {len(told['violations'])}",
        f"- seconds a simulated week of all faults: {per_week:.2f}",
        f"- trace hash: `{told['trace_hash']}`",
        f"- seeded bugs found: {sum(hit is not None for hit in hits.values())} of {len(hits)}",
        "",
        "| fault | times |",
        "|---|---|",
        *(f"| {kind} | {times} |" for kind, times in told["faults"].items()),
        "",
        "| seeded bug | found at seed | by |",
        "|---|---|---|",
        *(_row(name, hit) for name, hit in hits.items()),
        "",
        *INVARIANTS,
        "",
    ]
    lines += [f"- seed {one['seed']}: {one['found']}" for one in told["violations"]]
    return "\n".join(lines).rstrip("\n") + "\n"


def _row(name: str, hit: Hit | None) -> str:
    if hit is None:
        return f"| {name.replace('_', ' ')} | not within this run's time | |"
    return f"| {name.replace('_', ' ')} | {hit.seed} | {hit.found.split(':')[0][:60]} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=600.0)
    parser.add_argument("--share-of-weeks", type=float, default=0.5)
    parser.add_argument("--seed", type=int, default=1_000)
    asked = parser.parse_args()
    began = time.monotonic()
    hits = hunt_for(asked.minutes * 60 * (1 - asked.share_of_weeks))
    report = weeks_for(asked.minutes * 60 * asked.share_of_weeks, asked.seed)
    PLACE.write_text(text_of(report, hits, asked.seed, time.monotonic() - began), encoding="utf-8")


if __name__ == "__main__":
    main()
