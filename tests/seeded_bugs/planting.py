"""What a seeded bug is: a mutation of the code under test, put in for as long as a patch lasts.

A bug names what a tired developer might have written; none of them is in the product. `faults` are those under which it
shows (none: it shows by itself).
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pytest import MonkeyPatch

from simulator.scenario import FaultKind

Plant = Callable[[MonkeyPatch], None]


@dataclass(frozen=True)
class Bug:
    name: str
    plant: Plant
    faults: frozenset[FaultKind] = frozenset()
    purchases: int = 6


BUGS: list[Bug] = []


def bug(*faults: FaultKind, purchases: int = 6) -> Callable[[Plant], Plant]:
    def note(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, plant, frozenset(faults), purchases))
        return plant

    return note


def without(module: Any, name: str, unwanted: Callable[..., bool], answer: Any = None) -> Plant:
    """A function that does nothing when its arguments are such."""

    def plant(patch: MonkeyPatch) -> None:
        real = getattr(module, name)
        patch.setattr(module, name, lambda *a, **k: answer if unwanted(*a, **k) else real(*a, **k))

    return plant


def of(module: Any, name: str) -> Any:
    """What a module uses under that name."""
    return getattr(module, name)


def nothing(*_: Any, **__: Any) -> None:
    """What is forgotten."""


def job(kind: str) -> Callable[..., bool]:
    return lambda conn, found, *more, **named: bool(found == kind)
