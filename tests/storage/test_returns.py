"""Refunds and disputes settle a purchase by the set of facts, in whatever order they become known."""

import tempfile
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import cache
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, NullPool, create_engine, insert, select, update

from domain.evidence import Evidence
from domain.ledger import SALES, Asset, debt_of, owed_to, payouts_distributed
from domain.split import SplitRule
from domain.states import CheckoutState, RefundState, UsdcStatus, WalletState, WorkState
from storage import schema
from storage.books.ledger import balance, post, total_imbalance
from storage.history import advance
from storage.mints import minting
from storage.mints.minting import MintIntent
from storage.sales import purchases as sales
from storage.sales import returns
from storage.sales.checkouts import Mark
from storage.sales.purchases import Fee, Payment
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.tables import checkouts, contents, disputes, jobs, payouts, purchases, users

NOW = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
Fact = Callable[[Connection], None]


def _people(conn: Connection) -> None:
    for number, name in enumerate(("ada", "bob"), start=1):
        conn.execute(
            insert(users).values(
                id=number,
                uuid=f"user-{number}",
                email=f"{name}@example.com",
                username=name,
                password_hash="x",
                wallet_state=WalletState.READY,
                circle_wallet_address=f"address-{number}",
                created_at=NOW,
            )
        )
    conn.execute(
        insert(contents).values(id=1, uuid="content", author_id=1, title="Sunrise", price_cents=300, created_at=NOW)
    )


def _sale(conn: Connection, number: int) -> int:
    conn.execute(
        insert(checkouts).values(
            uuid=f"checkout-{number}",
            content_id=1,
            buyer_id=2,
            idempotency_key=f"key-{number}",
            params="{}",
            state=CheckoutState.COMPLETED,
            price_cents=300,
            expires_at=NOW,
            created_at=NOW,
        )
    )
    payment_intent_id = f"pi_{number}"
    purchase_id = sales.ensure(conn, Mark(f"checkout-{number}"), NOW, payment_intent_id=payment_intent_id)
    sales.record_payment(conn, purchase_id, Payment(payment_intent_id, f"ch_{number}", 300, "usd", NOW), NOW)
    return purchase_id


def _sold(number: int) -> Fact:
    def fact(conn: Connection) -> None:
        _sale(conn, number)

    return fact


def _priced(purchase_id: int) -> Fact:
    def fact(conn: Connection) -> None:
        fee = Fee(f"txn_{purchase_id}", f"ch_{purchase_id}", 300, 39, 261, NOW)
        sales.record_fee(conn, purchase_id, fee, SplitRule(), NOW)
        returns.settle_returns(conn, purchase_id, "fee", NOW)

    return fact


def _minted(purchase_id: int) -> Fact:
    """What the mint step does: an intent unless the sale is over, then the finalized NFT."""

    def fact(conn: Connection) -> None:
        row = sales.required(conn, purchase_id)
        if not minting.is_ready(row) or row.minted_at is not None:
            return
        intent = MintIntent("w", "p", "b", "s" * 32, f"mint-{purchase_id}", "n", "s", "u")
        minting.intend(conn, purchase_id, UUID(int=purchase_id), intent, NOW)
        attempt = minting.load(conn, purchase_id).attempt
        assert attempt is not None
        minting.signed(conn, attempt.id, b"wire", f"sig-{purchase_id}", 1, NOW)
        minting.finalized(conn, attempt.id, Evidence(f"sig-{purchase_id}", True, "", 1, NOW, 5_000), NOW)

    return fact


def _refund(purchase_id: int, name: str, cents: int, state: RefundState) -> Fact:
    return lambda conn: returns.record_refund(conn, purchase_id, RefundSeen(name, cents, state, None), NOW)


def _dispute(purchase_id: int, status: str, withdrawn: int, minute: int) -> Fact:
    seen = DisputeSeen("dp_1", 300, status, withdrawn, 1_500 if withdrawn else 0, NOW + timedelta(minutes=minute))
    return lambda conn: returns.record_dispute(conn, purchase_id, seen, NOW)


def _snapshot(conn: Connection) -> Any:
    sale = conn.execute(
        select(purchases.c.status, purchases.c.refunded_amount, purchases.c.hold_reason).order_by(purchases.c.id)
    ).all()
    columns = (payouts.c.state, payouts.c.amount, payouts.c.netted_amount, payouts.c.paid_amount)
    rows = conn.execute(select(*columns).order_by(payouts.c.purchase_id)).all()
    books = balance(conn, owed_to(1), Asset.USDC), balance(conn, debt_of(1), Asset.USDC)
    assert total_imbalance(conn) == 0
    assert books[0] == -sum(row.amount - row.netted_amount for row in rows if not row.paid_amount)
    return [tuple(row) for row in sale], [tuple(row) for row in rows], books


@cache
def _empty() -> bytes:
    """An empty database of our schema, made once: migrating takes longer than a story."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "empty.db"
        engine = create_engine(f"sqlite:///{path}")
        with engine.begin() as conn:
            schema.upgrade(conn)
            _people(conn)
        engine.dispose()
        return path.read_bytes()


@cache
def _place() -> tuple[Path, Engine]:
    """One file and one engine for all examples: what the engine has compiled stays."""
    path = Path(tempfile.mkdtemp()) / "facts.db"
    return path, create_engine(f"sqlite:///{path}", poolclass=NullPool)


def _play(setting: Fact, facts: Sequence[Fact]) -> Any:
    """A fresh database, the facts one after the other, each in a transaction of its own."""
    path, engine = _place()
    path.write_bytes(_empty())
    for fact in (setting, *facts):
        with engine.begin() as conn:
            fact(conn)
    with engine.begin() as conn:
        return _snapshot(conn)


def _paid_sale(conn: Connection) -> None:
    """Sale 1 is minted, priced and paid out; sale 2 is paid by its buyer."""
    first = _sale(conn, 1)
    _sale(conn, 2)
    _minted(first)(conn)
    _priced(first)(conn)
    row = conn.execute(select(payouts).where(payouts.c.purchase_id == first)).one()
    advance(conn, row.id, UsdcStatus.PENDING_DISTRIBUTION, NOW)
    advance(conn, row.id, UsdcStatus.DISTRIBUTED, NOW, signature="paid", paid_amount=row.amount, distributed_at=NOW)
    post(conn, payouts_distributed("paid", {1: row.amount}), NOW)


REFUNDS = (
    _refund(1, "re_a", 100, RefundState.PENDING),
    _refund(1, "re_a", 100, RefundState.SUCCEEDED),
    _refund(1, "re_b", 200, RefundState.SUCCEEDED),
    _refund(1, "re_b", 200, RefundState.FAILED),
)
DISPUTE_LOST = (
    _dispute(1, "warning_needs_response", 0, 0),
    _dispute(1, "needs_response", 300, 1),
    _dispute(1, "lost", 300, 2),
)
UNPAID_STORY = (_minted(1), _priced(1), *REFUNDS)
PAID_STORY = (_minted(2), _priced(2), *REFUNDS, *DISPUTE_LOST)


def _orders(facts: Sequence[Fact]) -> st.SearchStrategy[list[Fact]]:
    """Any order, with some facts told again later."""
    return st.tuples(st.permutations(facts), st.lists(st.sampled_from(facts), max_size=3)).map(
        lambda pair: [*pair[0], *pair[1]]
    )


@settings(max_examples=8)
@given(_orders(REFUNDS))
def test_refunds_in_any_order_before_the_payout_leave_the_same_due(order: list[Fact]) -> None:
    setting = _then(_sold(1), _minted(1), _priced(1))
    assert _play(setting, order) == _play(setting, REFUNDS)


@settings(max_examples=8)
@given(_orders(PAID_STORY))
def test_refunds_and_a_lost_dispute_after_the_payout_leave_the_same_debt_in_any_order(order: list[Fact]) -> None:
    assert _play(_paid_sale, order) == _play(_paid_sale, PAID_STORY)


@settings(max_examples=8)
@given(_orders((_priced(1), *REFUNDS[:2], *DISPUTE_LOST[:2], _dispute(1, "won", 0, 3))))
def test_a_partial_refund_and_a_won_dispute_leave_the_same_due_in_any_order(order: list[Fact]) -> None:
    setting = _then(_sold(1), _minted(1))
    sale, rows, _ = _play(setting, order)
    assert sale == [("completed", 100, None)]
    assert rows == [("pending_conversion", 1_566_667, 0, 0)]


RESOLVED = (_dispute(1, "prevented", 0, 1), _dispute(1, "prevented", 300, 1))


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
def test_a_dispute_that_stripe_prevents_by_giving_the_money_back_counts_as_lost(order: Sequence[int]) -> None:
    """It was closed like a won one, and the creator was paid for a sale whose money had gone."""
    setting = _then(_sold(1), _minted(1), _priced(1))
    _, rows, _ = _play(setting, [RESOLVED[place] for place in order])
    assert rows == [("cancelled", 0, 0, 0)]
    assert _play(_paid_sale, [RESOLVED[place] for place in order]) == _play(_paid_sale, [_dispute(1, "lost", 300, 1)])


def test_a_dispute_that_was_blocked_takes_nothing() -> None:
    _, rows, _ = _play(_then(_sold(1), _minted(1), _priced(1)), RESOLVED[:1])
    assert rows == [("pending_conversion", 2_350_000, 0, 0)]


INQUIRY_CLOSED = _dispute(1, "warning_closed", 0, 1)


@settings(max_examples=8)
@given(_orders((*DISPUTE_LOST[:1], INQUIRY_CLOSED, _dispute(1, "needs_response", 300, 2))))
def test_what_is_disputed_for_real_after_its_inquiry_was_closed_is_held_in_any_order(order: list[Fact]) -> None:
    sale, rows, _ = _play(_then(_sold(1), _minted(1), _priced(1)), order)
    assert sale == [("completed", 0, "dispute dp_1")]
    assert rows == [("on_hold", 2_350_000, 0, 0)]


def test_a_dispute_in_a_state_that_stripe_adds_some_day_is_open_until_it_has_an_outcome_that_we_know() -> None:
    setting = _then(_sold(1), _minted(1), _priced(1))
    odd = _dispute(1, "pre_arbitration", 300, 1)
    _, rows, _ = _play(setting, [odd])
    assert rows == [("on_hold", 2_350_000, 0, 0)]
    _, rows, _ = _play(setting, [odd, _dispute(1, "won", 0, 2), odd])
    assert rows == [("pending_conversion", 2_350_000, 0, 0)]


def test_a_losers_refund_that_was_given_up_while_his_dispute_was_unknown_is_due_once_the_bank_gives_him_nothing() -> (
    None
):
    def given_up(conn: Connection) -> None:
        conn.execute(update(contents).values(editions=1, editions_taken=1))
        _sale(conn, 1)
        conn.execute(update(jobs).where(jobs.c.kind == "refund").values(state=WorkState.PARKED))

    def is_due(conn: Connection) -> None:
        assert conn.scalars(select(jobs.c.state).where(jobs.c.kind == "refund")).all() == [WorkState.DUE]

    _play(given_up, [_dispute(1, "needs_response", 300, 1), _dispute(1, "won", 0, 2), is_due])


OPENED = (_dispute(1, "needs_response", 0, 1), _dispute(1, "needs_response", 300, 1))
WON = (_dispute(1, "won", 300, 2), _dispute(1, "won", 0, 2))


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (1, 0, 1)])
@pytest.mark.parametrize(("facts", "withdrawn"), [(OPENED, 300), (WON, 0)], ids=["opened", "won"])
def test_of_two_events_of_a_dispute_in_one_second_the_one_after_its_money_moved_counts(
    facts: Sequence[Fact], withdrawn: int, order: Sequence[int]
) -> None:
    def held(conn: Connection) -> None:
        taken = conn.execute(select(disputes.c.withdrawn)).scalar_one()
        assert (taken, balance(conn, SALES, Asset.USD)) == (withdrawn, withdrawn - 300)

    _play(_then(_sold(1), _minted(1), _priced(1)), [*(facts[place] for place in order), held])


@pytest.mark.parametrize("gone", [False, True])
def test_a_refund_that_fails_needs_an_edition_again_and_a_person_where_none_is_left(gone: bool) -> None:
    def setting(conn: Connection) -> None:
        conn.execute(update(contents).values(editions=1))
        _sale(conn, 1)

    facts = [_refund(1, "re_a", 300, RefundState.SUCCEEDED)]
    facts += [_sold(2)] if gone else []
    facts += [_refund(1, "re_a", 300, RefundState.FAILED), _minted(1), _priced(1)]
    sale, rows, _ = _play(setting, facts)
    if gone:
        assert sale[0][2] == returns.NO_EDITION
        assert rows == []
    else:
        assert sale[0] == ("completed", 0, None)
        assert rows == [("pending_conversion", 2_350_000, 0, 0)]


def _then(*facts: Fact) -> Fact:
    def run(conn: Connection) -> None:
        for fact in facts:
            fact(conn)

    return run
