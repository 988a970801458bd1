"""What a seeded bug is: a mutation of the code under test, put in for as long as a patch lasts.

A bug names what a tired developer might have written; none of them is in the product. Each comes with the short world
in which it shows: under which faults (none: it shows by itself), with how many purchases, and how the daemons are set
up where that is not left to the seed.
"""

import re
import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pytest import MonkeyPatch

from simulator.scenario import FaultKind, Scenario

Plant = Callable[[MonkeyPatch], None]


COMMITS_MOST, COMMITS_MOST_OF_MANY = 6_000, 20_000
"""A week of a world without the bug has half of it at most. Many are written where a start waits for a person to
explain an outflow, and where mints pay people who come beside the buyers."""


@dataclass(frozen=True)
class Bug:
    name: str
    plant: Plant
    faults: frozenset[FaultKind] = frozenset()
    purchases: int = 6
    payout_mode: str = "weekly"
    settings: tuple[tuple[str, str], ...] = ()

    def scenario(self, seed: int) -> Scenario:
        """One week of it."""
        return Scenario(
            seed,
            weeks=1,
            purchases=self.purchases,
            faults=self.faults,
            operators=True,
            payout_mode=self.payout_mode,
            settings=self.settings,
            commits_most=COMMITS_MOST_OF_MANY if self.faults or self.payout_mode == "realtime" else COMMITS_MOST,
        )


BUGS: list[Bug] = []


def bug(
    *faults: FaultKind, purchases: int = 6, payout_mode: str = "weekly", **settings: str
) -> Callable[[Plant], Plant]:
    """`settings` are named as in the environment, without AGENT_ and in small letters."""
    chosen = tuple((f"AGENT_{name.upper()}", value) for name, value in settings.items())

    def note(plant: Plant) -> Plant:
        BUGS.append(Bug(plant.__name__, plant, frozenset(faults), purchases, payout_mode, chosen))
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


def without_unique(database: bytes, table: str, column: str) -> bytes:
    """A database file whose table has lost the unique constraint of one column."""
    with TemporaryDirectory() as folder:
        path = Path(folder) / "agent.db"
        path.write_bytes(database)
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            born = "SELECT sql FROM sqlite_master WHERE tbl_name = ? AND type = ? AND sql IS NOT NULL"
            (told,) = db.execute(born, (table, "table")).fetchone()
            others = [sql for kind in ("index", "trigger") for (sql,) in db.execute(born, (table, kind))]
            lost = re.sub(rf",\s*CONSTRAINT \w+ UNIQUE \({column}\)", "", told)
            assert lost != told
            db.execute("PRAGMA foreign_keys=OFF")
            db.execute(f"DROP TABLE {table}")
            for sql in (lost, *others):
                db.execute(sql)
            db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return path.read_bytes()
