"""Whether a sale may be paid right now, read from rows: every rule of a plan, and what comes before it."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import pytest
from sqlalchemy import Connection, update

from domain.realtime import Bar, Part, PayoutMode, RealtimeRules
from domain.split import SplitRule
from domain.states import RefundState
from storage.engines.inline import InlineStore
from storage.operation.switches import SENDS_PAUSED, turn
from storage.payouts.planning import PlanTerms, lock_plans
from storage.payouts.realtime import payable_sale
from storage.payouts.taking import take
from storage.sales import holds, purchases
from storage.sales.purchases import Fee
from storage.sales.returns import RefundSeen, record_refund
from storage.store import Store
from storage.tables import purchases as purchase_rows
from storage.tables import users
from storage.treasury import funding
from tests.sales import START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000
NOW = START + timedelta(hours=1)
TERMS = PlanTerms(NOW, NOW, 10_000, True, timedelta(hours=24), "purchase", "circle")


@dataclass(frozen=True, slots=True)
class Scene:
    """A sale whose mint is due and whose fee is final, and a wallet that just covers it."""

    conn: Connection
    shop: Sales
    content: int
    artist: int
    buyer: int
    sale: int


def scene(conn: Connection) -> Scene:
    shop = Sales(ACCOUNT)
    artist, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
    content = shop.content(conn, artist)
    sale = shop.paid(conn, content, buyer)
    purchases.record_fee(conn, sale, Fee("txn_1", "ch_1", 300, 39, 261, START), SplitRule(), START)
    shop.deposit(conn, DUE)
    return Scene(conn, shop, content, artist, buyer, sale)


def decided(s: Scene, judge: Callable[[str], str | None] = lambda _: None) -> list[Part] | Bar:
    lock_plans(s.conn)
    return payable_sale(s.conn, s.sale, TERMS, RealtimeRules(PayoutMode.REALTIME), judge, ACCOUNT)


def owes(s: Scene) -> None:
    """An earlier sale of the artist was paid and is refunded since."""
    earlier = s.shop.sold(s.conn, s.content, s.buyer, START - timedelta(days=1))
    s.shop.deposit(s.conn, DUE)
    batch = take(s.conn, "offcycle:1", TERMS, lambda _: None, "ada", s.shop.uuids)
    assert batch is not None
    funding.fund(s.conn, ACCOUNT, NOW)
    s.shop.pay(s.conn, batch, NOW)
    s.shop.settle(s.conn, batch, NOW)
    record_refund(s.conn, earlier, RefundSeen("re_9", 300, RefundState.SUCCEEDED, None), NOW)


def batch_waits(s: Scene) -> None:
    """A batch of what was paid after this sale waits for funds."""
    s.shop.sold(s.conn, s.content, s.buyer, START + timedelta(seconds=1))
    assert take(s.conn, "offcycle:1", TERMS, lambda _: None, "ada", s.shop.uuids) is not None


def held(s: Scene) -> None:
    holds.hold(s.conn, s.sale, "looked into", NOW)


def refund_begun(s: Scene) -> None:
    record_refund(s.conn, s.sale, RefundSeen("re_1", 100, RefundState.PENDING, None), NOW)


def not_available(s: Scene) -> None:
    s.conn.execute(update(purchase_rows).values(available_on=NOW + timedelta(seconds=1)))


def address_just_changed(s: Scene) -> None:
    s.conn.execute(update(users).where(users.c.id == s.artist).values(address_changed_at=NOW))


def without_a_wallet(s: Scene) -> None:
    s.conn.execute(update(users).where(users.c.id == s.artist).values(circle_wallet_address=None))


def older_sale_uncovered(s: Scene) -> None:
    s.shop.sold(s.conn, s.content, s.buyer, START - timedelta(seconds=1))


def sends_paused(s: Scene) -> None:
    turn(s.conn, SENDS_PAUSED, True, "looked into", "ada", NOW)


async def test_a_sale_that_every_rule_lets_through_is_paid_in_its_parts(store: Store) -> None:
    def play(conn: Connection) -> None:
        s = scene(conn)
        (part,) = decided(s)
        assert isinstance(part, Part)
        assert (part.recipient_id, part.amount) == (s.artist, DUE)
        s.shop.sold(conn, s.content, s.buyer, START + timedelta(seconds=1))
        assert decided(s) == [part], "what was paid for later does not go before it"

    await store.write(play)


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (held, Bar.HELD),
        (refund_begun, Bar.RETURNS),
        (not_available, Bar.NOT_YET),
        (address_just_changed, Bar.ADDRESS),
        (without_a_wallet, Bar.ADDRESS),
        (owes, Bar.DEBT),
        (older_sale_uncovered, Bar.FUNDS),
        (batch_waits, Bar.OLDER_BATCH),
        (sends_paused, Bar.PAUSED),
    ],
)
async def test_a_rule_of_a_plan_bars_a_sale(
    inline_store: InlineStore, happens: Callable[[Scene], None], why: Bar
) -> None:
    def play(conn: Connection) -> None:
        s = scene(conn)
        happens(s)
        assert decided(s) == why

    await inline_store.write(play)


async def test_a_sale_whose_fee_is_open_or_whose_recipient_is_denied_waits(inline_store: InlineStore) -> None:
    def play(conn: Connection) -> None:
        s = scene(conn)
        assert decided(s, lambda _: "is on the deny list") == Bar.ADDRESS
        unpriced = s.shop.paid(conn, s.content, s.buyer)
        assert decided(Scene(conn, s.shop, s.content, s.artist, s.buyer, unpriced)) == Bar.FEE

    await inline_store.write(play)
