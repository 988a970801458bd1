"""What a restored database plans, nets or orders anew, and what the outflows since its backup say of that."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.circle_service.transactions import State, Transaction
from sandbox.faults import Fault, Rule
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market
from tests.week.test_restore_drill import drill


async def given_up(shop: Market) -> list[Transaction]:
    """The orders at Circle as they begin, which it gives up at once."""
    transactions, clock = shop.world.circle.custody.transactions, shop.world.clock
    end = clock.monotonic() + 60
    while not (found := [one for one in transactions.all() if one.ref_id and one.state is State.CLEARED]):
        assert clock.monotonic() < end, "nothing was ordered"
        await clock.sleep(0.01)
    for order in found:
        transactions.fail(order, "INTERNAL_ERROR", "lost it")
    return found


@pytest.mark.parametrize("accepted", [False, True], ids=["by-itself", "although-a-person-took-one-for-his-own"])
@on_virtual_time
async def test_outflows_of_payouts_that_debts_are_netted_against_otherwise_by_now_are_adopted_by_their_references(
    accepted: bool, tmp_path: Path
) -> None:
    """Ada's debt used up a part of her second sale, before it was paid. The restored database learns of her third sale
    first, whose wallet it knows, and nets the debt against that one."""
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.pay_out(1)
    pins = world.circle.custody.switches
    pins.auto_pin = False
    _, late = await shop.sign_up("has-no-pin")
    story.refund(story.paid[0], 100)
    await world.clock.sleep(20)
    await story.back_up()
    pins.auto_pin = True
    second = shop.payment_of(await shop.buy(late, shop.creators["ada"].content))
    await story.all_are_minted(2)
    (third,) = await shop.sell("ada")
    await story.pay_out(2)
    owed = "SELECT stripe_payment_intent_id pi, netted_amount netted, paid_amount paid FROM payouts JOIN purchases s "
    owed += "ON s.id = purchase_id ORDER BY s.id"
    paid = {row["pi"]: (row["netted"], row["paid"]) for row in rows_of(world, owed)}
    debt = paid[second][0]
    assert debt > 0
    assert paid == {story.paid[0].payment: (0, DUE), second: (debt, DUE - debt), third.payment: (0, DUE)}
    held = shop.paid()["ada"]
    world.circle.faults.add(Rule("/v1/w3s/users/token", Fault.STATUS, times=1_000))
    await story.put_back()
    seen = await story.unexplained(1)
    if accepted:
        accept, decided = f"/admin/api/outflows/{seen[0]['id']}/accept", {"reason": "mine", "not_a_payout": True}
        assert (await world.operator("POST", accept, decided)).body["items"] == []
        await world.clock.sleep(120)
        assert world.daemon is not None and not world.daemon.engine.gate.is_open
    world.circle.faults.clear()
    await story.gate_opens()
    await story.all_are_minted(3)

    async def booked() -> bool:
        return {row["pi"]: (row["netted"], row["paid"]) for row in rows_of(world, owed)} == paid

    await world.until("all is booked as it was paid", booked)
    assert await shop.plan() is None
    assert shop.paid()["ada"] == held
    assert await parked(world) == []
    await shop.close()


@pytest.mark.parametrize("ordered_again", [False, True], ids=["given-up", "given-up-and-ordered-again"])
@on_virtual_time
async def test_an_order_that_circle_gave_up_since_the_backup_has_used_up_its_key(
    ordered_again: bool, tmp_path: Path
) -> None:
    """A part of the sale was refunded meanwhile: the first key with another amount would be refused for ever."""
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    await shop.plan()
    (order,) = await given_up(shop)
    if ordered_again:
        await shop.batch_is("settled")
    await story.put_back()
    story.refund(story.paid[0], 150)
    await story.gate_opens()
    sql = "SELECT attempt, state, idempotency_key, proof FROM transfer_attempts ORDER BY id"

    async def is_dead() -> bool:
        return [row["state"] for row in rows_of(world, sql)][:1] == ["dead"]

    await world.until("the order that was given up is dead", is_dead, 1_200)

    async def is_paid() -> bool:
        return [row["state"] for row in rows_of(world, sql)] == ["dead", "finalized"]

    await world.until("its successor is paid", is_paid, 1_200)
    first, second = rows_of(world, sql)
    assert (first["attempt"], second["attempt"]) == (1, 2)
    assert order.id in first["proof"]
    sent = [one for one in world.circle.custody.transactions.all() if one.ref_id == order.ref_id]
    assert [one.state for one in sent] == [State.FAILED, State.COMPLETE]
    assert shop.paid()["ada"] == (DUE if ordered_again else DUE // 2)
    assert (await shop.dashboard("ada"))["debt"] == ("1.175" if ordered_again else "0.00")
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_a_packed_payout_of_a_plan_that_the_backup_knows_is_adopted_by_that_plan(tmp_path: Path) -> None:
    """Ada's oldest sale was held when it was planned, and is not any more: no run from her oldest payout on fits."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await shop.open("ada", "bob")
    (oldest,) = await shop.sell("ada")
    ada = shop.creators["ada"]
    ada.content = await shop.publish(ada.token, 500)
    await shop.sell("ada", "bob")
    hold = f"/admin/api/purchases/{oldest.purchase_id}"
    assert (await world.operator("POST", f"{hold}/hold", {"reason": "looked into"})).status == 200
    assert await shop.plan() is not None
    assert (await world.operator("POST", f"{hold}/unhold", {"reason": "it is well"})).status == 200
    await story.back_up()
    await shop.deposited(20 * DUE)
    await shop.batch_is("settled")
    dearer = 4_100_000
    assert shop.paid() == {"ada": dearer, "bob": DUE}
    paid_before = len(outflows(world))
    await story.put_back()
    await story.gate_opens()
    states = "SELECT purchase_id FROM payouts WHERE state = 'distributed' ORDER BY id"

    async def booked() -> bool:
        return [row["purchase_id"] for row in rows_of(world, states)] == [2, 3]

    await world.until("what the plan had is paid", booked)
    assert len(outflows(world)) == paid_before
    await story.pay_out(len(rows_of(world, "SELECT id FROM batches")) + 1)
    assert shop.paid() == {"ada": dearer + DUE, "bob": DUE}
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_a_packed_payout_that_fits_in_no_certain_way_is_adopted_by_the_payouts_that_a_person_names(
    tmp_path: Path,
) -> None:
    """The backup knows neither the plan nor that Ada's oldest sale was held then: he could only say that it was his."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await shop.open("ada", "bob")
    (oldest,) = await shop.sell("ada")
    ada = shop.creators["ada"]
    ada.content = await shop.publish(ada.token, 500)
    dearer, of_bob = await shop.sell("ada", "bob")
    await story.back_up()
    await shop.deposited(20 * DUE)
    reason = {"reason": "looked into"}
    assert (await world.operator("POST", f"/admin/api/purchases/{oldest.purchase_id}/hold", reason)).status == 200
    await story.pay_out(1)
    paid = shop.paid()
    assert paid == {"ada": 4_100_000, "bob": DUE}
    await story.put_back()
    (seen,) = await story.unexplained(1)
    assert sorted((part["owner"], part["amount"]) for part in seen["parts"]) == sorted(
        [(ada.address, "4.10"), (shop.creators["bob"].address, "2.35")]
    )
    owed = {payout["purchase_id"]: payout["id"] for part in seen["parts"] for payout in part["payouts"]}

    async def adopt(*sales: int) -> Any:
        wish = {"reason": "the export names them", "payout_ids": [owed[sale] for sale in sales]}
        return await world.operator("POST", f"/admin/api/outflows/{seen['id']}/adopt", wish)

    for sales in ([oldest.purchase_id], [oldest.purchase_id, dearer.purchase_id]):
        refused = await adopt(*sales)
        assert (refused.status, refused.body["error"]["code"]) == (409, "does_not_fit")
    assert rows_of(world, "SELECT id FROM transfers") == [], "all of its parts, or none"
    assert (await adopt(dearer.purchase_id)).body["items"] == []
    await story.gate_opens()
    states = "SELECT purchase_id FROM payouts WHERE state = 'distributed' ORDER BY id"

    async def is_booked() -> bool:
        return [row["purchase_id"] for row in rows_of(world, states)] == [dearer.purchase_id, of_bob.purchase_id]

    await world.until("what was named is paid", is_booked)
    await story.pay_out(len(rows_of(world, "SELECT id FROM batches")) + 1)
    assert shop.paid() == {"ada": paid["ada"] + DUE, "bob": DUE}
    assert await parked(world) == []
    await shop.close()


@pytest.mark.parametrize("rail", ["circle", "solana"])
@pytest.mark.parametrize("grouping", ["purchase", "creator"])
@on_virtual_time
async def test_what_was_planned_before_the_backup_paid_after_it_and_refunded_since_is_a_debt(
    rail: str, grouping: str, tmp_path: Path
) -> None:
    """`python main.py simulate`, old_backup and reordered_events: the refunded payout had left its transfer, which was
    adopted without it; the ledger then refused an entry of nothing, and the daemon ended at each start."""
    story = drill(tmp_path, agent_rail=rail, agent_grouping=grouping)
    shop, world = story.shop, story.world
    await shop.open("ada", "bob")
    refunded, _ = await shop.sell("ada", "bob")
    assert await shop.plan() is not None
    await story.back_up()
    await shop.deposited(20 * DUE)
    await shop.batch_is("settled")
    story.refund(refunded)
    await world.clock.sleep(20)
    await story.put_back()
    await story.gate_opens()

    async def booked() -> bool:
        board = await shop.dashboard("ada")
        return (board["paid_out"], board["debt"]) == ("2.35", "2.35")

    await world.until("what was paid is known, and owed back", booked)
    assert shop.paid() == {"ada": DUE, "bob": DUE}
    assert await parked(world) == []
    await shop.close()


@pytest.mark.parametrize(
    "ways", [{"agent_rail": "solana"}, {"agent_grouping": "creator"}], ids=["solana", "circle-by-creator"]
)
@pytest.mark.parametrize("cents", [100, 300], ids=["in-part", "whole"])
@on_virtual_time
async def test_a_debt_that_the_restored_database_nets_against_what_was_paid_before_it_is_netted_against_what_is_due(
    cents: int, ways: dict[str, str], tmp_path: Path
) -> None:
    """The backup has Ada's second sale unpaid. It was paid, and then her first one was refunded; the
    restored database learns of the refund first."""
    story = drill(tmp_path, **ways)
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.pay_out(1)
    await shop.sell("ada", "bob")
    await story.back_up()
    await story.pay_out(2)
    await world.clock.sleep(600)
    story.refund(story.paid[0], cents)
    await world.clock.sleep(60)
    debt = (await shop.dashboard("ada"))["debt"]
    assert debt != "0.00"
    await story.put_back()
    await story.gate_opens()

    async def booked() -> bool:
        board = await shop.dashboard("ada")
        return (board["paid_out"], board["debt"]) == ("4.70", debt)

    await world.until("what was paid is known, and as much is owed back", booked)
    assert await shop.plan() is None
    assert shop.paid() == {"ada": 2 * DUE, "bob": DUE, "cleo": 0}
    assert await parked(world) == []
    await shop.close()
