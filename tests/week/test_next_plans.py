"""A sale that leaves one plan and is taken by another: the second plan's approvals and cover are its own."""

from pathlib import Path

from storage.people.tokens import ensure_admin_token
from tests.week.people import on_virtual_time
from tests.week.selling import DUE, Market, written
from tests.week.virtual_world import MONDAY, VirtualWorld

SECOND = "token-of-the-second-approver"


async def approved_by_another(shop: Market, batch_id: int) -> None:
    world, now = shop.world, shop.world.clock.now()
    await written(world, lambda conn: ensure_admin_token(conn, SECOND, now, name="second"))
    digest = (await shop.batch(batch_id))["batch"]["digest"]
    agreed = await world.call("POST", f"/admin/api/batches/{batch_id}/approve", {"digest": digest}, SECOND, admin=True)
    assert agreed.status == 200, agreed


async def asked(shop: Market, what: str, **body: str) -> None:
    answer = await shop.world.operator("POST", f"/admin/api/{what}", body)
    assert answer.status in (200, 202), answer


async def replanned(shop: Market, purchase_id: int) -> int:
    """Held, let go and planned anew, all within a minute; the new plan's batch."""
    await asked(shop, f"purchases/{purchase_id}/hold", reason="looked into")
    await asked(shop, f"purchases/{purchase_id}/unhold", reason="it is well")
    batch = await shop.plan()
    assert batch is not None
    return int(batch["id"])


@on_virtual_time
async def test_what_an_approved_plan_left_to_the_next_one_waits_for_that_ones_approvals(tmp_path: Path) -> None:
    """It was sent with one approval of two: the work of the first plan, which the operator had stopped, was still
    there, and found the sale covered."""
    shop = Market(VirtualWorld(tmp_path, 1, MONDAY, AGENT_APPROVERS="2"))
    await shop.open("ada")
    (sale,) = await shop.sell()
    await shop.deposited(DUE)
    assert await shop.plan() is not None
    await asked(shop, "sends/pause", reason="look first")
    await approved_by_another(shop, 1)
    await shop.batch_is("sending")
    assert await shop.open_work("transfer")
    second = await replanned(shop, sale.purchase_id)
    await asked(shop, "sends/resume")
    await shop.world.clock.sleep(300)
    assert (await shop.batch(second))["batch"]["status"] == "waiting_approval"
    assert shop.paid() == {"ada": 0}
    await approved_by_another(shop, second)
    await shop.batch_is("settled", second)
    assert shop.paid() == {"ada": DUE}
    await shop.close()


@on_virtual_time
async def test_a_payout_that_failed_and_was_held_since_is_paid_by_the_plan_that_takes_it(tmp_path: Path) -> None:
    """The work of its transfer stayed parked, and the next plan's batch was being sent for ever."""
    shop = Market(VirtualWorld(tmp_path))
    await shop.open("ada")
    (sale,) = await shop.sell()
    await shop.deposited(DUE)
    denied = shop.world.circle.custody.transfers.denied_addresses
    denied.add(str(shop.creators["ada"].address))
    assert await shop.plan() is not None
    await shop.batch_is("settled")
    assert shop.states() == ["failed"]
    denied.clear()
    held = f"purchases/{sale.purchase_id}"
    await asked(shop, f"{held}/hold", reason="looked into")
    await asked(shop, f"{held}/unhold", reason="it is well")
    await asked(shop, f"retry/distribution/{sale.purchase_id}")
    second = await shop.plan()
    assert second is not None
    await shop.batch_is("settled", second["id"], seconds=3_600)
    assert shop.paid() == {"ada": DUE}
    await shop.close()
