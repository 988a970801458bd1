"""While the start gate is closed nothing is ordered, and what was ordered before is followed to its end."""

from pathlib import Path

import pytest
from solders.pubkey import Pubkey
from sqlalchemy import text

from gateways.circle_api.reading import PAGE_ROWS
from sandbox.faults import Fault, Rule
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import DUE, Market, Sale, written
from tests.week.test_restore_drill import drill
from tests.week.virtual_world import VirtualWorld

ATTEMPTS = "SELECT * FROM transfer_attempts ORDER BY id"
SENT_GROUPS = "SELECT signature FROM group_attempts WHERE state = 'sent'"
EXPIRY_SLOTS = 250
"""More than a blockhash's life of 150 blocks and the 32 slots to finality."""


async def gate_opens(world: VirtualWorld, seconds: float = 600) -> None:
    async def is_open() -> bool:
        return world.daemon is not None and world.daemon.engine.gate.is_open

    await world.until("the start gate opens", is_open, seconds)


def drop_sends(world: VirtualWorld, dropped: bool) -> None:
    for endpoint in world.node.endpoints.values():
        endpoint.drops_sends = dropped


async def native_token(world: VirtualWorld) -> str:
    """Circle's id of SOL."""
    balances = await world.circle_get(f"/v1/w3s/wallets/{world.platform.wallet_id}/balances?includeAll=true")
    return next(str(one["token"]["id"]) for one in balances["tokenBalances"] if one["token"]["isNative"])


async def has_left(world: VirtualWorld, count: int) -> None:
    async def left() -> bool:
        return len(outflows(world)) == count

    await world.until("it has landed", left)


async def named(world: VirtualWorld) -> str:
    """Wait until the daemon knows the signature of its one transfer."""
    sql = "SELECT signature FROM transfer_attempts WHERE signature IS NOT NULL"

    async def is_named() -> bool:
        return bool(rows_of(world, sql))

    await world.until("Circle has named the signature", is_named)
    return str(rows_of(world, sql)[0]["signature"])


async def group_is_sent(world: VirtualWorld) -> str:
    """Wait until the first group is; its signature."""

    async def is_sent() -> bool:
        return bool(rows_of(world, SENT_GROUPS))

    await world.until("the group is sent", is_sent)
    return str(rows_of(world, SENT_GROUPS)[0]["signature"])


async def the_unexplained(world: VirtualWorld) -> str:
    """Wait until one outflow fits nothing; the path of what a person may do with it."""
    shown: list[int] = []

    async def is_shown() -> bool:
        shown[:] = [one["id"] for one in (await world.operator("GET", "/admin/api/outflows")).body["items"]]
        return len(shown) == 1

    await world.until("one outflow is unexplained", is_shown)
    return f"/admin/api/outflows/{shown[0]}"


async def plan_without(shop: Market, sale: Sale) -> None:
    """Plan while a sale is held, which is due again once the order of what was planned has a signature that does not
    land."""
    held = f"/admin/api/purchases/{sale.purchase_id}"
    assert (await shop.world.operator("POST", f"{held}/hold", {"reason": "looked into"})).status == 200
    drop_sends(shop.world, True)
    await shop.plan()
    await named(shop.world)
    assert (await shop.world.operator("POST", f"{held}/unhold", {"reason": "it is well"})).status == 200


async def lands_under_another_signature(world: VirtualWorld) -> None:
    """The daemon dies, its order expires, and Circle signs it anew."""
    await world.process.kill()
    world.node.skip_slots(EXPIRY_SLOTS)
    drop_sends(world, False)
    await has_left(world, 1)
    await world.clock.sleep(60)


@on_virtual_time
async def test_a_transfer_that_circle_signed_anew_while_the_daemon_was_dead_is_paid_once_and_opens_the_gate(
    tmp_path: Path,
) -> None:
    """The first bytes never landed. The outflow is by a signature that no row has, and waited for its transfer's own
    step, which waited for the gate."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(DUE)
    drop_sends(world, True)
    await shop.plan()
    first = await named(world)
    await lands_under_another_signature(world)
    assert first not in outflows(world)
    await world.start()
    await gate_opens(world)
    await shop.batch_is("settled")
    (attempt,) = rows_of(world, "SELECT * FROM transfer_attempts")
    assert (attempt["state"], [attempt["signature"]]) == ("finalized", list(outflows(world)))
    history = rows_of(world, "SELECT reason FROM state_history WHERE machine = 'transfer'")
    assert any(f"in place of {first}" in (row["reason"] or "") for row in history)
    assert shop.paid() == {"ada": DUE}
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_an_outflow_that_is_less_by_the_debt_of_a_payout_that_was_on_its_way_is_adopted_once_that_one_has_landed(
    tmp_path: Path,
) -> None:
    """The backup has Ada's first payout on its way and her second one due. The first landed, was refunded in part, and
    the second was less by that."""
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada", "ada")
    second = story.paid[1]
    await plan_without(shop, second)
    await story.back_up()
    drop_sends(world, False)
    await shop.batch_is("settled")
    story.refund(story.paid[0], 100)

    async def owes() -> bool:
        sql = f"SELECT netted_amount n FROM payouts WHERE purchase_id = {second.purchase_id}"
        return bool(rows_of(world, sql)[0]["n"])

    await world.until("the debt has used up a part of the second", owes)
    await story.pay_out(2)
    paid = shop.paid()["ada"]
    assert DUE < paid < 2 * DUE
    await story.put_back()
    await story.gate_opens()
    sql = "SELECT state, paid_amount, netted_amount FROM payouts ORDER BY id"

    async def booked() -> bool:
        found = [(row["state"], row["paid_amount"], row["netted_amount"]) for row in rows_of(world, sql)]
        return found == [("distributed", DUE, 0), ("distributed", paid - DUE, 2 * DUE - paid)]

    await world.until("both are booked as they were paid", booked)
    assert await shop.plan() is None
    assert (shop.paid()["ada"], await parked(world)) == (paid, [])
    await shop.close()


@on_virtual_time
async def test_a_gate_that_nodes_fail_every_few_seconds_goes_on_where_it_was_broken_off(tmp_path: Path) -> None:
    """It began its wait for late transactions anew with each call that failed, and the list of events too."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await world.stop()
    await world.start()
    begun, before = world.clock.monotonic(), len(world.transport.sent)
    assert world.daemon is not None
    while not world.daemon.engine.gate.is_open:
        assert world.clock.monotonic() - begun < 120
        world.node.faults.add(Rule("getBlockHeight", Fault.STATUS, times=2, status=503))
        await world.clock.sleep(10)
    asked = [one.url for one in world.transport.sent[before:] if "/v1/events?" in one.url]
    assert len(asked) <= 2, "the gate's and the schedule's"
    await shop.close()


@on_virtual_time
async def test_what_was_signed_just_before_the_backup_is_put_back_is_waited_for_until_it_is_final(
    tmp_path: Path,
) -> None:
    """Its blockhash is of a confirmed block, ahead of the finalized ones, and it lands in its last ones."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await story.begin("ada")
    world.node.mint_usdc(Pubkey.from_string(shop.creators["ada"].address or ""), 0)
    await story.back_up()
    await gate_opens(world)
    world.node.switches.land_after_slots = 145
    assert await shop.plan() is not None
    await group_is_sent(world)
    world.node.switches.land_after_slots = 0
    await story.put_back()
    assert await shop.plan() is not None
    await gate_opens(world)
    await world.clock.sleep(60)
    assert len(outflows(world)) == 1
    assert shop.paid()["ada"] == DUE
    await shop.close()


@on_virtual_time
async def test_sol_that_the_operator_moved_out_in_circles_console_does_not_keep_the_gate_closed(
    tmp_path: Path,
) -> None:
    """It is a transfer that no payout fits, and no outflow that anybody could decide. The nodes keep it only for so
    long."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await world.circle_transfer("0.5", token_id=await native_token(world))
    await shop.sell()
    await world.clock.sleep(60)
    await world.stop()
    (moved,) = [one for one in world.circle.custody.transactions.all() if one.kind == "OUTBOUND"]
    for endpoint in world.node.endpoints.values():
        endpoint.hides.add(str(moved.tx_hash))
    await world.start()
    await gate_opens(world)
    assert (await world.operator("GET", "/admin/api/outflows")).body["items"] == []
    await shop.close()


@pytest.mark.parametrize("sent", [False, True], ids=["not-ordered", "lost-on-its-way"])
@on_virtual_time
async def test_a_payment_by_hand_that_equals_an_order_that_circle_does_not_have_is_no_payout_until_a_person_says_so(
    sent: bool, tmp_path: Path
) -> None:
    """It counted as the order's own, because recipient and amount are the same; then the order was sent too."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await shop.deposited(2 * DUE)
    lost = Rule("POST /v1/w3s/developer/transactions/transfer", Fault.LOSE_REQUEST, times=1_000)
    world.circle.faults.add(lost)
    await shop.plan()

    async def begun() -> bool:
        return bool(rows_of(world, "SELECT id FROM transfer_attempts WHERE state = 'submitted'"))

    await world.until("the transfer was sent, and lost", begun)
    if not sent:
        never = "UPDATE transfer_attempts SET state = 'intended', first_sent_at = NULL"
        await written(world, lambda conn: conn.execute(text(never)))
    await world.process.kill()
    world.circle.faults.clear()
    await world.circle_transfer("2.35", to=shop.creators["ada"].address)
    await world.clock.sleep(60)
    await world.start()
    by_hand = await the_unexplained(world)
    wish = {"reason": "by hand, in its place", "payout_ids": [1]}
    if sent:
        refused = await world.operator("POST", f"{by_hand}/adopt", wish)
        assert (refused.status, refused.body["error"]["code"]) == (409, "may_be_on_its_way"), "it may still get there"
    await world.clock.sleep(240)
    assert world.daemon is not None and not world.daemon.engine.gate.is_open
    assert shop.paid() == {"ada": DUE}
    adopted = await world.operator("POST", f"{by_hand}/adopt", wish)
    assert adopted.body["items"] == []
    await gate_opens(world)
    await shop.batch_is("settled")
    await world.clock.sleep(60)
    assert (shop.paid(), len(outflows(world)), await parked(world)) == ({"ada": DUE}, 1, [])
    await world.stop()


@pytest.mark.parametrize("signed", [False, True], ids=["lost", "signed"])
@on_virtual_time
async def test_what_was_ordered_in_place_of_an_order_that_the_backup_has_on_its_way_is_adopted(
    signed: bool, tmp_path: Path
) -> None:
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    drop_sends(world, True)
    await shop.plan()
    await named(world)
    if not signed:
        await written(world, lambda conn: conn.execute(text("UPDATE transfer_attempts SET signature = NULL")))
    await story.back_up()
    (first,) = [one for one in world.circle.custody.transactions.all() if one.ref_id]
    world.circle.custody.transactions.fail(first, "INTERNAL_ERROR", "gave it up")
    drop_sends(world, False)
    await shop.batch_is("settled", seconds=3_600)
    await story.put_back()
    await story.gate_opens()

    async def booked() -> bool:
        return [row["state"] for row in rows_of(world, ATTEMPTS)] == ["dead", "finalized"]

    await world.until("the second order is the one that paid", booked)
    assert shop.paid()["ada"] == DUE
    assert await parked(world) == []
    await shop.close()


@on_virtual_time
async def test_an_order_under_a_signature_of_another_one_keeps_the_gate_closed_and_the_daemon_alive(
    tmp_path: Path,
) -> None:
    """Circle mistakes one for the other in its list. The chain tells whom it paid: it was claimed for the other one."""
    story = drill(tmp_path)
    shop, world = story.shop, story.world
    await story.begin("ada")
    drop_sends(world, True)
    await shop.plan()
    await named(world)
    await story.back_up()
    await gate_opens(world)
    await shop.sell("bob", minted=False)
    drop_sends(world, False)
    await shop.batch_is("settled")
    await story.all_are_minted(2)
    await story.pay_out(2)
    _, bob = [one for one in world.circle.custody.transactions.all() if one.ref_id]
    right, bob.tx_hash = bob.tx_hash, rows_of(world, ATTEMPTS)[0]["signature"]
    await story.put_back()
    await world.clock.sleep(120)
    world.check_alive()
    assert world.daemon is not None and not world.daemon.engine.gate.is_open
    bob.tx_hash = right
    await story.gate_opens()
    await world.clock.sleep(60)
    assert [row["state"] for row in rows_of(world, ATTEMPTS)] == ["finalized", "finalized"]
    assert (shop.paid(), await parked(world)) == ({"ada": DUE, "bob": DUE, "cleo": 0}, [])
    await shop.close()


@on_virtual_time
async def test_an_outflow_that_may_be_an_order_on_its_way_is_given_to_no_other_payout_by_hand(tmp_path: Path) -> None:
    """Two sales at one price: the second was held, and is due. Circle, which would tell, does not answer meanwhile."""
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    _, second = await shop.sell("ada", "ada")
    await shop.deposited(2 * DUE)
    await plan_without(shop, second)
    await lands_under_another_signature(world)
    world.circle.faults.add(Rule("GET /v1/w3s/transactions", Fault.STATUS, times=1_000, status=503))
    await world.start()
    outflow = await the_unexplained(world)
    refused = await world.operator("POST", f"{outflow}/adopt", {"reason": "it looks like it", "payout_ids": [2]})
    assert (refused.status, refused.body["error"]["code"]) == (409, "may_be_on_its_way")
    world.circle.faults.clear()
    await gate_opens(world)
    await shop.batch_is("settled")
    await shop.plan()
    await shop.batch_is("settled", 2)
    assert (shop.paid(), await parked(world)) == ({"ada": 2 * DUE}, [])
    await shop.close()


@on_virtual_time
async def test_circles_list_is_read_on_from_the_page_at_which_it_failed(tmp_path: Path) -> None:
    shop = Market(VirtualWorld(tmp_path))
    world = shop.world
    await shop.open("ada")
    await shop.sell()
    await world.stop()
    await world.circle_transfers("0.001", PAGE_ROWS + 1, await native_token(world))
    await world.clock.sleep(180)
    world.circle.faults.add(Rule("GET /v1/w3s/transactions", Fault.STATUS, times=5, skip=1, status=503))
    before = len(world.transport.sent)
    await world.start()
    await gate_opens(world)
    listed = [one.url for one in world.transport.sent[before:] if "txType=OUTBOUND" in one.url]
    assert len([url for url in listed if "pageAfter" not in url]) == 2, "before the wait, and after it"
    assert len([url for url in listed if "pageAfter" in url]) == 5 + 2
    await shop.close()


@on_virtual_time
async def test_an_outflow_that_the_nodes_do_not_list_keeps_the_gate_closed_by_the_balance_that_lacks_it(
    tmp_path: Path,
) -> None:
    """An index may have a hole where the balances have none. The creator was paid twice."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await story.begin("ada")
    await story.back_up()
    await story.pay_out(1)
    (hidden,) = outflows(world)

    for endpoint in world.node.endpoints.values():
        endpoint.hides.add(hidden)
    await story.put_back()
    assert await shop.plan() is not None
    await world.clock.sleep(120)
    assert shop.paid()["ada"] == DUE
    assert world.daemon is not None and "index backfill" in world.daemon.engine.gate.waits_for
    for endpoint in world.node.endpoints.values():
        endpoint.hides.clear()
    assert (await world.operator("POST", "/admin/api/index/backfill", {})).status in (200, 202)
    await story.gate_opens()
    await world.clock.sleep(60)
    assert (shop.paid()["ada"], len(outflows(world)), await parked(world)) == (DUE, 1, [])
    await shop.close()


@on_virtual_time
async def test_a_group_that_was_signed_anew_after_the_backup_is_settled_by_the_signature_that_landed(
    tmp_path: Path,
) -> None:
    """The `solana` rail stores each signature before it is sent, so only a backup can lack one."""
    story = drill(tmp_path, agent_rail="solana")
    shop, world = story.shop, story.world
    await story.begin("ada")
    world.node.mint_usdc(Pubkey.from_string(shop.creators["ada"].address or ""), 0)
    drop_sends(world, True)
    await shop.plan()
    first = await group_is_sent(world)
    await story.back_up()
    world.node.skip_slots(EXPIRY_SLOTS)

    async def is_signed_anew() -> bool:
        return any(row["signature"] != first for row in rows_of(world, SENT_GROUPS))

    await world.until("it is signed anew", is_signed_anew)
    drop_sends(world, False)
    await shop.batch_is("settled")
    await story.put_back()
    await story.gate_opens()
    await shop.batch_is("settled")
    assert (shop.paid()["ada"], len(outflows(world)), await parked(world)) == (DUE, 1, [])
    assert first not in outflows(world)
    await shop.close()
