"""What a step says when it has run. The worker turns it into the job's next state, in one transaction."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

Commit = Callable[[Any], None]
"""Database work that belongs to the outcome; gets the connection, runs under the job's lease, may be run twice."""


def nothing(_: Any) -> None:
    """No database work beside the job's own."""


@dataclass(frozen=True, slots=True)
class Done:
    """The step's work is finished."""

    commit: Commit = nothing


@dataclass(frozen=True, slots=True)
class Again:
    """Run again after `after`. `counts` says whether this uses up one of the attempts, of which so many in a row are
    too many; waiting for a fact uses up none, and gives back those that were."""

    after: timedelta
    why: str
    counts: bool = False
    commit: Commit = nothing


@dataclass(frozen=True, slots=True)
class Refused:
    """Refused for good: parked for an operator with its reason."""

    code: str
    why: str
    commit: Commit = nothing


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something may have happened outside. Run again to look it up, with the same key; alerts when it lasts."""

    after: timedelta
    why: str
    commit: Commit = nothing


Outcome = Done | Again | Refused | Unknown
