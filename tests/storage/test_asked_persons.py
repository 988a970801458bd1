"""What a person is asked for: as it stands now, once, and not again when he has settled it."""

from datetime import timedelta
from typing import Any

from sqlalchemy import Connection, select

from domain.states import RefundState
from storage.inbox import StripeEvent, add_stripe_events
from storage.operation import by_hand, retries
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.sales import checkouts, early_reversals, purchases, refunds, returns
from storage.sales.checkouts import Mark, Wanted
from storage.sales.purchases import Payment
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import contents, jobs, stripe_events
from storage.treasury import funding
from tests.sales import START, Sales

ACCOUNT = "platform-usdc"
NOW = START + timedelta(days=3)
DUE = 2_350_000


def tell(conn: Connection, sale: int, name: str, cents: int, state: RefundState, uuid: str | None = None) -> None:
    returns.record_refund(conn, sale, RefundSeen(f"re_{name}", cents, state, uuid), NOW)


def asked(conn: Connection) -> list[tuple[str, str, str]]:
    rows = conn.execute(select(jobs).where(jobs.c.kind.in_(["refund", "underpaid", "overnetted"])).order_by(jobs.c.id))
    return [(row.kind, row.state, row.last_error or "") for row in rows]


def lost_race(conn: Connection, shop: Sales) -> int:
    """The purchase of the loser of a sold-out race; his refund is due."""
    content = shop.content(conn, shop.user(conn, "ada"))
    conn.execute(contents.update().values(editions=1))
    opened = [str(shop.uuid()) for _ in range(2)]
    for number, uuid in enumerate(opened):
        wanted = Wanted(uuid, str(shop.uuid()), content, shop.user(conn, f"racer{number}"), NOW)
        checkouts.begin(conn, wanted, 300, {}, START)
    for number, uuid in enumerate(opened):
        sale = purchases.ensure(conn, Mark(uuid), START, f"pi_{number}", f"cs_{number}")
        purchases.record_payment(conn, sale, Payment(f"pi_{number}", None, 300, "usd", START), START)
    return sale


async def test_a_losers_refund_that_fails_is_not_made_anew_before_a_person_asks(store: Store) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> tuple[list[Any], list[Any]]:
        loser = lost_race(conn, shop)
        refunds.intend_for_loser(conn, loser, 300, shop.uuid(), shop.uuid(), NOW)
        mine = refunds.under_way(conn, loser)
        assert mine is not None
        tell(conn, loser, "1", 300, RefundState.PENDING, mine.uuid)
        tell(conn, loser, "1", 300, RefundState.FAILED, mine.uuid)
        waits = asked(conn)
        retries.retry_row(
            conn, "jobs", conn.execute(select(jobs.c.id).where(jobs.c.kind == "refund")).scalar_one(), NOW
        )
        return waits, asked(conn)

    (waiting,), (again,) = await store.write(story)
    assert (waiting[:2], again[:2]) == (("refund", "parked"), ("refund", "due"))


async def test_a_losers_refund_by_somebody_else_that_never_arrives_is_told(store: Store) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[Any]:
        loser = lost_race(conn, shop)
        conn.execute(jobs.delete())  # its own step has heard that the charge is refunded
        tell(conn, loser, "theirs", 300, RefundState.PENDING)
        tell(conn, loser, "theirs", 300, RefundState.FAILED)
        return asked(conn)

    assert [one[:2] for one in await store.write(story)] == [("refund", "parked")]


def paid_out(conn: Connection, shop: Sales, key: str) -> None:
    funding.fund(conn, ACCOUNT, NOW)
    terms = PlanTerms(NOW, NOW, 1, False, timedelta(0), "purchase", "circle")
    shop.pay(conn, take(conn, key, terms, lambda _: None, "ada", shop.uuids) or 0, NOW)


async def test_what_is_still_to_be_paid_by_hand_is_told_as_it_stands(store: Store) -> None:
    """Two refunds made the payout smaller; both fail after it; then the buyer gets his money after all."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[list[Any]]:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        sale = shop.sold(conn, content, buyer)
        shop.deposit(conn, DUE)
        for name in ("a", "b"):
            tell(conn, sale, name, 100, RefundState.SUCCEEDED)
        paid_out(conn, shop, "offcycle:1")
        found = []
        for name, state in (("a", RefundState.FAILED), ("b", RefundState.FAILED), ("c", RefundState.SUCCEEDED)):
            tell(conn, sale, name, 200 if name == "c" else 100, state)
            found.append(asked(conn))
        return found

    first, both, none = await store.write(story)
    assert [one[2].split()[0] for one in (*first, *both)] == ["783334", "1566667"]
    assert none == []


async def test_what_a_person_has_settled_is_not_asked_for_again_until_it_is_another_amount(store: Store) -> None:
    """A debt was netted from a payout, and the refund behind the debt failed after both were paid."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[list[Any]]:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        first = shop.sold(conn, content, buyer)
        shop.deposit(conn, 2 * DUE)
        paid_out(conn, shop, "offcycle:1")
        for name in ("a", "b"):
            tell(conn, first, name, 50, RefundState.SUCCEEDED)
        shop.sold(conn, content, buyer, START + timedelta(minutes=1))
        returns.settle_returns(conn, first, "its debt is netted", NOW)
        paid_out(conn, shop, "offcycle:2")
        tell(conn, first, "a", 50, RefundState.FAILED)
        found = [asked(conn)]
        row_id = conn.execute(select(jobs.c.id).where(jobs.c.kind == "overnetted")).scalar_one()
        debtor = conn.execute(select(jobs.c.subject).where(jobs.c.id == row_id)).scalar_one()
        amount = by_hand.asked(conn, "overnetted", debtor)
        retries.close_row(conn, "jobs", row_id, amount, "paid from the other wallet", NOW)
        returns.settle_returns(conn, first, "something else of hers", NOW)
        found.append(asked(conn))
        tell(conn, first, "b", 50, RefundState.FAILED)
        return [*found, asked(conn)]

    found = await store.write(story)
    assert [[one[:2] for one in asked] for asked in found] == [
        [("overnetted", "parked")],
        [("overnetted", "done")],
        [("overnetted", "parked")],
    ]


async def test_a_refund_that_a_person_has_closed_is_read_when_its_sale_comes_after_all(store: Store) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[str]:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        add_stripe_events(conn, [StripeEvent("evt_1", "refund.created", NOW, b"{}", NOW)])
        row_id = conn.execute(select(stripe_events.c.id)).scalar_one()
        early_reversals.file(conn, row_id, "pi_1")
        conn.execute(stripe_events.update().values(state="parked"))
        retries.close_row(conn, "stripe_events", row_id, None, "never heard of it", NOW)
        states = list(conn.scalars(select(stripe_events.c.state)))
        shop.paid(conn, content, buyer)
        return states + list(conn.scalars(select(stripe_events.c.state)))

    assert await store.write(story) == ["done", "due"]
