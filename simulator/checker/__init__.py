"""The independent checker: the database file read with plain SQL, against the sandbox's own records.

Nothing here calls or imports the daemon's code (import-linter holds it to that), so it can't share its mistakes.
Invariants are numbered as in `docs/PROOF.md`.
"""

from collections.abc import Iterable, Iterator
from pathlib import Path

from simulator.checker import (
    books,
    conversions,
    dashboards,
    groups,
    history,
    parties,
    patience,
    payouts,
    rest,
    sales,
    secrecy,
)
from simulator.checker.dashboards import Figures, Shown
from simulator.checker.reading import Database
from simulator.checker.records import People, Records, Wish
from simulator.checker.terms import Terms

__all__ = ["Checker", "Figures", "People", "Records", "Shown", "Terms", "Wish"]


class Checker:
    """Every method answers the broken invariants in words; none means that all hold."""

    def __init__(self, database: Path, records: Records, terms: Terms | None = None) -> None:
        self.db, self.records = Database(database), records
        self._terms = terms or Terms()
        self._unnoticed: dict[str, int] = {}
        """What happened on the chain and no row says yet → since when, in microseconds."""

    def always(self, now_us: int) -> list[str]:
        """What holds at any instant between two transactions, whatever is on its way."""
        with self.db as db, self.records.standing_still():
            return [*self._always(db), *payouts.early(db, now_us)]

    def undisturbed(self, now_us: int, accepted: Iterable[str] = ()) -> list[str]:
        """What holds besides, at any instant, where nothing ever goes wrong."""
        with self.db as db, self.records.standing_still():
            unnoticed = set(rest.unnoticed(db, self.records)) - set(accepted)
            self._unnoticed = {one: self._unnoticed.get(one, now_us) for one in sorted(unnoticed)}
            found = [*self._always(db), *rest.punctual(db, now_us), *rest.late(self._unnoticed, now_us)]
            return [*found, *rest.mondays(db, self._terms, now_us)]

    def at_rest(self, accepted: Iterable[str] = ()) -> list[str]:
        """What holds besides when nothing is on its way; `accepted` are signatures of outflows that a person declared
        his own."""
        with self.db as db, self.records.standing_still():
            found = [*self._always(db), *self._at_rest(db, frozenset(accepted))]
            return found or list(secrecy.secrets(db, self.records))  # reads every byte: only where all else holds

    def all_served(self, now_us: int, accepted: Iterable[str] = ()) -> list[str]:
        """What holds besides when people have done their part, nothing is broken and money is there for everybody."""
        found = self.at_rest(accepted)
        with self.db as db, self.records.standing_still():
            found += [*rest.settled(db, now_us), *rest.nothing_waits(db, self.records, self._terms, now_us)]
            return [*found, *conversions.open_orders(db)]

    def figures(self, creator: int) -> Figures:
        """What his dashboard has to show now."""
        with self.db as db:
            return dashboards.by_the_books(db, creator)

    def shown(self, shown: Shown, accepted: Iterable[str] = ()) -> list[str]:
        """I17: what holds of all that a creator was shown when nothing was on its way."""
        with self.db as db, self.records.standing_still():
            return list(dashboards.unlike_the_world(db, self.records, self._terms, shown, frozenset(accepted)))

    def _always(self, db: Database) -> Iterator[str]:
        records = self.records
        yield from books.ledger(db)
        yield from books.promised(db, records)
        yield from books.nettings(db)
        yield from books.owed(db)
        yield from books.settled(db, records)
        yield from sales.money(db, records, self._terms)
        yield from sales.splits(db)
        yield from parties.parties(db, records)
        yield from sales.shelves(db, records)
        yield from sales.inbox(db, records)
        yield from sales.given_back(db, records)
        yield from sales.given_early(db, records)
        yield from payouts.assignment(db)
        yield from payouts.weeks(db, records)
        yield from payouts.frozen(db)
        yield from payouts.paid_on_chain(db, records)
        yield from payouts.to_strangers(records)
        yield from payouts.landed_once(records)
        if not records.restored:
            yield from payouts.paid_once(db, records)
        yield from payouts.keys(db, records)
        yield from payouts.dead_is_dead(db, records)
        yield from secrecy.acts(db, records)
        yield from conversions.ordered(records)
        yield from conversions.said(db, records)
        yield from conversions.withdrawn(db, records)
        yield from groups.membership(db)
        yield from history.moves(db)
        yield from patience.given_up_early(db)

    def _at_rest(self, db: Database, accepted: frozenset[str]) -> Iterator[str]:
        records = self.records
        yield from sales.nothing_lost(db, records)
        yield from sales.losers(db)
        yield from sales.came_back(db, records)
        yield from sales.due_by_stripe(db, records)
        yield from sales.all_minted(db, records)
        yield from parties.nfts(db, records)
        yield from payouts.nothing_else_left(db, records, accepted)
        if records.restored:
            yield from payouts.paid_once(db, records)  # only now it has all sales again
        yield from books.treasury(db, records)
        if not records.restored:
            yield from books.dollars(db, records)  # else Stripe moved money for sales that are lost
        yield from conversions.at_rest(db, records)
        yield from groups.receipts_stand(db, records)
