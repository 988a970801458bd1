"""Which payouts an outflow that the rows do not know may have paid."""

from datetime import timedelta

from sqlalchemy import Connection

from domain.states import RefundState
from storage import returns
from storage.dues_paid import candidates
from storage.returns import RefundSeen
from storage.store import Store
from storage.tables import payouts
from tests.sales import START, Sales

DAY = timedelta(days=1)


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
