"""The way from the processes to their database, which may break, in a COMMIT or in a read, while they live on: as a
connection to PostgreSQL does when the server is restarted or a network ends."""

import random
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from storage.errors import StoreUnavailable

T = TypeVar("T")

SILENT_SECONDS = (0.0, 0.0, 1.0, 19.0)
"""Until whoever waits for the answer to a COMMIT learns that none will come; just below the deadline of ours."""
SHARE_OF_READS = 0.3
"""Of the share of the writes."""


class Break(StrEnum):
    """What became of a COMMIT whose answer is lost."""

    KEPT = "kept"
    UNDONE = "undone"


@dataclass(slots=True, eq=False)
class Fray:
    """While it lasts so many of the transactions get no answer. `struck` counts those that left something other than
    was thought: rows that are there though the write failed, or are not though its function ran to its end."""

    dice: random.Random
    share: float
    on_break: Callable[[], None]
    struck: int = 0

    def breaks(self) -> Break | None:
        """In the COMMIT that comes, and what becomes of it."""
        if self.dice.random() >= self.share:
            return None
        return self.dice.choice((Break.KEPT, Break.KEPT, Break.UNDONE))

    def breaks_a_read(self) -> bool:
        return self.dice.random() < self.share * SHARE_OF_READS

    def silence(self) -> float:
        return self.dice.choice(SILENT_SECONDS)

    def lose(self, changed: int) -> None:
        """A transaction that changes so many rows is answered by nobody."""
        self.struck += changed > 0
        self.on_break()


class Broken(NamedTuple):
    by: Fray
    how: Break


class Line:
    """Holds, but for its `frays`."""

    def __init__(self) -> None:
        self.frays: list[Fray] = []

    def in_commit(self) -> Broken | None:
        """What becomes of the next one; None: its answer comes."""
        for fray in self.frays:
            how = fray.breaks()
            if how is not None:
                return Broken(fray, how)
        return None

    def breaks_in_read(self) -> bool:
        return any(fray.breaks_a_read() for fray in self.frays)


def lost() -> StoreUnavailable:
    """What the store says then."""
    return StoreUnavailable("the connection to the database was lost")


def undone(fn: Callable[[Connection], T], by: Fray) -> Callable[[Connection], T]:
    """The same, in a transaction that is not kept. What it raises itself it still raises."""

    def run(conn: Connection) -> T:
        before = _changes(conn)
        fn(conn)
        by.lose(_changes(conn) - before)
        raise lost()

    return run


def _changes(conn: Connection) -> int:
    driver: Any = conn.connection.dbapi_connection
    return int(driver.total_changes)
