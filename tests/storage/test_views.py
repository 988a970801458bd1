"""What creators and the operator are shown of money, beside what the rows say."""

from datetime import timedelta
from typing import Any

import pytest
from sqlalchemy import Connection

from domain.split import SplitRule
from storage.reading import outlook, views
from storage.sales import purchases, returns
from storage.sales.purchases import Fee
from storage.sales.returns import DisputeSeen
from storage.store import Store
from tests.sales import START, Sales

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
