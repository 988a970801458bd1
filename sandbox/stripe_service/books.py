"""Everything that the sandbox's Stripe remembers: one table per kind of object, newest last.

Rows are the objects in Stripe's JSON shape, so that what is stored is what is answered.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from sandbox.service import Clock
from sandbox.stripe_service.agenda import Agenda
from sandbox.stripe_service.ids import Ids
from sandbox.stripe_service.timing import Timing

Json = dict[str, Any]
API_VERSION = "2026-10-28.endive"


class Table:
    """Rows in order of creation, found by id, walked from any id in both directions.

    `indexed` fields (set at creation, never changed) give their rows without a walk over all."""

    def __init__(self, kind: str, *indexed: str) -> None:
        self.kind = kind
        self.indexed = indexed
        self._by_value: dict[tuple[str, str], list[Json]] = {}
        self._rows: list[Json] = []
        self._places: dict[str, int] = {}
        self._gone = 0
        """Rows pruned from the front; a place minus this is an index."""

    def add(self, row: Json) -> Json:
        self._places[row["id"]] = self._gone + len(self._rows)
        self._rows.append(row)
        for field in self.indexed:
            if row[field] is not None:
                self._by_value.setdefault((field, row[field]), []).append(row)
        return row

    def matching(self, field: str, value: str) -> list[Json]:
        """Rows whose indexed `field` is `value`, oldest first."""
        return self._by_value.get((field, value), [])

    def place(self, row_id: str) -> int:
        """Where a known row stands among all that ever were; later rows have greater places."""
        return self._places[row_id]

    def get(self, row_id: str) -> Json | None:
        place = self._places.get(row_id)
        return None if place is None else self._rows[place - self._gone]

    def __iter__(self) -> Iterator[Json]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)

    def older(self, than: str | None) -> Iterator[Json]:
        """Newest first, from just below `than` (or from the top)."""
        start = len(self._rows) if than is None else self._places[than] - self._gone
        for index in range(start - 1, -1, -1):
            yield self._rows[index]

    def newer(self, than: str) -> Iterator[Json]:
        """Oldest first, from just above `than`."""
        for index in range(self._places[than] - self._gone + 1, len(self._rows)):
            yield self._rows[index]

    def prune(self, is_old: Callable[[Json], bool]) -> None:
        """Forget rows at the old end while `is_old` holds."""
        count = 0
        while count < len(self._rows) and is_old(self._rows[count]):
            del self._places[self._rows[count]["id"]]
            count += 1
        del self._rows[:count]
        self._gone += count


@dataclass(frozen=True, slots=True)
class Account:
    id: str
    livemode: bool
    publishable_key: str
    created: int


class Books:
    """The tables, and what every part needs to write in them: clock, ids, agenda, delays."""

    def __init__(self, clock: Clock, rng: random.Random, timing: Timing, livemode: bool, publishable_key: str) -> None:
        self.clock = clock
        self.ids = Ids(rng)
        self.timing = timing
        self.agenda = Agenda()
        self.account = Account(self.ids.make("acct_1", 16), livemode, publishable_key, clock() // 1000)
        self.sessions = Table("checkout.session")
        self.payment_intents = Table("payment_intent")
        self.charges = Table("charge", "payment_intent")
        self.balance_transactions = Table("balance_transaction", "source")
        self.refunds = Table("refund", "payment_intent", "charge")
        self.disputes = Table("dispute", "payment_intent", "charge")
        self.payouts = Table("payout")
        self.line_items: dict[str, list[Json]] = {}
        """By session."""
        self.intent_data: dict[str, Json] = {}
        """By session: what `payment_intent_data` asks of the payment intent that does not exist yet."""
        self.session_of: dict[str, str] = {}
        """Payment intent → session; Stripe's objects don't say it."""
        self.payout_of: dict[str, str] = {}
        """Balance transaction → the automatic payout that carried it."""

    def now_seconds(self) -> int:
        return self.clock() // 1000

    def later(self, delay_ms: int, action: Callable[[], None]) -> None:
        self.agenda.at(self.clock() + delay_ms, action)

    def find(self, object_id: str) -> Json | None:
        """Any object by its id alone (ids don't collide over kinds)."""
        tables = (
            self.payment_intents,
            self.charges,
            self.balance_transactions,
            self.sessions,
            self.refunds,
            self.disputes,
            self.payouts,
        )
        return next((row for table in tables if (row := table.get(object_id)) is not None), None)
