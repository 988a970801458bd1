"""What creators and the operator are shown of money, beside what the rows say."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection, select

from domain.evidence import Evidence
from domain.split import SplitRule
from domain.states import RefundState
from storage.operation import by_hand, interventions, retries
from storage.payouts import upkeep
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.payouts.upkeep import Payer
from storage.reading import glance, outlook, search, unminted, views
from storage.sales import purchases, returns
from storage.sales.purchases import Fee
from storage.sales.returns import DisputeSeen, RefundSeen
from storage.store import Store
from storage.tables import contents, jobs
from storage.tables import purchases as purchase_rows
from storage.treasury import funding
from tests.sales import PLATFORM, START, Sales

ACCOUNT = "platform-usdc"
DUE = 2_350_000


@pytest.mark.parametrize(("lost", "left"), [(300, 0), (100, 1_566_667), (0, DUE)])
async def test_a_lost_dispute_makes_less_due_of_a_sale_that_is_not_minted_yet(
    store: Store, lost: int, left: int
) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> tuple[Any, ...]:
        ada = shop.user(conn, "ada")
        sale = shop.paid(conn, shop.content(conn, ada), shop.user(conn, "buyer"))
        purchases.record_fee(conn, sale, Fee("txn_1", "ch_1", 300, 39, 261, START), SplitRule(), START)
        status = "lost" if lost else "won"
        returns.record_dispute(conn, sale, DisputeSeen("dp_1", lost or 300, status, lost, 1_500, START), START)
        board, ahead = views.dashboard(conn, ada), outlook.outlook(conn, ACCOUNT, START + timedelta(hours=1))
        return board.total_sales, board.pending, ahead.unminted

    assert await store.write(story) == (left, left, left)


async def test_what_went_back_before_the_nft_exists_is_due_to_nobody_any_more(store: Store) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[int | None]:
        sale = shop.paid(conn, shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer"))
        told = [_due(conn, sale)]
        shop.priced(conn, sale)
        for name, cents in (("re_1", 100), ("re_2", 200)):
            told.append(_due(conn, sale))
            refund(conn, sale, name, cents)
        return [*told, _due(conn, sale)]

    assert await store.write(story) == [None, DUE, 1_566_667, 0]


def _due(conn: Connection, sale: int) -> int | None:
    found = views.purchase(conn, sale)
    assert found is not None
    return found.usdc_amount


def refund(conn: Connection, sale: int, name: str, cents: int, state: RefundState = RefundState.SUCCEEDED) -> None:
    returns.record_refund(conn, sale, RefundSeen(name, cents, state, None), START)


async def test_what_sales_leave_is_without_what_came_back_and_what_stripe_took_for_it(store: Store) -> None:
    """A sale as it is, one refunded in part, one in full, one lost to a bank, and a loser whose refund is to come."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> tuple[outlook.Costs, int]:
        ada, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
        content = shop.content(conn, ada)
        _, partly, whole, lost = (shop.sold(conn, content, buyer) for _ in range(4))
        refund(conn, partly, "re_1", 100)
        refund(conn, whole, "re_2", 300)
        returns.record_dispute(conn, lost, DisputeSeen("dp_1", 300, "lost", 300, 1_500, START), START)
        session = shop.opened(conn, content, buyer)
        conn.execute(contents.update().where(contents.c.id == content).values(editions=4))
        shop.priced(conn, shop.pays(conn, session))
        return outlook.costs(conn, START - timedelta(days=1)), views.dashboard(conn, ada).total_sales

    found, sales = await store.write(story)
    assert (found.sales, found.gross_cents, found.net_cents, found.returned_cents) == (5, 1_500, 5 * 261, 1_000)
    assert (found.creators, found.dispute_cents) == (sales, 1_500)
    assert found.creators == DUE + 1_566_667
    assert found.platform == (5 * 261 - 1_000 - 1_500) * 10_000 - found.creators < 0


async def test_what_was_paid_out_lately_counts_however_old_its_sale_is(store: Store) -> None:
    """As of a creator who had no wallet for long, or whose sales came to the least payout only by now."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[tuple[int, int]]:
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        shop.sold(conn, content, buyer, START - timedelta(days=90))
        shop.deposit(conn, DUE)
        pay(conn, shop, 1)
        return [(day.rows, day.amount) for day in glance.payouts_by_day(conn, START + timedelta(days=1), 3)]

    assert await store.write(story) == [(0, 0), (1, DUE), (0, 0)]


async def test_token_accounts_that_were_made_to_pay_are_a_part_of_what_payouts_cost(store: Store) -> None:
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> int:
        upkeep_id = upkeep.plan(conn, "accounts", str(shop.uuid()), Payer("wallet", PLATFORM), ["owner"], START, None)
        upkeep.signed(conn, upkeep_id, b"wire", "made", 150, START)
        upkeep.finalized(conn, upkeep_id, Evidence("made", True, "", 9, START, 2_044_280, 5_000), START)
        return outlook.costs(conn, START).payout_lamports

    assert await store.write(story) == 2_044_280


async def test_what_a_person_is_to_pay_a_creator_is_due_to_him_until_it_is_settled(store: Store) -> None:
    """Refunds that fail once less was paid: of the sale itself, and of an earlier one whose debt had used up a part."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> list[tuple[int, int, int, int, int]]:
        ada, buyer = shop.user(conn, "ada"), shop.user(conn, "buyer")
        content = shop.content(conn, ada)
        shop.deposit(conn, 10 * DUE)
        first = shop.sold(conn, content, buyer)
        pay(conn, shop, 1)
        second = shop.sold(conn, content, buyer)
        refund(conn, first, "re_1", 100)
        refund(conn, second, "re_2", 150)
        pay(conn, shop, 2)
        told = [shown(conn, ada)]
        for sale, name, cents in ((first, "re_1", 100), (second, "re_2", 150)):
            refund(conn, sale, name, cents, RefundState.FAILED)
            told.append(shown(conn, ada))
        for job in conn.execute(select(jobs).where(jobs.c.kind.in_(["underpaid", "overnetted"]))).all():
            amount = by_hand.asked(conn, job.kind, job.subject)
            retries.close_row(conn, "jobs", job.id, amount, "sent by hand", START)
        return [*told, shown(conn, ada)]

    paid, first_back, second_back = DUE + 391_667, 783_333, 1_175_000
    assert await store.write(story) == [
        (2 * DUE - first_back - second_back, paid, 0, 0, 0),
        (2 * DUE - second_back, paid, first_back, 0, 0),
        (2 * DUE, paid, first_back + second_back, 1, 0),
        (2 * DUE, paid + first_back + second_back, 0, 0, 0),
    ]


async def test_what_waits_for_its_nft_is_owed_on_the_creators_page_and_the_operators_alike(store: Store) -> None:
    """One sale of each kind: minted, priced, held, refunded in part; the loser of a race and one without a fee add
    nothing."""
    shop = Sales(ACCOUNT)

    def story(conn: Connection) -> tuple[Any, ...]:
        ada, bob, buyer = (shop.user(conn, name) for name in ("ada", "bob", "buyer"))
        content = shop.content(conn, ada, **{f"user_{ada}": 6_000, f"user_{bob}": 4_000})
        shop.sold(conn, content, buyer)
        priced, held, partly, lost, _ = (shop.paid(conn, content, buyer) for _ in range(5))
        for sale in (priced, held, partly, lost):
            shop.priced(conn, sale)
        interventions.hold(conn, held, "look first", START)
        refund(conn, partly, "re_1", 150)
        conn.execute(purchase_rows.update().where(purchase_rows.c.id == lost).values(status_reason="sold_out"))
        told = []
        for user in (ada, bob):
            board, row = views.dashboard(conn, user), search.user(conn, user)
            assert row is not None
            money = search.creator_of(conn, row)
            assert (money.owed, money.held) == (board.pending, board.held)
            told.append((money.owed, money.held, board.pending_sales))
        waiting = unminted.in_all(conn)
        return (*told, waiting.due, waiting.held, waiting.sales, waiting.held_sales)

    assert await store.write(story) == (
        (DUE * 6 // 10 * 5 // 2, DUE * 6 // 10, 3),
        (DUE * 4 // 10 * 5 // 2, DUE * 4 // 10, 3),
        *(DUE * 3 // 2, DUE, 2, 1),
    )


def pay(conn: Connection, shop: Sales, number: int) -> None:
    """All that is due, by an off-cycle batch."""
    later = START + timedelta(hours=number)
    terms = PlanTerms(later, later, 1, False, timedelta(0), "purchase", "circle")
    batch_id = take(conn, f"offcycle:{number}", terms, lambda _: None, "ada", shop.uuids)
    assert batch_id is not None
    funding.fund(conn, ACCOUNT, later)
    shop.pay(conn, batch_id, later)


def shown(conn: Connection, creator: int) -> tuple[int, int, int, int, int]:
    """To himself, and the same to the operator."""
    board, row = views.dashboard(conn, creator), search.user(conn, creator)
    assert row is not None
    money = search.creator_of(conn, row)
    assert (money.owed, money.paid, money.debt) == (board.pending, board.paid_out, board.debt)
    return board.total_sales, board.paid_out, board.pending, board.pending_sales, board.debt
