"""What comes back at any moment of a payout, in any order: one end, books that hold, a plan that only shrinks."""

import shutil
from collections.abc import Callable, Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, func, select

from domain.evidence import Evidence
from domain.keys import transfer_key
from domain.ledger import Asset, debt_of, owed_to
from domain.states import RefundState, UsdcStatus
from storage.books.ledger import balance
from storage.engines.sqlite import open_writer
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.operation import interventions
from storage.operation.work_payload import payload
from storage.payouts import batches, transfers
from storage.payouts.approvals import changes
from storage.payouts.plan_bounds import beyond_plan
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales import returns
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.tables import batch_items, jobs, payouts, purchases, transfer_attempts
from storage.tables import transfers as transfer_rows
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales
from tests.verified import first_findings

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
MINT = MintIntent("wallet", PLATFORM, PLATFORM, "seed-late", "mint-late", "Still life #9", "RBLK", "ipfs://b")
GAPS = 5
"""Before the plan, between plan and send, in flight, after the payout, and long after it."""
BETWEEN = 1
"""The gap between plan and send."""
FACTS = (
    ("a", 100, RefundState.SUCCEEDED),
    ("b", 150, RefundState.SUCCEEDED),
    ("b", 150, RefundState.FAILED),
    ("c", 300, RefundState.PENDING),
    ("dispute", 0, "needs_response"),
    ("dispute", 300, "under_review"),
    ("dispute", 300, "lost"),
)


def tell(conn: Connection, sale: int, fact: tuple[Any, ...]) -> None:
    name, cents, state = fact
    if name == "dispute":
        minute = ("needs_response", "under_review", "lost").index(state)
        fee = 1_500 if cents else 0
        seen = DisputeSeen("dp_1", 300, state, cents, fee, NOW + timedelta(minutes=minute))
        returns.record_dispute(conn, sale, seen, NOW)
    else:
        returns.record_refund(conn, sale, RefundSeen(f"re_{name}", cents, state, None), NOW)


class Story:
    """Two sales of one creator and one of two; the first sale is the one whose money comes back."""

    def __init__(self, engine: Engine) -> None:
        self.engine, self.shop = engine, Sales(ACCOUNT)
        with engine.begin() as conn:
            ada, bob, buyer = (self.shop.user(conn, name) for name in ("ada", "bob", "buyer"))
            alone = self.shop.content(conn, ada)
            together = self.shop.content(conn, ada, 700, **{f"user_{ada}": 3_333, f"user_{bob}": 6_667})
            self.sale = self.shop.sold(conn, together, buyer)
            self.shop.sold(conn, alone, buyer)
            self.shop.deposit(conn, 20_000_000)
            self.users = (ada, bob)
        self.batch = 0

    def play(self, gaps: Sequence[Sequence[tuple[Any, ...]]]) -> Any:
        for gap, milestone in zip(gaps, (self.plan, self.send, self.land, self.nothing, self.nothing), strict=True):
            for fact in gap:
                with self.engine.begin() as conn:
                    tell(conn, self.sale, fact)
                    self.hold_plan(conn)
            with self.engine.begin() as conn:
                milestone(conn)
                self.hold_plan(conn)
        with self.engine.begin() as conn:
            assert first_findings(conn) == {}
            return self.snapshot(conn)

    def plan(self, conn: Connection) -> None:
        terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), "purchase", "circle")
        self.batch = take(conn, "offcycle:1", terms, lambda _: None, "ada", self.shop.uuids) or 0
        funding.fund(conn, ACCOUNT, NOW)

    def send(self, conn: Connection) -> None:
        for row in conn.execute(select(transfer_rows)).all():
            case = transfers.load(conn, row.id, lock=True)
            if case.sendable:
                number = transfers.next_attempt(conn, row.id)
                key = transfer_key(row.key_scope, UUID(row.uuid), number)
                attempt = transfers.intend(conn, case, number, key, "wallet", PLATFORM, {}, NOW).attempt
                assert attempt is not None
                transfers.first_send(conn, attempt.id, NOW)

    def land(self, conn: Connection) -> None:
        live = select(transfer_attempts.c.transfer_id).where(transfer_attempts.c.state != "dead")
        for transfer_id in conn.scalars(live).all():
            evidence = Evidence(f"payout-{transfer_id}", True, "", 9, NOW, 5_000)
            transfers.distributed(conn, transfer_id, evidence, ACCOUNT, NOW)

    def bury(self, conn: Connection) -> None:
        for transfer_id in conn.scalars(select(transfer_attempts.c.transfer_id)).all():
            transfers.dead(conn, transfer_id, {"why": "proven"}, NOW)

    def nothing(self, conn: Connection) -> None:
        """Time passes."""

    def hold_plan(self, conn: Connection) -> None:
        """At any time the states of the plan's items are the whole batch, and no more is sent than was planned."""
        if not self.batch:
            return
        row, counts = batches.by_id(conn, self.batch), batches.counts(conn, self.batch)
        assert sum(counts.values()) == row.payout_count
        assert set(counts) <= set(UsdcStatus)
        assert beyond_plan(conn, self.batch) is None
        items = conn.scalar(select(func.sum(batch_items.c.amount)).where(batch_items.c.batch_id == self.batch))
        shrunk = sum(change.planned - change.now for change in changes(conn, self.batch))
        mine = payouts.c.batch_id == self.batch
        left = conn.scalar(select(func.sum(payouts.c.amount - payouts.c.netted_amount)).where(mine, ~_paid())) or 0
        paid = conn.scalar(select(func.sum(payouts.c.paid_amount)).where(mine, _paid())) or 0
        assert (items, items) == (row.planned_amount, shrunk + left + paid)

    def snapshot(self, conn: Connection) -> Any:
        sale = conn.execute(
            select(purchases.c.status, purchases.c.refunded_amount, purchases.c.hold_reason).order_by(purchases.c.id)
        ).all()
        columns = (payouts.c.state, payouts.c.amount, payouts.c.netted_amount, payouts.c.paid_amount, payouts.c.reason)
        rows = conn.execute(select(*columns).order_by(payouts.c.id)).all()
        books = [balance(conn, account(user), Asset.USDC) for user in self.users for account in (owed_to, debt_of)]
        left = conn.execute(select(jobs.c.kind, jobs.c.subject).where(jobs.c.state == "parked")).all()
        return [tuple(one) for one in sale], [tuple(one) for one in rows], books, [tuple(one) for one in left]


def _paid() -> Any:
    return payouts.c.state == UsdcStatus.DISTRIBUTED


places = st.lists(st.integers(0, GAPS - 1), min_size=len(FACTS), max_size=len(FACTS))


def in_its_own_order(gap: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The dispute's facts among the others as it went. A hold takes a payout out of its plan, so that one which was
    ended before it was heard of leaves it in."""
    course = iter(sorted((fact for fact in gap if fact[0] == "dispute"), key=FACTS.index))
    return [next(course) if fact[0] == "dispute" else fact for fact in gap]


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(places, st.randoms(use_true_random=False))
def test_what_comes_back_around_a_payout_ends_the_same_in_any_order(
    sqlite_template: Path, sqlite_path: Path, engine: Engine, where: list[int], dice: Any
) -> None:
    gaps = [[fact for fact, place in zip(FACTS, where, strict=True) if place == gap] for gap in range(GAPS)]
    shuffled = [[*gap, *gap[:1]] for gap in gaps]
    for gap in shuffled:
        dice.shuffle(gap)
    shuffled[BETWEEN] = in_its_own_order(shuffled[BETWEEN])
    ends = []
    for order in (gaps, shuffled):
        shutil.copy(sqlite_template, sqlite_path)
        ends.append(Story(engine).play(order))
        engine.dispose()
        for left in sqlite_path.parent.glob(f"{sqlite_path.name}-*"):
            left.unlink()
    assert ends[0] == ends[1]


@pytest.fixture
def engine(sqlite_path: Path) -> Iterator[Engine]:
    """On a file that may be exchanged after `dispose`: what it has compiled stays."""
    opened = open_writer(sqlite_path, synchronous="OFF")
    yield opened
    opened.dispose()


@pytest.fixture
def story(engine: Engine) -> Any:
    return Story(engine)


def test_a_refund_that_fails_after_a_smaller_payout_leaves_the_rest_to_a_person(story: Story) -> None:
    refund = ("a", 350, RefundState.SUCCEEDED)
    _, rows, books, parked = story.play([[refund], [], [], [("a", 350, RefundState.FAILED)], []])
    paid, other = rows[0], rows[1]
    assert (paid[0], other[0]) == ("distributed", "distributed")
    assert paid[3] + other[3] == (paid[1] + other[1]) // 2
    assert books[0] == -(paid[1] - paid[3])
    assert [kind for kind, _ in parked] == ["underpaid", "underpaid"]
    with story.engine.begin() as conn:
        by_hand = conn.scalars(select(jobs.c.id).where(jobs.c.kind == "underpaid").order_by(jobs.c.id)).all()
        shown = payload(conn, "jobs", by_hand[0])
    assert (shown["amount"], shown["paid_amount"]) == (paid[1], paid[3])


def test_a_due_that_grows_beyond_its_plan_leaves_the_plan_and_the_shrinking_is_noted(story: Story) -> None:
    refund, fails = ("a", 350, RefundState.SUCCEEDED), ("a", 350, RefundState.FAILED)
    _, rows, _, _ = story.play([[refund], [fails], [], [], []])
    assert [row[0] for row in rows] == ["pending_conversion", "pending_conversion", "distributed"]  # covered anew
    with story.engine.begin() as conn:
        left = conn.scalars(select(payouts.c.batch_id).order_by(payouts.c.id)).all()
        assert left == [None, None, story.batch]
        assert [one.now for one in changes(conn, story.batch)] == [0, 0]


IN_FLIGHT: tuple[tuple[str, Callable[[Connection, int], object], str], ...] = (
    ("a full refund", lambda conn, sale: tell(conn, sale, ("a", 700, RefundState.SUCCEEDED)), "cancelled"),
    ("a dispute", lambda conn, sale: tell(conn, sale, ("dispute", 0, "needs_response")), "on_hold"),
    ("a hold", lambda conn, sale: interventions.hold(conn, sale, "a person wonders", NOW), "on_hold"),
)


@pytest.mark.parametrize(("comes", "state"), [one[1:] for one in IN_FLIGHT], ids=[one[0] for one in IN_FLIGHT])
def test_what_comes_while_an_attempt_is_under_way_keeps_the_next_one_from_being_sent_once_it_is_dead(
    story: Story, comes: Callable[[Connection, int], object], state: str
) -> None:
    with story.engine.begin() as conn:
        story.plan(conn)
        story.send(conn)
        comes(conn, story.sale)
        under_way = select(payouts.c.state).where(payouts.c.purchase_id == story.sale)
        assert set(conn.scalars(under_way)) == {"pending_distribution"}
        story.bury(conn)
        assert set(conn.scalars(under_way)) == {state}
        story.send(conn)
        live = select(transfer_attempts.c.transfer_id).where(transfer_attempts.c.state != "dead")
        others = select(payouts.c.transfer_id).where(payouts.c.purchase_id != story.sale)
        assert set(conn.scalars(live)) == set(conn.scalars(others))
        story.land(conn)
        assert first_findings(conn) == {}


def test_a_part_refunded_while_an_attempt_is_under_way_is_not_sent_with_the_next_one(story: Story) -> None:
    with story.engine.begin() as conn:
        story.plan(conn)
        story.send(conn)
        tell(conn, story.sale, ("a", 350, RefundState.SUCCEEDED))
        story.bury(conn)
        story.send(conn)
        story.land(conn)
        paid = conn.execute(
            select(payouts.c.paid_amount, payouts.c.amount).where(payouts.c.purchase_id == story.sale)
        ).all()
        assert all(one.paid_amount == one.amount for one in paid)
        assert [balance(conn, debt_of(user), Asset.USDC) for user in story.users] == [0, 0]
        assert first_findings(conn) == {}


def test_a_sale_refunded_in_full_while_its_mint_is_under_way_is_not_minted_anew_once_that_is_dead(
    story: Story,
) -> None:
    with story.engine.begin() as conn:
        content = conn.scalar(select(purchases.c.content_id).where(purchases.c.id == story.sale)) or 0
        buyer = story.shop.user(conn, "late")
        sale = story.shop.paid(conn, content, buyer)
        minting.intend(conn, sale, story.shop.uuid(), MINT, NOW)
        attempt = minting.load(conn, sale).attempt
        assert attempt is not None
        minting.signed(conn, attempt.id, b"wire", "signature", 150, NOW)
        tell(conn, sale, ("late", 700, RefundState.SUCCEEDED))
        status = select(purchases.c.status, purchases.c.edition_held).where(purchases.c.id == sale)
        assert conn.execute(status).one() == ("minting", True)
        minting.dead(conn, attempt.id, {"why": "expired"}, NOW)
        assert conn.execute(status).one() == ("refunded", False)
        tell(conn, sale, ("late", 700, RefundState.FAILED))
        assert conn.execute(status).one() == ("payment_completed", True)
        assert first_findings(conn) == {}
