"""What a run of many worlds came to: the figures as JSON, the failures as stories that a person can read."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

from simulator.week import Outcome

TRAFFIC_SHOWN = 60
"""Lines of traffic before the end, beside the plot."""


@dataclass(slots=True)
class Report:
    """Grows by one outcome at a time. Two runs of the same scenarios have the same `trace_hash`."""

    weeks: int = 0
    worlds: int = 0
    purchases: int = 0
    crash_points: int = 0
    deaths: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    violations: list[dict[str, Any]] = field(default_factory=list)
    failed: list[Outcome] = field(default_factory=list)
    _hash: Any = field(default_factory=sha256)

    def add(self, outcome: Outcome) -> None:
        self.weeks += outcome.scenario.weeks
        self.worlds += 1
        self.purchases += outcome.purchases
        self.crash_points += outcome.crash_points
        self.deaths += outcome.deaths
        self.seconds += outcome.seconds
        self.faults.update({str(kind): times for kind, times in outcome.faults.items()})
        self._hash.update(outcome.trace_hash.encode())
        for found in outcome.violations:
            self.violations.append({"seed": outcome.scenario.seed, "weeks": outcome.scenario.weeks, "found": found})
        if outcome.violations:
            self.failed.append(outcome)

    @property
    def trace_hash(self) -> str:
        return str(self._hash.hexdigest())

    def as_json(self) -> dict[str, Any]:
        """The fields by which a run is compared with another; `seconds` is the one that may differ."""
        return {
            "weeks": self.weeks,
            "worlds": self.worlds,
            "purchases": self.purchases,
            "faults_injected": sum(self.faults.values()),
            "faults": dict(sorted(self.faults.items())),
            "crash_points": self.crash_points,
            "deaths": self.deaths,
            "violations": self.violations,
            "trace_hash": self.trace_hash,
            "seconds": round(self.seconds, 3),
        }

    def write(self, place: Path) -> None:
        place.write_text(json.dumps(self.as_json(), indent=2) + "\n", encoding="utf-8")


def story_of(outcome: Outcome, command: str) -> Iterator[str]:
    """A failure, from what people and mischief did to what the checker found, and how to see it again."""
    scenario = outcome.scenario
    yield f"seed {scenario.seed}: {len(outcome.violations)} violation(s) in {scenario.weeks} week(s)"
    yield "what happened (milliseconds since the beginning):"
    yield from (f"  {line}" for line in outcome.story)
    yield "the last of the traffic:"
    yield from (f"  {line}" for line in outcome.traffic[-TRAFFIC_SHOWN:])
    yield "what the checker found:"
    yield from (f"  {found}" for found in outcome.violations)
    yield f"again, with every line of it: {command}"
