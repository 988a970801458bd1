"""The treasury is looked at when something tells that it has moved, and else seldom."""

from pathlib import Path

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market
from tests.week.virtual_world import AGENT_URL, VirtualWorld

ONCE_A_DAY_MS = "86400000"
HOUR_SECONDS = 3_600


@on_virtual_time
async def test_an_idle_daemon_looks_no_more_often_than_every_half_minute(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    await shop.open()
    await shop.world.clock.sleep(HOUR_SECONDS)
    asked = shop.world.node.faults.add(Rule("POST /", Fault.LATE, times=1_000_000))
    before = asked.times
    await shop.world.clock.sleep(HOUR_SECONDS)
    looks = HOUR_SECONDS / 30
    # A look at the treasury asks for the slot, two lists, and each of two endpoints for the balances; a look at the
    # endpoints asks both for their slot. Once an hour the chain itself is looked at.
    assert before - asked.times < looks * (5 + 2) + 50
    await shop.close()


@on_virtual_time
async def test_what_circle_and_the_tracker_tell_of__a_minute_however_seldom_is_looked(
    tmp_path: Path,
) -> None:
    shop = Market(VirtualWorld(tmp_path, AGENT_TREASURY_POLL_MS=ONCE_A_DAY_MS))
    await shop.open()
    shop.world.circle.custody.notifier.subscribe(f"{AGENT_URL}/api/circle/webhook/", [])
    await shop.sell()

    async def read_up_to(kind: str) -> None:
        sql = (
            "SELECT m.id FROM cursors c JOIN chain_movements m ON m.signature = c.value "
            f"WHERE c.name = 'treasury_usdc' AND m.kind = '{kind}'"
        )

        async def is_read() -> bool:
            return bool(rows_of(shop.world, sql))

        await shop.world.until(f"the {kind} is read", is_read, seconds=60)

    shop.fund(DUE)
    await read_up_to("deposit")
    await shop.plan()
    await shop.batch_is("settled")
    await read_up_to("payout")
    await shop.close()
