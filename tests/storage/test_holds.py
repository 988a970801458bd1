"""What a held sale's creators are owed stays held, whatever else happens to it, and is let go with the last hold."""

from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from domain.split import SplitRule
from domain.states import RefundState
from storage.operation import interventions
from storage.payouts import transfers
from storage.sales import purchases as sales
from storage.sales import returns
from storage.sales.purchases import Fee
from storage.sales.returns import NO_EDITION, DisputeSeen, RefundSeen
from storage.store import Store
from storage.tables import contents, payouts, purchases
from storage.treasury import funding
from tests.sales import START, Sales
from tests.storage.test_debts import ACCOUNT, DUE, NOW, Creator
from tests.verified import first_findings


def refund(conn: Connection, sale: int, state: RefundState) -> None:
    returns.record_refund(conn, sale, RefundSeen(f"re_{sale}", 300, state, None), NOW)


def dispute(conn: Connection, sale: int, name: str, status: str, withdrawn: int = 0, minute: int = 0) -> None:
    seen = DisputeSeen(name, 100, status, withdrawn, 0, NOW + timedelta(minutes=minute))
    returns.record_dispute(conn, sale, seen, NOW)


def shown(conn: Connection, sale: int) -> list[tuple[str, str | None, str | None]]:
    """Of each payout of a sale: its state and reason, and the sale's own hold."""
    asked = select(payouts.c.state, payouts.c.reason, purchases.c.hold_reason).select_from(payouts.join(purchases))
    return [(row[0], row[1], row[2]) for row in conn.execute(asked.where(payouts.c.purchase_id == sale))]


async def test_what_is_due_again_of_a_disputed_sale_is_held_and_promised_nothing(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        sale = shop.sold(conn, shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer"))
        shop.deposit(conn, DUE)
        refund(conn, sale, RefundState.SUCCEEDED)
        dispute(conn, sale, "dp_1", "needs_response")
        refund(conn, sale, RefundState.FAILED)
        assert shown(conn, sale) == [("on_hold", "dispute dp_1", "dispute dp_1")]
        funding.fund(conn, ACCOUNT, NOW)
        assert funding.promised(conn) == 0
        dispute(conn, sale, "dp_1", "won", minute=1)
        assert shown(conn, sale) == [("pending_conversion", None, None)]
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_released_sale_whose_refund_fails_when_its_edition_is_gone_is_a_person_s_and_unpaid(
    store: Store,
) -> None:
    def story(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer", wallet=False)
        conn.execute(contents.update().values(editions=1))
        sale = shop.paid(conn, content, buyer)
        sales.record_fee(conn, sale, Fee("txn_1", "ch_1", 300, 39, 261, START), SplitRule(), START)
        interventions.release(conn, sale, timedelta(days=1), "why", NOW)
        refund(conn, sale, RefundState.SUCCEEDED)
        shop.paid(conn, content, buyer)
        refund(conn, sale, RefundState.FAILED)
        assert shown(conn, sale) == [("on_hold", NO_EDITION, NO_EDITION)]
        assert first_findings(conn) == {}

    await store.write(story)


async def test_what_a_debt_gives_back_of_a_held_sale_is_held(store: Store) -> None:
    def story(conn: Connection) -> None:
        creator = Creator(conn)
        refund(conn, creator.older, RefundState.SUCCEEDED)
        assert [row[0] for row in shown(conn, creator.due)] == ["netted"]
        interventions.hold(conn, creator.due, "a person wonders", NOW)
        refund(conn, creator.older, RefundState.FAILED)
        held = "operator: a person wonders"
        assert shown(conn, creator.due) == [("on_hold", held, held)]
        interventions.unhold(conn, creator.due, "it was nothing", NOW)
        assert shown(conn, creator.due) == [("pending_conversion", None, None)]
        assert first_findings(conn) == {}

    await store.write(story)


@pytest.mark.parametrize("first", ["dp_1", "dp_2"])
async def test_of_two_disputes_the_last_one_to_end_lets_the_money_go(store: Store, first: str) -> None:
    """The payout was on its way when the first one ended, and its transfer is proven dead after that."""

    def story(conn: Connection) -> None:
        creator = Creator(conn)
        transfer_id = creator.begin(creator.plan("offcycle:2"))
        for name in ("dp_1", "dp_2"):
            dispute(conn, creator.due, name, "needs_response")
        dispute(conn, creator.due, first, "won", minute=1)
        transfers.dead(conn, transfer_id, {"why": "proven"}, NOW)
        (last,) = {"dp_1", "dp_2"} - {first}
        assert shown(conn, creator.due) == [("on_hold", f"dispute {last}", f"dispute {last}")]
        dispute(conn, creator.due, last, "won", minute=1)
        assert shown(conn, creator.due) == [("pending_conversion", None, None)]
        assert first_findings(conn) == {}

    await store.write(story)


@pytest.mark.parametrize("by", ["a dispute", "a person"])
async def test_a_sale_that_lost_its_edition_while_it_was_held_is_a_person_s_when_that_hold_ends(
    store: Store, by: str
) -> None:
    def story(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        conn.execute(contents.update().values(editions=1))
        sale = shop.paid(conn, content, buyer)
        if by == "a dispute":
            dispute(conn, sale, "dp_1", "needs_response")
        else:
            interventions.hold(conn, sale, "a person wonders", NOW)
        refund(conn, sale, RefundState.SUCCEEDED)
        shop.paid(conn, content, buyer)
        refund(conn, sale, RefundState.FAILED)
        if by == "a dispute":
            dispute(conn, sale, "dp_1", "won", minute=1)
        else:
            interventions.unhold(conn, sale, "it was nothing", NOW)
        row = sales.required(conn, sale)
        assert (row.status, row.edition_held, row.hold_reason) == ("payment_completed", False, NO_EDITION)
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_sale_that_has_its_edition_again_or_was_refunded_after_all_is_held_for_it_no_more(store: Store) -> None:
    def story(conn: Connection) -> None:
        shop = Sales(ACCOUNT)
        content, buyer = shop.content(conn, shop.user(conn, "ada")), shop.user(conn, "buyer")
        conn.execute(contents.update().values(editions=1))
        sale = shop.paid(conn, content, buyer)
        refund(conn, sale, RefundState.SUCCEEDED)
        other = shop.paid(conn, content, buyer)
        refund(conn, sale, RefundState.FAILED)
        assert sales.required(conn, sale).hold_reason == NO_EDITION
        again = RefundSeen("re_again", 300, RefundState.SUCCEEDED, None)
        returns.record_refund(conn, sale, again, NOW)
        assert sales.required(conn, sale).hold_reason is None
        refund(conn, other, RefundState.SUCCEEDED)
        returns.record_refund(conn, sale, replace(again, state=RefundState.FAILED), NOW)
        shop.minted(conn, sale)
        assert shown(conn, sale) == [("pending_conversion", None, None)]
        assert first_findings(conn) == {}

    await store.write(story)
