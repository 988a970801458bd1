"""What the simulator found, each as a story of its own: the seed that showed it stands beside it."""

from pathlib import Path

from tests.week.checker import rows_of
from tests.week.selling import DUE, Market
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld


def test_a_refund_after_the_payout_leaves_the_paid_transfer_as_it_was_sent(tmp_path: Path) -> None:
    """`simulate --operators --faults all --purchases 10 --seed 2`: the row of a paid transfer of several payouts was
    given what would be due today."""

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_GROUPING="creator"))
        await shop.open()
        first, _ = [*await shop.sell(), *await shop.sell()]
        shop.fund(2 * DUE)
        await shop.plan()
        await shop.batch_is("settled")
        shop.world.stripe.controls.refund(first.payment)

        async def owes() -> bool:
            return bool((await shop.dashboard("ada"))["debt"] == "2.35")

        await shop.world.until("the creator owes it", owes)
        assert [row["amount"] for row in rows_of(shop.world, "SELECT amount FROM transfers")] == [2 * DUE]
        await shop.close()

    run_virtually(story())
