"""Groups of packed payouts on both databases: frozen, intended, paid or dissolved, and never in two at once."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, func, select, update
from sqlalchemy.exc import IntegrityError

from domain.errors import Misuse, Retryable
from domain.evidence import Evidence
from domain.states import BatchStatus, GroupState, RefundState, UsdcStatus
from storage.payouts import batches, groups, membership, packing, receipts
from storage.payouts.groups import NewGroup
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.payouts.taking_back import take_back
from storage.sales import holds
from storage.sales.returns import DisputeSeen, RefundSeen, record_dispute, record_refund
from storage.store import Store
from storage.tables import group_attempts, group_members, payout_groups, payouts
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales

LATER = START + timedelta(hours=1)
TERMS = PlanTerms(LATER, LATER, 10_000, False, timedelta(hours=24), "creator", "solana")
DUE = 2_350_000


def batch_of(conn: Connection, sales: Sales, names: tuple[str, ...] = ("ada", "bob")) -> int:
    """A batch of one sale of each, covered and being sent."""
    buyer = sales.user(conn, "buyer")
    for name in names:
        sales.sold(conn, sales.content(conn, sales.user(conn, name)), buyer)
    sales.deposit(conn, len(names) * DUE)
    batch_id = take(conn, "offcycle:1", TERMS, lambda _: None, "somebody", sales.uuids)
    assert batch_id is not None
    funding.fund(conn, sales.usdc_account, LATER)
    batches.move(conn, batch_id, BatchStatus.WAITING_FUNDS, LATER)
    batches.move(conn, batch_id, BatchStatus.SENDING, LATER)
    return batch_id


def group_of(conn: Connection, sales: Sales, batch_id: int) -> int:
    found = packing.waiting(conn, batch_id, 10)
    members = [(row.id, row.destination_address, row.amount) for row in found]
    uuid = str(sales.uuid())
    return groups.create(conn, batch_id, NewGroup(uuid, "v0", "", "s" * 32, f"receipt-{uuid[:8]}", members), LATER)


def signed(conn: Connection, group_id: int, signature: str) -> None:
    groups.intend(conn, group_id, "wallet", PLATFORM, LATER)
    attempt = groups.load(conn, group_id).attempt
    assert attempt is not None
    groups.signed(conn, attempt.id, b"wire", signature, 150, LATER)
    groups.sent(conn, attempt.id, LATER)


async def test_a_group_that_is_paid_distributes_all_of_its_payouts_and_leaves_a_receipt(store: Store) -> None:
    sales = Sales("treasury")

    def story(conn: Connection) -> None:
        batch_id = batch_of(conn, sales)
        group_id = group_of(conn, sales, batch_id)
        assert packing.waiting(conn, batch_id, 10) == []
        signed(conn, group_id, "sig-1")
        evidence = Evidence("sig-1", True, "", 9, LATER, 1_493_440, 5_000)
        groups.paid(conn, group_id, evidence, sales.usdc_account, LATER)
        states = conn.execute(select(payouts.c.state, payouts.c.paid_amount, payouts.c.signature)).all()
        assert [tuple(row) for row in states] == [(UsdcStatus.DISTRIBUTED, DUE, "sig-1")] * 2
        assert conn.scalar(select(payout_groups.c.state)) == GroupState.PAID
        assert receipts.standing_rent(conn) == 1_488_440
        assert funding.finalized_balance(conn, sales.usdc_account) == 0
        assert receipts.closable(conn, LATER + timedelta(days=1), 10) == [], "its batch is not settled yet"
        batches.move(conn, batch_id, BatchStatus.SETTLED, LATER)
        assert len(receipts.closable(conn, LATER + timedelta(days=1), 10)) == 1
        assert receipts.closable(conn, LATER, 10) == []

    await store.write(story)


async def test_a_group_that_moved_another_amount_than_its_payouts_are_due_pays_none_of_them(store: Store) -> None:
    """Together they are due what left: one more, one less."""
    sales = Sales("treasury")

    def send(conn: Connection) -> int:
        group_id = group_of(conn, sales, batch_of(conn, sales))
        signed(conn, group_id, "sig-1")
        more, less = conn.scalars(select(payouts.c.id).order_by(payouts.c.id)).all()
        conn.execute(update(payouts).where(payouts.c.id == more).values(amount=payouts.c.amount + 1))
        conn.execute(update(payouts).where(payouts.c.id == less).values(amount=payouts.c.amount - 1))
        return group_id

    group_id = await store.write(send)
    landed = Evidence("sig-1", True, "", 9, LATER, 1_493_440, 5_000)
    with pytest.raises(Misuse):
        await store.write(lambda conn: groups.paid(conn, group_id, landed, sales.usdc_account, LATER))
    states = await store.read(lambda conn: set(conn.scalars(select(payouts.c.state))))
    assert states == {UsdcStatus.PENDING_DISTRIBUTION}


async def test_no_payout_leaves_a_group_while_an_attempt_may_land_and_all_are_free_once_it_is_dead(
    store: Store,
) -> None:
    sales = Sales("treasury")

    def story(conn: Connection) -> None:
        batch_id = batch_of(conn, sales)
        group_id = group_of(conn, sales, batch_id)
        (first, *_) = conn.scalars(select(payouts.c.transfer_id).order_by(payouts.c.id))
        assert not membership.has_begun(conn, first)
        signed(conn, group_id, "sig-1")
        assert membership.has_begun(conn, first)
        with pytest.raises(Misuse):
            groups.dissolve(conn, group_id, "too early", LATER)
        groups.failed(conn, group_id, "too early", LATER)
        assert set(conn.scalars(select(payouts.c.state))) == {UsdcStatus.PENDING_DISTRIBUTION}
        groups.dead(conn, group_id, {"why": "expired"}, LATER)
        assert not membership.has_begun(conn, first)
        groups.dissolve(conn, group_id, "a member is bad", LATER)
        assert len(packing.waiting(conn, batch_id, 10)) == 2
        again = group_of(conn, sales, batch_id)
        signed(conn, again, "sig-2")
        assert conn.scalar(select(func.count()).select_from(group_attempts)) == 2

    await store.write(story)


async def test_a_payout_that_changed_before_the_intent_is_noticed(store: Store) -> None:
    sales = Sales("treasury")

    def story(conn: Connection) -> None:
        group_id = group_of(conn, sales, batch_of(conn, sales))
        purchase_id = conn.scalar(select(func.min(payouts.c.purchase_id)))
        holds.hold(conn, purchase_id or 0, "look first", LATER)
        assert not groups.load(conn, group_id).is_payable
        with pytest.raises(Retryable):
            groups.intend(conn, group_id, "wallet", PLATFORM, LATER)

    await store.write(story)


@pytest.mark.parametrize("what", ["held", "disputed", "refunded"])
async def test_an_intent_that_was_not_signed_is_taken_back_where_a_payout_would_not_be_begun_any_more(
    what: str, store: Store
) -> None:
    sales = Sales("treasury")

    def story(conn: Connection) -> None:
        batch_id = batch_of(conn, sales)
        group_id = group_of(conn, sales, batch_id)
        groups.intend(conn, group_id, "wallet", PLATFORM, LATER)
        assert not take_back(conn, group_id, LATER), "nothing has happened to it"
        purchase_id = conn.scalar(select(func.min(payouts.c.purchase_id))) or 0
        if what == "held":
            holds.hold(conn, purchase_id, "look first", LATER)
        elif what == "disputed":
            record_dispute(conn, purchase_id, DisputeSeen("dp_1", 300, "needs_response", 300, 1_500, LATER), LATER)
        else:
            record_refund(conn, purchase_id, RefundSeen("re_1", 100, RefundState.SUCCEEDED, None), LATER)
        assert set(conn.scalars(select(payouts.c.state))) == {UsdcStatus.PENDING_DISTRIBUTION}, "it counts as begun"
        assert take_back(conn, group_id, LATER)
        assert conn.scalar(select(payout_groups.c.state)) == GroupState.DISSOLVED
        first, second = conn.execute(select(payouts.c.state, payouts.c.amount).order_by(payouts.c.id)).all()
        taken = (UsdcStatus.PENDING_DISTRIBUTION, 1_566_667) if what == "refunded" else (UsdcStatus.ON_HOLD, DUE)
        assert (tuple(first), tuple(second)) == (taken, (UsdcStatus.PENDING_DISTRIBUTION, DUE))
        again = group_of(conn, sales, batch_id)
        signed(conn, again, "sig-1")
        assert not take_back(conn, again, LATER), "it is signed"

    await store.write(story)


async def test_a_transfer_is_in_one_group_at_a_time(store: Store) -> None:
    sales = Sales("treasury")

    def story(conn: Connection) -> None:
        batch_id = batch_of(conn, sales)
        group_id = group_of(conn, sales, batch_id)
        columns = group_members.c.transfer_id, group_members.c.destination_address, group_members.c.amount
        members = [(row[0], row[1], row[2]) for row in conn.execute(select(*columns))]
        groups.create(conn, batch_id, NewGroup("other", "v0", "", "t" * 32, "other", members), LATER)
        raise AssertionError(f"group {group_id} and another hold the same transfers")

    with pytest.raises(IntegrityError):
        await store.write(story)
