"""I10: whose lease ends by whose hand, as SQLite itself sees it.

Every connection of a simulated process carries triggers of its own that call back here, so the judgement shares no
code with the fence that it judges. Jobs end by being deleted and are put off by a new reason, and both are for the one
who holds them: a process whose lease ran out, and whose row somebody else has been done with since, may do neither.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

TABLES = ("jobs", "stripe_events", "circle_notifications")
TRIGGERS = """
CREATE TEMP TRIGGER watch_{table}_outcomes AFTER UPDATE OF last_error ON main.{table}
WHEN OLD.lease_holder IS NULL AND (NEW.last_error IS NOT NULL OR NEW.state = 'done') AND NOT ({for_a_person})
BEGIN SELECT unheld_ended('{table}', OLD.id); END;
CREATE TEMP TRIGGER watch_{table}_changes AFTER UPDATE OF lease_holder ON main.{table}
WHEN NEW.lease_holder IS NOT OLD.lease_holder
BEGIN SELECT lease_moved('{table}', OLD.id, OLD.lease_holder, NEW.lease_holder); END;
CREATE TEMP TRIGGER watch_{table}_ends AFTER DELETE ON main.{table} WHEN NOT ({by_hand})
BEGIN SELECT lease_moved('{table}', OLD.id, OLD.lease_holder, NULL); END;
"""
NEVER = "0"
FOR_A_PERSON = {"jobs": "OLD.state = 'parked'"}
"""What a job says that waits for a person may be said anew by whoever learns more."""
BY_HAND = {"jobs": "OLD.kind IN ('underpaid', 'overnetted')"}
"""Nobody works on these: they end with what they are about."""


class Leases:
    """Who holds what. A row under a lease is finished, released or parked by its holder's process alone; another
    process may only take it over."""

    def __init__(self, found: Callable[[str], None]) -> None:
        self._found = found
        self._process: dict[str, str] = {}
        """Name of a holder → the process that claimed under it."""

    def watch(self, process: str, connection: Any) -> None:
        """Put the triggers on a new connection of a process."""
        connection.create_function("lease_moved", 4, partial(self._moved, process))
        connection.create_function("unheld_ended", 2, partial(self._ended, process))
        for table in TABLES:
            for_a_person, by_hand = FOR_A_PERSON.get(table, NEVER), BY_HAND.get(table, NEVER)
            triggers = TRIGGERS.format(table=table, for_a_person=for_a_person, by_hand=by_hand)
            for statement in triggers.split(";\n"):
                if statement.strip().endswith("END"):
                    connection.execute(statement)

    def _moved(self, process: str, table: str, row: int, before: str | None, after: str | None) -> None:
        if after is not None:
            self._process[after] = process
        elif before is None:
            if table == "jobs":
                self._ended(process, table, row)
        elif self._process.get(before, process) != process:
            self._found(f"I10: {process} ended the lease of {self._process[before]} on row {row} of {table}")

    def _ended(self, process: str, table: str, row: int) -> None:
        self._found(f"I10: {process} said what became of row {row} of {table}, which it no longer held")
