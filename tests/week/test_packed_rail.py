"""The `solana` rail: many payouts in one transaction, each once, whatever is lost on the way."""

from pathlib import Path

import pytest

from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.virtual_world import MONDAY, VirtualWorld


def packed_market(folder: Path, **settings: str) -> Market:
    return Market(VirtualWorld(folder, 1, MONDAY, AGENT_RAIL="solana", **settings))


@pytest.mark.parametrize("packed_format", ["v0", "v1"])
@on_virtual_time
async def test_a_batch_is_paid_by_one_transaction_and_read_back(packed_format: str, tmp_path: Path) -> None:
    shop = packed_market(tmp_path, AGENT_PACKED_FORMAT=packed_format)
    await shop.open("ada", "bob", "cleo")
    await shop.sell("ada", "bob", "cleo", "ada")
    shop.fund(4 * DUE)
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": 2 * DUE, "bob": DUE, "cleo": DUE}
    assert len(outflows(shop.world)) == 1
    (group,) = rows_of(shop.world, "SELECT * FROM payout_groups")
    assert (group["state"], group["format"], group["amount"]) == ("paid", packed_format, 4 * DUE)
    assert await parked(shop.world) == []
    await shop.close()
