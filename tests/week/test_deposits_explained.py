"""An operator announces what he converts, and sees which deposits it was."""

from pathlib import Path

from solders.pubkey import Pubkey

from tests.metrics.test_recorder import values
from tests.week.people import eventually, gallery, on_virtual_time

USDC = 10**6


@on_virtual_time
async def test_an_announced_conversion_explains_its_deposit_and_what_nobody_announced_stays_unexplained(
    tmp_path: Path,
) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    announced = await world.operator("POST", "/admin/api/conversions", {"usd_cents": 25_000, "note": "Friday"})
    assert (announced.body["received"], announced.body["settled_at"]) == ("0.00", None)
    wallet = Pubkey.from_string(world.platform.address)
    for amount in (250 * USDC, 7 * USDC):
        world.node.mint_usdc(wallet, amount)
        await world.clock.sleep(1)

    async def both_arrived() -> bool:
        return len((await world.operator("GET", "/admin/api/deposits")).body["items"]) == 2

    await eventually(world, "both deposits are booked", both_arrived)
    newest, oldest = (await world.operator("GET", "/admin/api/deposits?limit=2")).body["items"]
    assert (oldest["amount"], oldest["unexplained"]) == ("250.00", "0.00")
    assert oldest["shares"] == [{"conversion_id": announced.body["id"], "amount": "250.00"}]
    assert (newest["amount"], newest["unexplained"], newest["shares"]) == ("7.00", "7.00", [])
    (conversion,) = (await world.operator("GET", "/admin/api/conversions")).body["items"]
    assert conversion["received"] == "250.00" and conversion["settled_at"] is not None
    index = (await world.operator("GET", "/admin/api/index")).body
    assert index["deposits_unexplained"] == "7.00"
    assert {track["name"]: track["booked"] == track["on_chain"] for track in index["tracks"]} == {
        "treasury_usdc": True,
        "treasury_sol": True,
    }
    assert [one["is_well"] for one in index["endpoints"]] == [True, True]
    await shop.close()


@on_virtual_time
async def test_a_deposit_that_no_node_lists_shows_in_the_metrics_until_it_is_booked(tmp_path: Path) -> None:
    shop = gallery(tmp_path)
    world = shop.world
    await shop.open()
    assert world.daemon is not None
    metrics = world.daemon.metrics
    hidden = world.node.mint_usdc(Pubkey.from_string(world.platform.address), 7 * USDC)
    for endpoint in world.node.endpoints.values():
        endpoint.hides.add(hidden)

    async def gap_of(units: int) -> bool:
        return values(metrics)("treasury_gap_units", "usdc_base_units") == units

    await eventually(world, "the gap is told", lambda: gap_of(7 * USDC))
    assert values(metrics)("treasury_gap_units", "lamports") == 0
    for endpoint in world.node.endpoints.values():
        endpoint.hides.clear()
    await eventually(world, "its history was read again", lambda: gap_of(0), 2 * 3_600)
    await shop.close()
