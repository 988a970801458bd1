"""Which payouts an outflow that the rows do not know may have paid."""

from datetime import timedelta

import pytest
from sqlalchemy import Connection, select

from domain.evidence import Evidence
from domain.fitting import Paid
from domain.keys import purchase_reference
from domain.states import RefundState
from storage.payouts import transfers
from storage.payouts.debts import open_debt
from storage.payouts.planning import PlanTerms
from storage.payouts.taking import take
from storage.recovery import adoption
from storage.recovery.adoption import Outflow
from storage.recovery.dues_paid import candidates, fit_a_plan
from storage.sales import holds, purchases, returns
from storage.sales.returns import RefundSeen
from storage.store import Store
from storage.tables import nettings, payouts
from storage.tables import transfers as transfer_rows
from tests.sales import PLATFORM, START, Sales
from tests.verified import first_findings

HOUR, DAY = timedelta(hours=1), timedelta(days=1)
DUE = 2_350_000


async def test_what_was_cancelled_long_before_an_outflow_was_not_paid_by_it(store: Store) -> None:
    """`tests.proof pairs`, seed 1269: after an old backup it made two ways to the same sum, and a person had to decide
    what the rows knew."""
    sales = Sales("platform-usdc")

    def sell(conn: Connection) -> tuple[int, int]:
        ada, buyer = sales.user(conn, "ada"), sales.user(conn, "buyer")
        work = sales.content(conn, ada)
        gone, kept = [sales.sold(conn, work, buyer) for _ in range(2)]
        seen = RefundSeen("re_1", 300, RefundState.SUCCEEDED, None)
        returns.record_refund(conn, gone, seen, START + DAY)
        return gone, kept

    await store.write(sell)

    async def may_have_been_paid(after: timedelta) -> list[int]:
        found = await store.read(lambda conn: candidates(conn, payouts.c.id > 0, START + after))
        return [one.payout_id for one in found]

    assert await may_have_been_paid(DAY / 2) == [1, 2]
    assert await may_have_been_paid(DAY * 5 / 4) == [1, 2]
    assert await may_have_been_paid(DAY * 2) == [2]


class Owing:
    """Ada's first sale is paid, and then refunded in part: she owes. Two more are due, of which her debt uses up the
    older one first."""

    def __init__(self, conn: Connection, refunded_cents: int) -> None:
        self.conn, self.shop = conn, Sales("platform-usdc")
        ada, buyer = self.shop.user(conn, "ada"), self.shop.user(conn, "buyer")
        work = self.shop.content(conn, ada)
        self.shop.deposit(conn, 10 * DUE)
        self.sales = [self.shop.sold(conn, work, buyer, START + number * HOUR) for number in range(3)]
        assert self.adopts(0, DUE)
        self.settle(0)
        returns.record_refund(conn, 1, RefundSeen("re_1", refunded_cents, RefundState.SUCCEEDED, None), START + DAY)
        self.debt = DUE - conn.execute(select(payouts).where(payouts.c.id == 1)).one().amount

    def reference(self, number: int) -> str:
        return purchase_reference(purchases.required(self.conn, self.sales[number]).stripe_payment_intent_id, 1)

    def adopts(self, number: int, amount: int) -> bool:
        """Whether Circle's transfer of so much for that sale, which no row knows, finds its payout."""
        at = START + 2 * DAY
        outflow = Outflow(
            f"circle-{number}", "COMPLETE", self.reference(number), "ada", amount, "wallet", PLATFORM, None, at, at
        )
        return adoption.adopt(self.conn, outflow, self.shop.uuid(), at)

    def settle(self, number: int) -> None:
        """The adopted transfer is read back."""
        which = transfer_rows.c.reference == self.reference(number)
        transfer_id = self.conn.scalar(select(transfer_rows.c.id).where(which))
        assert transfer_id is not None
        paid = Evidence(f"payout-{number}", True, "", 9, START + 2 * DAY, 5_000)
        transfers.distributed(self.conn, transfer_id, paid, self.shop.usdc_account, START + 2 * DAY)

    def payouts(self) -> list[tuple[str, int, int]]:
        """State, what debts have used up, and what is due or was paid beside it."""
        rows = self.conn.execute(select(payouts).order_by(payouts.c.id)).all()
        return [(row.state, row.netted_amount, row.paid_amount or row.amount - row.netted_amount) for row in rows]


async def test_debts_are_moved_to_where_the_payments_show_them(store: Store) -> None:
    """`tests.proof weeks`, seed 1027: nothing else explains the two outflows, and a person would have to."""

    def story(conn: Connection) -> None:
        ada = Owing(conn, 100)
        assert ada.payouts()[1:] == [
            ("pending_conversion", ada.debt, DUE - ada.debt),
            ("pending_conversion", 0, DUE),
        ]
        assert not ada.adopts(1, DUE + 1), "more than it was ever due"
        assert not ada.adopts(1, DUE - ada.debt - 1), "less than her debt explains"
        assert ada.payouts()[1][1] == ada.debt, "and nothing has changed"
        assert ada.adopts(2, DUE - ada.debt)
        assert ada.payouts()[1:] == [
            ("pending_conversion", 0, DUE),
            ("pending_distribution", ada.debt, DUE - ada.debt),
        ]
        assert ada.adopts(1, DUE)
        ada.settle(1)
        ada.settle(2)
        assert ada.payouts()[1:] == [("distributed", 0, DUE), ("distributed", ada.debt, DUE - ada.debt)]
        assert open_debt(conn, 1) == 0
        assert first_findings(conn) == {}

    await store.write(story)


async def test_a_payout_that_a_debt_had_used_up_whole_is_given_back_to_the_outflow_that_paid_it(store: Store) -> None:
    def story(conn: Connection) -> None:
        ada = Owing(conn, 300)
        assert [state for state, *_ in ada.payouts()] == ["distributed", "netted", "pending_conversion"]
        assert ada.adopts(1, DUE)
        assert ada.payouts()[1:] == [("pending_distribution", 0, DUE), ("netted", DUE, 0)]
        ada.settle(1)
        assert first_findings(conn) == {}

    await store.write(story)


@pytest.mark.parametrize(
    ("after", "amounts"),
    [
        (-13 * HOUR, {DUE}),  # the payment was before the debt: it took nothing
        (HOUR, {DUE, "left", 0}),  # by clocks that may be apart, both may be
        (DAY, {"left", 0}),  # the payment was after it
    ],
    ids=["before", "about-then", "after"],
)
async def test_what_debts_used_up_after_a_payment_took_nothing_from_it(
    after: timedelta, amounts: set[int | str], store: Store
) -> None:
    def story(conn: Connection) -> None:
        ada = Owing(conn, 100)
        netted = select(nettings.c.created_at).where(nettings.c.payout_id == 2)
        (found,) = candidates(conn, payouts.c.id == 2, conn.execute(netted).one().created_at + after)
        assert set(found.amounts) == {DUE - ada.debt if amount == "left" else amount for amount in amounts}

    await store.write(story)


async def test_what_is_left_of_a_plan_is_known_again_when_a_sale_of_it_was_held_and_let_go_before_it_was_sent(
    store: Store,
) -> None:
    """`tests.proof weeks`, seed 50007: the sale waits for a later plan, and the run from the oldest one has it."""

    def story(conn: Connection) -> tuple[list[Paid] | None, list[Paid] | None]:
        sales = Sales("platform-usdc")
        ada, buyer = sales.user(conn, "ada"), sales.user(conn, "buyer")
        work = sales.content(conn, ada)
        held, _, _ = [sales.sold(conn, work, buyer, START + number * HOUR) for number in range(3)]
        sales.deposit(conn, 3 * DUE)
        terms = PlanTerms(START + 2 * DAY, START + 2 * DAY, 1, False, timedelta(0), "creator", "solana")
        assert take(conn, "monday:1", terms, lambda _: None, "ada", sales.uuids) is not None
        owner = conn.scalar(select(transfer_rows.c.destination_address)) or ""
        whole = fit_a_plan(conn, 3 * DUE, ada, owner)
        holds.hold(conn, held, "dispute du_1", START + 3 * DAY)
        holds.release(conn, held, START + 4 * DAY)
        assert [one.amounts for one in candidates(conn, payouts.c.id > 0, START + 4 * DAY)] == 3 * [(DUE, DUE)]
        assert fit_a_plan(conn, DUE, ada, owner) is None
        assert fit_a_plan(conn, 2 * DUE, ada, "elsewhere") is None
        return whole, fit_a_plan(conn, 2 * DUE, ada, owner)

    assert await store.write(story) == ([Paid(1, DUE), Paid(2, DUE), Paid(3, DUE)], [Paid(2, DUE), Paid(3, DUE)])
