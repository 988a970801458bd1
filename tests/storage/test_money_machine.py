"""Money moved at random, by the same repositories that the steps use: at any time rows and books say what the reference
model says, nobody is paid twice, and no more is promised than is there."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import cache
from pathlib import Path
from typing import Any, ClassVar, Literal
from uuid import UUID

import hypothesis
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, func, select

from domain.errors import RequestError
from domain.evidence import Evidence
from domain.keys import transfer_key
from domain.ledger import Asset, debt_of
from domain.states import RefundState
from simulator.checker import books, history, payouts, sales
from simulator.checker.reading import Database
from storage import schema, tables
from storage.books.ledger import balance
from storage.engines.sqlite import open_writer
from storage.operation import by_hand, interventions, retries
from storage.operation.by_hand import DebtSettled
from storage.payouts import debts, transfers
from storage.payouts.planning import PlanTerms
from storage.payouts.reserves import REASON
from storage.payouts.taking import take
from storage.payouts.transfers import TransferCase
from storage.sales import returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales
from tests.storage.money_model import OPEN, TAKEN, Model, Payout, Sale
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
BOOKS: tuple[Callable[[Database], Iterator[str]], ...] = (
    books.ledger,
    books.nettings,
    books.owed,
    sales.splits,
    payouts.assignment,
    payouts.frozen,
    history.moves,
)
"""The independent checker's, as far as they need no world outside."""
WAITING = ("pending_conversion", "pending_distribution")
STRIPE = {OPEN: "needs_response", TAKEN: "under_review", "lost": "lost", "won": "won"}
SEED = 20261126
_IS_ASKED = tables.jobs.c.kind.in_(["underpaid", "overnetted"]) & (tables.jobs.c.state == "parked")
somebody = st.integers(0, 1_000)
"""Which of those that there are, by its remainder."""
quarters = st.integers(1, 4)


class Money(RuleBasedStateMachine):
    """One shop with a work of ada's, one of bob's and one of both."""

    histories: ClassVar[int] = 0
    moves: ClassVar[int] = 0
    """Played so far in this process."""

    @initialize()
    def open(self) -> None:
        Money.histories += 1
        self.folder = Path(tempfile.mkdtemp())
        self.path = Path(shutil.copy(template(), self.folder / "money.db"))
        self.engine, self.shop, self.model = open_writer(self.path, synchronous="OFF"), Sales(ACCOUNT), Model()
        self.now, self.number = START + timedelta(days=1), 0
        with self.engine.begin() as conn:
            self.ada, self.bob, self.buyer = (self.shop.user(conn, name) for name in ("ada", "bob", "buyer"))
            both = {self.ada: 3_333, self.bob: 6_667}
            together = {f"user_{user}": bps for user, bps in both.items()}
            self.works = [
                (self.shop.content(conn, self.ada, 300), 300, {self.ada: 10_000}),
                (self.shop.content(conn, self.bob, 500), 500, {self.bob: 10_000}),
                (self.shop.content(conn, self.ada, 700, **together), 700, both),
            ]

    def teardown(self) -> None:
        if hasattr(self, "engine"):
            with self.engine.begin() as conn:
                found = {name: one for name, one in first_findings(conn).items() if name not in NEEDS_JOBS}
            self.engine.dispose()
            shutil.rmtree(self.folder)
            assert found == {}

    # --- what happens -----------------------------------------------------------------------------------------

    @rule(work=st.integers(0, 2))
    def sell(self, work: int) -> None:
        content, gross, shares = self.works[work]
        with self.engine.begin() as conn:
            sale = self.shop.sold(conn, content, self.buyer, self.tick())
        self.model.sales[sale] = Sale(sale, gross, shares)

    @rule(dollars=st.integers(1, 8))
    def deposit(self, dollars: int) -> None:
        with self.engine.begin() as conn:
            self.shop.deposit(conn, dollars * 1_000_000, self.tick())
        self.model.deposited += dollars * 1_000_000

    @precondition(lambda self: self.model.sales)
    @rule(which=somebody, part=quarters, pending=st.booleans())
    def refund(self, which: int, part: int, pending: bool) -> None:
        sale = self.sale(which)
        left = sale.gross - sum(cents for cents, state in sale.refunds.values() if state != "failed")
        cents = min(left, sale.gross * part // 4)
        if cents > 0:
            self.number += 1
            self.tell_refund(sale, f"re_{self.number}", cents, "pending" if pending else "succeeded")

    @precondition(lambda self: any(sale.refunds for sale in self.model.sales.values()))
    @rule(which=somebody, succeeds=st.booleans())
    def refund_goes_on(self, which: int, succeeds: bool) -> None:
        known = [(sale, name) for sale in self.model.sales.values() for name in sale.refunds]
        sale, name = known[which % len(known)]
        cents, state = sale.refunds[name]
        if state == "pending" or (state == "succeeded" and not succeeds):
            self.tell_refund(sale, name, cents, "succeeded" if succeeds else "failed")

    @precondition(lambda self: any(len(sale.disputes) < 2 for sale in self.model.sales.values()))
    @rule(which=somebody, part=quarters, taken=st.booleans())
    def dispute(self, which: int, part: int, taken: bool) -> None:
        calm = [sale for sale in self.model.sales.values() if len(sale.disputes) < 2]
        sale = calm[which % len(calm)]
        name = f"dp_{sale.id}_{len(sale.disputes)}"
        self.tell_dispute(sale, name, sale.gross * part // 4, TAKEN if taken else OPEN)

    @precondition(lambda self: any(sale.disputes for sale in self.model.sales.values()))
    @rule(which=somebody, outcome=st.sampled_from(["won", "lost", TAKEN]))
    def dispute_goes_on(self, which: int, outcome: str) -> None:
        """Also one that was decided: a bank may overturn itself."""
        known = [(sale, name) for sale in self.model.sales.values() for name in sale.disputes]
        sale, name = known[which % len(known)]
        cents, state = sale.disputes[name]
        if outcome != TAKEN or state in (OPEN, TAKEN):
            self.tell_dispute(sale, name, cents, outcome)

    @precondition(lambda self: any(not one.held for one in self.model.sales.values()))
    @rule(which=somebody)
    def hold(self, which: int) -> None:
        free = [sale for sale in self.model.sales.values() if not sale.held]
        sale = free[which % len(free)]
        with self.engine.begin() as conn:
            interventions.hold(conn, sale.id, "a person wonders", self.tick())
        sale.held = True

    @precondition(lambda self: any(sale.held for sale in self.model.sales.values()))
    @rule(which=somebody)
    def let_go(self, which: int) -> None:
        held = [sale for sale in self.model.sales.values() if sale.held]
        sale = held[which % len(held)]
        with self.engine.begin() as conn:
            interventions.unhold(conn, sale.id, "nothing is wrong", self.tick())
        sale.held = False

    @rule()
    def fund(self) -> None:
        with self.engine.begin() as conn:
            funding.fund(conn, ACCOUNT, self.tick())

    @rule(grouping=st.sampled_from(["purchase", "creator"]))
    def plan(self, grouping: str) -> None:
        self.number += 1
        now = self.tick()
        terms = PlanTerms(now, now, 1, False, timedelta(0), grouping, "circle")
        with self.engine.begin() as conn:
            take(conn, f"offcycle:{self.number}", terms, lambda _: None, "ada", self.shop.uuids)
            funding.fund(conn, ACCOUNT, now)

    @rule(which=somebody, leaves=st.booleans())
    def send(self, which: int, leaves: bool) -> None:
        """Or only meant, as while Circle refuses our key."""
        with self.engine.begin() as conn:
            ready = [one for one in self.cases(conn) if one.attempt is None and one.sendable]
            if not ready:
                return
            case, now = ready[which % len(ready)], self.tick()
            number = transfers.next_attempt(conn, case.transfer.id)
            key = transfer_key(case.transfer.key_scope, UUID(case.transfer.uuid), number)
            attempt = transfers.intend(conn, case, number, key, "wallet", PLATFORM, {}, now).attempt
            assert attempt is not None
            if leaves:
                transfers.first_send(conn, attempt.id, now)
        for row in case.payouts:
            payout = (row.purchase_id, row.recipient_id)
            assert payout not in self.model.landed | self.model.under_way, "paid twice"
            self.model.under_way[payout] = row.amount - row.netted_amount

    @precondition(lambda self: self.model.under_way)
    @rule(which=somebody)
    def land(self, which: int) -> None:
        with self.engine.begin() as conn:
            case, now = self.sent(conn, which), self.tick()
            if case is None:
                return
            evidence = Evidence(f"payout-{case.transfer.id}", True, "", 9, now, 5_000)
            transfers.distributed(conn, case.transfer.id, evidence, ACCOUNT, now)
        for row in case.payouts:
            payout = (row.purchase_id, row.recipient_id)
            self.model.landed[payout] = self.model.under_way.pop(payout)

    @precondition(lambda self: self.model.under_way)
    @rule(which=somebody)
    def die(self, which: int) -> None:
        with self.engine.begin() as conn:
            case = self.sent(conn, which)
            if case is None:
                return
            transfers.dead(conn, case.transfer.id, {"why": "proven"}, self.tick())
        for row in case.payouts:
            del self.model.under_way[row.purchase_id, row.recipient_id]

    @rule(which=somebody)
    def give_up(self, which: int) -> None:
        with self.engine.begin() as conn:
            idle = [one for one in self.cases(conn) if self.never_left(one)]
            if not idle:
                return
            case = idle[which % len(idle)]
            transfers.failed(conn, case.transfer.id, "refused", self.tick())
        for row in case.payouts:
            self.model.under_way.pop(self.place(row), None)
            self.model.failed.add(self.place(row))

    @precondition(lambda self: self.model.failed)
    @rule(which=somebody)
    def retry(self, which: int) -> None:
        with self.engine.begin() as conn:
            failed = [row for row in self.rows(conn) if row.state == "failed"]
            if not failed:
                return
            chosen = failed[which % len(failed)]
            mine = [row for row in failed if row.purchase_id == chosen.purchase_id]
            together = {row.transfer_id for row in mine} - {None}
            retries.retry_distribution(conn, chosen.purchase_id, self.tick())
        asked = [row for row in failed if row in mine or row.transfer_id in together]
        self.model.failed -= {(row.purchase_id, row.recipient_id) for row in asked}

    @rule(which=somebody, changed=st.booleans())
    def settle_what_is_asked(self, which: int, changed: bool) -> None:
        """A person pays what he is asked for; or another figure, since that has changed since he looked."""
        with self.engine.begin() as conn:
            waits = conn.execute(select(tables.jobs).where(_IS_ASKED).order_by(tables.jobs.c.id)).all()
            if not waits:
                return
            row, now = waits[which % len(waits)], self.tick()
            amount = by_hand.asked(conn, row.kind, row.subject)
            assert str(row.last_error).split()[0] == str(amount)
            if changed:
                with pytest.raises(RequestError, match="look again"):
                    retries.close_row(conn, "jobs", row.id, amount + 1, "paid", now)
            else:
                retries.close_row(conn, "jobs", row.id, amount, "paid", now)

    @rule(who=st.booleans(), way=st.sampled_from(["repaid", "forgiven"]), part=quarters)
    def settle_a_debt(self, who: bool, way: Literal["repaid", "forgiven"], part: int) -> None:
        user = self.ada if who else self.bob
        with self.engine.begin() as conn:
            owes = sum(amount for _, amount in debts.open_debts(conn, user))
            if owes * part // 4:
                wish = DebtSettled(way, owes * part // 4, owes, None, "a person says so")
                assert by_hand.settle_debt(conn, user, wish, self.tick()) == owes - owes * part // 4

    # --- what holds -------------------------------------------------------------------------------------------

    @invariant()
    def every_payout_is_what_the_model_says(self) -> None:
        with self.engine.connect() as conn:
            rows = {(row.purchase_id, row.recipient_id): row for row in self.rows(conn)}
            status = {row.id: row.status for row in conn.execute(select(tables.purchases)).all()}
        assert len(rows) == sum(1 for _ in self.model.payouts())
        used = {payout: row.netted_amount + row.settled_amount for payout, row in rows.items()}
        for payout, fair in self.model.payouts():
            row, sent = rows[payout], self.model.under_way.get(payout)
            due = fair if sent is None else sent + row.netted_amount
            assert (row.amount, row.paid_amount) == (due, self.model.landed.get(payout, 0)), payout
            assert row.state in self.model.states(payout, due, used), (payout, row.state, row.reason)
            if row.state == "cancelled":
                self.model.failed.discard(payout)
        for sale in self.model.sales.values():
            assert status[sale.id] == ("refunded" if sale.refunded() else "completed")

    @invariant()
    def no_more_is_promised_or_booked_than_is_there(self) -> None:
        with self.engine.connect() as conn:
            moved = conn.scalar(
                select(func.sum(tables.chain_movements.c.amount)).where(tables.chain_movements.c.asset == Asset.USDC)
            )
            wallet = self.model.wallet()
            assert (moved or 0, balance(conn, "treasury", Asset.USDC)) == (wallet, wallet)
            promised = [row.amount - row.netted_amount for row in self.rows(conn) if row.state == WAITING[1]]
        assert sum(promised) <= wallet

    @invariant()
    def debts_are_used_up_as_far_as_money_is_due(self) -> None:
        with self.engine.connect() as conn:
            rows = self.rows(conn)
            owes = {user: balance(conn, debt_of(user), Asset.USDC) for user in (self.ada, self.bob)}
        netted: dict[Payout, int] = {self.place(row): row.netted_amount + row.settled_amount for row in rows}
        for user, owed in owes.items():
            mine = [row for row in rows if row.recipient_id == user]
            assert owed == self.model.debt(user, netted) - sum(row.netted_amount for row in mine)
            free = [row for row in mine if row.state in WAITING and self.place(row) not in self.model.under_way]
            left = sum(row.amount - row.netted_amount for row in free)
            assert owed <= 0 or left == 0, f"{user} owes {owed} beside {left}"
            taken = sum(row.netted_amount for row in mine if row in free or row.state in ("netted", "on_hold"))
            assert owed >= 0 or taken == 0, f"{-owed} more was netted than {user} owed, and {taken} could be given back"
            kept = sum(row.amount - row.netted_amount for row in mine if row.reason == REASON)
            assert kept >= self.model.risk(user, netted) or left == 0, f"{user} risks more than {kept} beside {left}"

    @invariant()
    def a_person_is_asked_for_what_was_netted_in_vain_once_none_of_it_can_come_back(self) -> None:
        with self.engine.connect() as conn:
            rows = {row.id: row for row in self.rows(conn)}
            standing = conn.execute(select(tables.nettings).where(tables.nettings.c.undone_at.is_(None))).all()
            asked = conn.execute(select(tables.jobs).where(_IS_ASKED, tables.jobs.c.kind == "overnetted")).all()
        wanted = {}
        for debtor in {one.debtor_payout_id for one in standing}:
            mine, row = [one for one in standing if one.debtor_payout_id == debtor], rows[debtor]
            got = row.paid_amount + row.netted_amount + row.settled_amount
            left = sum(one.amount for one in mine) - max(0, got - row.amount)
            if left > 0 and not any(self.place(rows[one.payout_id]) in self.model.under_way for one in mine):
                wanted[str(debtor)] = str(left)
        assert {row.subject: str(row.last_error).split()[0] for row in asked} == wanted

    @invariant()
    def the_books_hold(self) -> None:
        with Database(self.path) as db:
            assert [found for check in BOOKS for found in check(db)] == []

    # --- looking things up ------------------------------------------------------------------------------------

    def tick(self) -> Any:
        Money.moves += 1
        self.now += timedelta(minutes=1)
        return self.now

    def sale(self, which: int) -> Sale:
        known = list(self.model.sales.values())
        return known[which % len(known)]

    def rows(self, conn: Connection) -> list[Any]:
        return list(conn.execute(select(tables.payouts).order_by(tables.payouts.c.id)).all())

    def place(self, row: Any) -> Payout:
        return row.purchase_id, row.recipient_id

    def cases(self, conn: Connection) -> list[TransferCase]:
        return [transfers.load(conn, one) for one in conn.scalars(select(tables.transfers.c.id))]

    def never_left(self, case: TransferCase) -> bool:
        return case.sendable if case.attempt is None else case.never_left

    def sent(self, conn: Connection, which: int) -> TransferCase | None:
        found = [one for one in self.cases(conn) if one.attempt is not None and not one.never_left]
        return found[which % len(found)] if found else None

    def tell_refund(self, sale: Sale, name: str, cents: int, state: str) -> None:
        with self.engine.begin() as conn:
            returns.record_refund(conn, sale.id, RefundSeen(name, cents, RefundState(state), None), self.tick())
        sale.refunds[name] = (cents, state)

    def tell_dispute(self, sale: Sale, name: str, cents: int, state: str) -> None:
        now, withdrawn = self.tick(), cents if state in (TAKEN, "lost") else 0
        with self.engine.begin() as conn:
            returns.record_dispute(conn, sale.id, DisputeSeen(name, cents, STRIPE[state], withdrawn, 0, now), now)
        sale.disputes[name] = (cents, state)


NEEDS_JOBS = frozenset({"transfers-wait"})
"""Checks of what only the steps do: no job is run here."""


@cache
def template() -> Path:
    """An upgraded database file, made once for all examples."""
    path = Path(tempfile.mkdtemp()) / "template.db"
    engine = open_writer(path, synchronous="OFF")
    with engine.begin() as connection:
        schema.upgrade(connection)
    engine.dispose()
    return path


def play(max_examples: int, stateful_step_count: int, seed: int) -> None:
    """So many histories of so many moves at most; the same seed plays the same."""
    bounds = settings(
        max_examples=max_examples,
        stateful_step_count=stateful_step_count,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(hypothesis.seed(seed)(Money), settings=bounds)


def test_money_moved_at_random_is_at_any_time_what_the_reference_model_says() -> None:
    play(6, 20, SEED)


@pytest.mark.soak
@pytest.mark.timeout(0)
def test_money_moved_at_random_for_long_is_at_any_time_what_the_reference_model_says() -> None:
    play(500, 60, SEED + 1)
