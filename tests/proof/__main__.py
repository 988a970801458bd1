"""Writes docs/PROOF.md, part by part: `python -m tests.proof [PART ...] [--minutes M] [--seed S] ...`. See --help.

Run by `make soak`. With `--minutes` each part gets its share of that time and stops there; its section then says how
far it came; with Ctrl-C too, and no other part begins. Exit 1 when a part found a violation, 130 when it was ended.
"""

import argparse
import math
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from storage.engines import engine_library

engine_library.install()

from simulator.until import Stop, Until  # noqa: E402
from tests.proof import bugs, fuzz, kills, load, model, pairs, partitions, power, weeks  # noqa: E402
from tests.proof.document import Account, write  # noqa: E402

ENDED = 130
"""As of what Ctrl-C has ended."""


@dataclass(frozen=True)
class Part:
    """`share` is its portion of the time, where there is not enough for all."""

    title: str
    share: int
    run: Callable[[argparse.Namespace, Until], Account]
    """Given the figures that were asked for and the time that it has at most."""


PARTS: Mapping[str, Part] = {
    "weeks": Part("Weeks of all faults", 3, lambda asked, until: weeks.run(asked.weeks, asked.seed, until)),
    "pairs": Part("Faults alone and in pairs", 2, lambda asked, until: pairs.run(asked.seed, until)),
    "bugs": Part("Seeded bugs", 3, lambda _, until: bugs.run(until)),
    "kills": Part("Kills", 3, lambda asked, until: kills.run(asked.kills, asked.purchases, asked.seed, until)),
    "partitions": Part("Partitions", 2, lambda asked, until: partitions.run(asked.seed, until)),
    "load": Part("Load", 1, lambda asked, until: load.run(asked.load_minutes, asked.rate, asked.seed, until)),
    "power": Part("Power loss", 1, lambda asked, until: power.run(asked.cuts, asked.seed, until)),
    "model": Part("Money beside a model", 1, lambda asked, until: model.run(asked.histories, asked.seed, until)),
    "fuzz": Part("Mangled answers", 1, lambda asked, until: fuzz.run(asked.answers, until)),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"of {', '.join(PARTS)}; all if none is named")
    parser.add_argument("--minutes", type=float, help="for all parts together; as long as they take if not given")
    parser.add_argument("--seed", type=int, default=1_000)
    parser.add_argument("--weeks", type=int, default=10_000)
    parser.add_argument("--kills", type=int, default=500)
    parser.add_argument("--purchases", type=int, default=2_000, help="under kills")
    parser.add_argument("--load-minutes", type=float, default=30.0)
    parser.add_argument("--rate", type=int, default=200, help="new events a second under load")
    parser.add_argument("--cuts", type=int, default=100, help="power failures")
    parser.add_argument("--histories", type=int, default=2_000, help="of money moved at random")
    parser.add_argument("--answers", type=int, default=20_000, help="mangled, to each question")
    asked = parser.parse_args()
    if unknown := set(asked.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(sorted(unknown))}; there are {', '.join(PARTS)}")
    chosen = [PARTS[name] for name in PARTS if name in asked.parts or not asked.parts]
    whole = sum(part.share for part in chosen)
    found = 0
    with Stop() as stop:
        for part in chosen:
            if stop.asked:
                break
            print(f"{part.title}: begins", file=sys.stderr, flush=True)  # noqa: T201
            seconds = math.inf if asked.minutes is None else asked.minutes * 60 * part.share / whole
            account = part.run(asked, Until(stop, seconds))
            write(part.title, account, [one.title for one in PARTS.values()])
            found += len(account.violations)
            print(f"{part.title}: {account.done}, {len(account.violations)} violations", flush=True)  # noqa: T201
    return 1 if found else ENDED if stop.asked else 0


if __name__ == "__main__":
    sys.exit(main())
