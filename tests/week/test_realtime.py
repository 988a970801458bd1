"""Real-time payout: sales are paid as they are minted; what can't be is paid by the Monday; a kill costs nothing."""

from datetime import timedelta
from itertools import pairwise
from pathlib import Path

import pytest

from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market, MortalWorld, sleep_until
from tests.week.virtual_world import MONDAY, VirtualWorld

NINE = MONDAY.replace(hour=9)
GATHERS_SECONDS = 15
DEBT = DUE - 1_566_667
"""What a refund of one of three dollars makes of a payout that was paid."""


async def paid(shop: Market, **amounts: int) -> None:
    async def holds() -> bool:
        return shop.paid() == amounts

    await shop.world.until(f"on chain is {amounts}", holds, 900)


def kinds(shop: Market) -> list[str]:
    rows = rows_of(shop.world, "SELECT key FROM batches ORDER BY id")
    return [row["key"].partition(":")[0] for row in rows]


@pytest.mark.parametrize("rail", ["circle", "solana"])
@on_virtual_time
async def test_sales_are_paid_as_they_are_minted_in_few_batches_after_their_creator_s_debt(
    rail: str, tmp_path: Path
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_PAYOUT_MODE="realtime", AGENT_RAIL=rail))
    await shop.open("ada", "bob")
    await shop.deposited(20 * DUE)
    (first,) = await shop.sell("ada")
    await paid(shop, ada=DUE, bob=0)
    shop.world.stripe.controls.refund(first.payment, 100)
    await shop.sell("bob", "ada")
    await paid(shop, ada=2 * DUE - DEBT, bob=DUE)
    made = rows_of(shop.world, "SELECT created_at, payout_count FROM batches ORDER BY id")
    gaps = [later["created_at"] - earlier["created_at"] for earlier, later in pairwise(made)]
    assert min(gaps) >= GATHERS_SECONDS * 1_000_000
    assert sum(row["payout_count"] for row in made) == 3 and 0 not in [row["payout_count"] for row in made]
    await shop.world.clock.sleep(75)
    assert kinds(shop) == ["realtime"] * len(made), "there was nothing more to pay, and nothing was planned"
    await shop.close()


@on_virtual_time
async def test_what_is_not_covered_waits_for_the_monday_and_real_time_goes_on_behind_it(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path, start=NINE - timedelta(minutes=5), AGENT_PAYOUT_MODE="realtime"))
    await shop.open("ada", "bob")
    await shop.deposited(DUE)
    await shop.sell("ada", "bob")
    await paid(shop, ada=DUE, bob=0)
    seen = (await shop.world.operator("GET", "/admin/api/overview")).body["realtime"]
    assert (seen["number"], seen["amount"], seen["reason"]) == (1, "2.35", "funds")
    await sleep_until(shop.world, NINE + timedelta(seconds=20))
    assert kinds(shop) == ["realtime", "monday"]
    await shop.sell("ada")
    await shop.deposited(2 * DUE)
    await paid(shop, ada=2 * DUE, bob=DUE)
    assert kinds(shop) == ["realtime", "monday", "realtime"]
    settled = rows_of(shop.world, "SELECT batch_id, MIN(distributed_at) at FROM payouts GROUP BY 1 ORDER BY 1")
    assert [row["at"] for row in settled] == sorted(row["at"] for row in settled), "the Monday was served first"
    await shop.close()


@on_virtual_time
async def test_a_process_that_dies_anywhere_between_plan_and_payment_pays_once(tmp_path: Path) -> None:
    shop = Market(world := MortalWorld(tmp_path, AGENT_PAYOUT_MODE="realtime"))
    await shop.open("ada")
    await shop.sell(*["ada"] * 3)
    for number, last in enumerate((3, 14, 31), start=1):
        shop.fund(DUE)
        world.fuse.arm(last)
        await world.died()
        await world.start()
        await paid(shop, ada=number * DUE)
    assert kinds(shop) == ["realtime"] * 3
    await shop.close()
