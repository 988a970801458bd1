"""USDC is ordered from Circle Mint, at most once whatever is lost, and releases money only when it is on the chain."""

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from domain.money import format_usdc, parse_decimal
from sandbox.faults import Fault
from tests.week.mint_account import ORDERS, USDC, Converting, converting
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, skip_to

CENT = USDC // 100


def units(text: str) -> int:
    return parse_decimal(text, 6)


@on_virtual_time
async def test_an_approved_order_waits_for_the_wire_and_its_deposit_funds_the_purchases(tmp_path: Path) -> None:
    shop = converting(tmp_path)
    world = shop.world
    await shop.open("ada")
    await shop.sell("ada", "ada")
    assert shop.states() == ["pending_conversion"] * 2
    outlook = (await world.operator("GET", "/admin/api/treasury/outlook")).body
    order = (await shop.propose()).body
    assert (outlook["to_convert"], outlook["to_order"]) == (outlook["need"], outlook["need"])
    assert order["amount"] == order["to_wire"] == format_usdc(-(-units(outlook["to_order"]) // CENT) * CENT)
    assert (order["state"], order["destination_address"]) == ("proposed", world.platform.address)
    (told,) = (await world.operator("GET", "/admin/api/conversions/wire")).body["items"]
    assert told["tracking_ref"] == shop.mint.books.wires[0].tracking_ref
    assert [(await shop.approve(order)).body["state"] for _ in range(2)] == ["approved"] * 2
    amount = units(order["amount"])
    shop.wire(amount - 1_000_000)
    await shop.until_order_says("1.00 USD are still to be wired")
    assert (await shop.order())["to_wire"] == "1.00"
    assert (shop.transfers, shop.states()) == ([], ["pending_conversion"] * 2)
    shop.wire(1_000_000)
    done = await shop.order_is("done")
    assert [one.tx_hash for one in shop.transfers] == [done["signature"]]
    assert shop.deposits() == [(amount, 0)]
    (conversion,) = (await world.operator("GET", "/admin/api/conversions")).body["items"]
    assert (conversion["id"], conversion["received"]) == (done["conversion_id"], order["amount"])
    assert done["approved_by"] == ["settings"]
    wires = (await world.operator("GET", "/admin/api/conversions/deposits")).body["items"]
    assert {one["status"] for one in wires} == {"complete"}
    assert shop.states() == ["pending_distribution"] * 2
    assert (await world.operator("GET", "/admin/api/treasury/outlook")).body["on_its_way"] == "0.00"
    await shop.plan()
    await shop.batch_is("settled")
    assert shop.paid() == {"ada": 2 * DUE}
    await shop.close()


@pytest.mark.parametrize("fault", [Fault.LOSE_ANSWER, Fault.LOSE_REQUEST, Fault.CUT_BODY, Fault.HTML])
@on_virtual_time
async def test_a_lost_answer_is_asked_for_again_with_the_same_key(fault: Fault, tmp_path: Path) -> None:
    shop = converting(tmp_path)
    await shop.open("ada")
    shop.fault(fault, times=2)
    await shop.ordered("100.00")
    shop.wire(300 * USDC)
    await shop.order_is("done")
    sent = [one for one in shop.world.transport.sent if one.method == "POST" and one.url.endswith("/transfers")]
    assert len(sent) == 3 and len({one.body for one in sent}) == 1
    assert len(shop.transfers) == 1 and shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@on_virtual_time
async def test_an_order_that_was_sent_is_looked_up_however_long_nobody_answers(tmp_path: Path) -> None:
    shop = converting(tmp_path, AGENT_RETRIES_MAX="6")
    await shop.open("ada")
    shop.wire(300 * USDC)
    shop.mint.books.switches.hold_transfers = True
    await shop.ordered("100.00")
    await shop.until_order_says("Circle Mint: pending")
    shop.mint.books.switches.hold_transfers = False
    shop.fault(Fault.LOSE_REQUEST, "GET /v1/businessAccount/transfers", times=1_000_000)
    await shop.world.clock.sleep(1_200)
    assert (await parked(shop.world), (await shop.order())["state"]) == ([], "sending")
    shop.mint.faults.rules.clear()
    await shop.order_is("done")
    await shop.close()


@on_virtual_time
async def test_a_transfer_that_circle_mint_holds_for_hours_is_asked_for_ever_less_often(tmp_path: Path) -> None:
    """`tests.proof weeks`, seed 95021: it was asked for each 15 seconds, for as long as it was held."""
    shop = converting(tmp_path, AGENT_TREASURY_POLL_MS="300000", AGENT_IDLE_SECONDS="3600")
    await shop.open("ada")
    shop.wire(300 * USDC)
    shop.mint.books.switches.hold_transfers = True
    await shop.ordered("100.00")
    await shop.until_order_says("Circle Mint: pending")
    asked = len(shop.world.transport.sent)
    await shop.world.clock.sleep(6 * 3_600)
    about = [one for one in shop.world.transport.sent[asked:] if shop.transfers[0].id in one.url]
    assert len(about) < 120
    shop.mint.books.switches.hold_transfers = False
    await shop.order_is("done")
    await shop.close()


async def sent_in_vain(shop: Converting, fault: Fault) -> None:
    """An order that was sent once, and whose outcome nobody can tell since."""
    await shop.open("ada")
    shop.wire(300 * USDC)
    shop.fault(fault)
    shop.fault(Fault.STATUS, times=1_000_000)
    await shop.ordered("100.00")
    await shop.until_order_says("unknown outcome")


@pytest.mark.parametrize(("fault", "state"), [(Fault.LOSE_ANSWER, "done"), (Fault.LOSE_REQUEST, "failed")])
@on_virtual_time
async def test_an_order_older_than_its_key_is_trusted_is_looked_up_and_never_sent_again(
    fault: Fault, state: str, tmp_path: Path
) -> None:
    shop = converting(tmp_path)
    world = shop.world
    await sent_in_vain(shop, fault)
    await world.stop()
    await skip_to(world, world.clock.now() + timedelta(hours=13))
    await world.start()
    await shop.order_is(state)
    assert len(shop.transfers) == len(shop.deposits()) == (state == "done")
    assert await parked(world) == ([] if state == "done" else [("conversion", "conversion_failed")])
    await shop.close()


@pytest.mark.parametrize(("fault", "transfers"), [(Fault.LOSE_ANSWER, 2), (Fault.LOSE_REQUEST, 1)])
@on_virtual_time
async def test_of_an_order_s_transfer_and_one_like_it_by_hand_each_becomes_one_order(
    fault: Fault, transfers: int, tmp_path: Path
) -> None:
    """Nobody can tell which is which once the key is too old: the order waited for ever."""
    shop = converting(tmp_path)
    world = shop.world
    await sent_in_vain(shop, fault)
    shop.transfer_by_hand(100 * USDC)
    await world.stop()
    await skip_to(world, world.clock.now() + timedelta(hours=13))
    await world.start()
    await shop.order_is("done")
    await world.clock.sleep(3_700)  # what is not known is looked for hourly
    orders = [await shop.order_is("done", number) for number in range(1, transfers + 1)]
    assert [one["origin"] for one in orders] == ["order", "adopted"][:transfers]
    assert {one["circle_transfer_id"] for one in orders} == {one.id for one in shop.transfers}
    assert shop.deposits() == [(100 * USDC, 0)] * transfers
    assert await parked(world) == []
    await shop.close()


@pytest.mark.parametrize("announced", [10, 60])
@on_virtual_time
async def test_a_transfer_by_hand_of_which_an_announced_conversion_took_a_part_is_done(
    announced: int, tmp_path: Path
) -> None:
    """`tests.proof pairs`, seed 1148: it had taken it before Circle Mint's list was read, and the order waited for its
    deposit for ever."""
    shop = converting(tmp_path)
    await shop.open("ada")
    shop.wire(300 * USDC)
    await shop.world.operator("POST", "/admin/api/conversions", {"usd_cents": announced * 100, "note": "by bank"})
    taken = min(announced, 50)

    async def is_wired() -> bool:
        return bool(shop.mint.books.available)

    async def is_booked() -> bool:
        return shop.deposits() == [(50 * USDC, (50 - taken) * USDC)]

    await shop.slowly("the wire is there", is_wired)
    shop.transfer_by_hand(50 * USDC)
    await shop.slowly("the deposit is booked", is_booked)
    await shop.world.clock.sleep(3_700)  # what is not known is looked for hourly
    orders = (await shop.world.operator("GET", ORDERS)).body["items"]
    assert [(one["origin"], one["state"]) for one in orders] == [("adopted", "done")][: announced < 50]
    assert shop.deposits() == [(50 * USDC, 0)]
    conversions = (await shop.world.operator("GET", "/admin/api/conversions")).body["items"]
    assert [one["received"] for one in conversions] == ["40.00", "10.00"] if announced < 50 else ["50.00"]
    assert [one["settled_at"] is None for one in conversions] == [False] * 2 if announced < 50 else [True]
    assert await parked(shop.world) == []
    await shop.close()


@on_virtual_time
async def test_a_transfer_by_hand_that_failed_is_given_up_and_keeps_no_deposit_unexplained(tmp_path: Path) -> None:
    """`simulate --weeks 4 --seed 9100 --operators`: nobody here had sent it, and how long ago that was could not be
    told."""
    shop = converting(tmp_path)
    switches = shop.mint.books.switches
    await shop.open("ada")
    shop.wire(300 * USDC)
    switches.hold_transfers = True
    shop.transfer_by_hand(100 * USDC)
    await shop.world.clock.sleep(3_700)  # what is not known is looked for hourly
    assert (await shop.order_is("sending"))["origin"] == "adopted"
    switches.deny_transfers, switches.hold_transfers = 1, False
    await shop.order_is("failed")
    assert await parked(shop.world) == [("conversion", "conversion_failed")]
    await shop.world.operator("POST", "/admin/api/conversions", {"usd_cents": 10_000, "note": "by bank"})
    await shop.deposited(100 * USDC)
    assert shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@on_virtual_time
async def test_sends_that_are_paused_caps_and_a_second_order_hold_an_order_back(tmp_path: Path) -> None:
    shop = converting(tmp_path)
    world = shop.world
    await shop.open("ada")
    over = await shop.propose("500.01")
    assert (over.status, over.body["error"]["code"]) == (409, "cap_exceeded")
    shop.wire(1_000 * USDC)
    await world.operator("POST", "/admin/api/sends/pause", {"reason": "look first"})
    await shop.ordered("400.00")
    other = await shop.propose("1.00")
    assert (other.status, other.body["error"]["code"]) == (409, "conversion_open")
    await shop.until_order_says("all sends are paused: look first")
    assert shop.transfers == []
    await world.operator("POST", "/admin/api/sends/resume", {})
    await shop.order_is("done")
    second = await shop.ordered("400.00")
    await shop.until_order_says("AGENT_CAP_CONVERSION_DAY")
    assert len(shop.transfers) == 1
    late = await world.operator("POST", f"{ORDERS}/1/cancel", {"reason": "too late"})
    assert (late.status, late.body["error"]["code"]) == (409, "already_sent")
    taken_back = await world.operator("POST", f"{ORDERS}/{second}/cancel", {"reason": "not today"})
    assert taken_back.body["state"] == "cancelled"
    await shop.close()


@on_virtual_time
async def test_what_circle_refuses_is_given_up_only_once_it_is_proven_that_nothing_came(tmp_path: Path) -> None:
    shop = converting(tmp_path)
    await shop.open("ada")
    shop.mint.books.switches.deny_transfers = 1
    shop.wire(300 * USDC)
    await shop.ordered("100.00")
    await shop.until_order_says("transfer_denied; not yet proven that nothing left")
    assert (await shop.order())["state"] == "sending"
    failed = await shop.order_is("failed")
    assert (failed["circle_status"], failed["conversion_id"]) == ("failed", None)
    assert await parked(shop.world) == [("conversion", "conversion_failed")]
    await shop.ordered("100.00")
    await shop.order_is("done", 2)
    assert shop.deposits() == [(100 * USDC, 0)]
    await shop.close()


@on_virtual_time
async def test_a_restored_database_finds_the_transfer_that_it_forgot_and_sends_none_again(tmp_path: Path) -> None:
    shop = converting(tmp_path)
    world = shop.world
    await shop.open("ada")
    order = (await shop.propose("100.00")).body
    await world.stop()
    shutil.copy(world.folder / "agent.db", world.folder / "backup.db")
    await world.start()
    await shop.approve(order)
    shop.wire(700 * USDC)
    await shop.order_is("done")
    await shop.ordered("250.00")
    await shop.order_is("done", 2)
    await world.stop()
    for name in ("agent.db-wal", "agent.db-shm"):
        (world.folder / name).unlink(missing_ok=True)
    shutil.copy(world.folder / "backup.db", world.folder / "agent.db")
    await world.start()
    found = [await shop.order_is("done", number) for number in (1, 2)]
    assert sorted((one["origin"], one["amount"]) for one in found) == [("adopted", "250.00"), ("order", "100.00")]
    assert len(shop.transfers) == 2
    assert sorted(shop.deposits()) == [(100 * USDC, 0), (250 * USDC, 0)]
    await shop.close()


@on_virtual_time
async def test_with_manual_conversion_nothing_asks_circle_mint_and_orders_are_refused(tmp_path: Path) -> None:
    shop = converting(tmp_path, AGENT_CONVERSION="manual")
    await shop.open("ada")
    await shop.world.clock.sleep(600)
    for answer in (await shop.propose("1.00"), await shop.world.operator("GET", "/admin/api/conversions/wire")):
        assert (answer.status, answer.body["error"]["code"]) == (409, "conversion_is_manual")
    assert not [one for one in shop.world.transport.sent if "businessAccount" in one.url]
    await shop.close()
