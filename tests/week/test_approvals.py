"""A plan is approved by its digest, may only shrink afterwards, and stops at caps and switches."""

from datetime import datetime
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey
from sqlalchemy import update

from storage.people.tokens import ensure_admin_token
from storage.tables import payouts, transfers
from tests.week.checker import rows_of
from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import MONDAY, VirtualWorld

SECOND = "token-of-the-second-approver"


async def opened(tmp_path: Path, sales: int = 1, start: datetime = MONDAY, **settings: str) -> Gallery:
    shop = Gallery(VirtualWorld(tmp_path, 1, start, **settings))
    await shop.open()
    for _ in range(sales):
        await shop.sell()
    shop.world.node.mint_usdc(Pubkey.from_string(shop.world.platform.address), sales * DUE)
    return shop


async def batch(shop: Gallery) -> dict[str, Any]:
    shown = await shop.world.operator("GET", "/admin/api/batches/1")
    return dict(shown.body)


async def status_becomes(shop: Gallery, status: str) -> None:
    async def is_so() -> bool:
        return bool((await batch(shop))["batch"]["status"] == status)

    await shop.world.until(f"the batch is {status}", is_so)


def test_with_two_approvers_nothing_is_sent_until_the_second_names_the_same_digest(tmp_path: Path) -> None:
    async def story() -> None:
        shop = await opened(tmp_path, AGENT_APPROVERS="2")
        world = shop.world
        await world.operator("POST", "/admin/api/batches", {})
        await status_becomes(shop, "waiting_approval")
        digest = (await batch(shop))["batch"]["digest"]
        again = await world.operator("POST", "/admin/api/batches/1/approve", {"digest": digest})
        assert again.body["approved_by"] == ["settings"]
        assert world.daemon is not None
        now = world.clock.now()
        await world.daemon.ports.store.write(lambda conn: ensure_admin_token(conn, SECOND, now, name="second"))
        wrong = await world.call("POST", "/admin/api/batches/1/approve", {"digest": "0" * 64}, SECOND, admin=True)
        assert (wrong.status, wrong.body["error"]["code"]) == (409, "digest_differs")
        assert await shop.paid_on_chain() == 0
        agreed = await world.call("POST", "/admin/api/batches/1/approve", {"digest": digest}, SECOND, admin=True)
        assert agreed.body["approved_by"] == ["settings", "second"]
        await status_becomes(shop, "settled")
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_a_plan_that_grew_after_its_approval_is_refused_and_left_to_a_person(tmp_path: Path) -> None:
    async def story() -> None:
        shop = await opened(tmp_path, sales=2, AGENT_APPROVERS="2", AGENT_GROUPING="creator")
        world = shop.world
        await world.operator("POST", "/admin/api/batches", {})
        await status_becomes(shop, "waiting_approval")
        assert world.daemon is not None
        store, now = world.daemon.ports.store, world.clock.now()

        def tamper(conn: Any) -> None:
            conn.execute(update(payouts).values(amount=payouts.c.amount + 1))
            conn.execute(update(transfers).values(amount=transfers.c.amount + 2))
            ensure_admin_token(conn, SECOND, now, name="second")

        await store.write(tamper)
        world.node.mint_usdc(Pubkey.from_string(world.platform.address), 10)
        digest = (await batch(shop))["batch"]["digest"]
        await world.call("POST", "/admin/api/batches/1/approve", {"digest": digest}, SECOND, admin=True)

        async def parked() -> bool:
            work = await world.operator("GET", "/admin/api/work")
            return any("approved plan" in (row["error"] or "") for row in work.body["items"])

        await world.until("the plan is refused", parked)
        assert (await batch(shop))["batch"]["paused"]
        assert await shop.paid_on_chain() == 0
        await world.close()

    run_virtually(story())


def test_a_refund_after_the_approval_shrinks_the_plan_and_shows_as_a_change(tmp_path: Path) -> None:
    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        await shop.open()
        _, _, payment = await shop.sell()
        await shop.sell()
        await shop.world.operator("POST", "/admin/api/batches", {})
        await status_becomes(shop, "waiting_funds")
        shop.world.stripe.controls.refund(payment, 100)
        await shop.shows("less is due", pending_distribution="3.916667")
        shop.world.node.mint_usdc(Pubkey.from_string(shop.world.platform.address), 2 * DUE)
        await status_becomes(shop, "settled")
        assert await shop.paid_on_chain() == 3_916_667
        (change,) = (await batch(shop))["changes"]
        assert (change["planned"], change["now"]) == ("2.35", "1.566667")
        (noted,) = rows_of(shop.world, "SELECT reason FROM state_history WHERE machine = 'batch' AND after = 'shrunk'")
        digest = (await batch(shop))["batch"]["digest"]
        assert noted["reason"].startswith(f"{digest}: 783333 base units less: ")
        await shop.close()

    run_virtually(story())


def test_a_payout_one_unit_above_the_cap_pauses_the_batch_and_one_at_the_cap_is_paid(tmp_path: Path) -> None:
    async def story(cap: int, folder: Path) -> dict[str, Any]:
        folder.mkdir()
        shop = await opened(folder, AGENT_CAP_PAYOUT=str(cap))
        await shop.world.operator("POST", "/admin/api/batches", {})

        async def decided() -> bool:
            shown = (await batch(shop))["batch"]
            return bool(shown["paused"] or shown["status"] == "settled")

        await shop.world.until("the batch is paused or paid", decided)
        shown = (await batch(shop))["batch"] | {"paid": await shop.paid_on_chain()}
        await shop.close()
        return dict(shown)

    above = run_virtually(story(DUE - 1, tmp_path / "above"))
    assert (above["paused"], above["paid"]) == (True, 0)
    assert "AGENT_CAP_PAYOUT" in above["pause_reason"]
    at = run_virtually(story(DUE, tmp_path / "at"))
    assert (at["status"], at["paid"]) == ("settled", DUE)


def test_the_pause_switch_stops_every_send_across_a_restart(tmp_path: Path) -> None:
    async def story() -> None:
        shop = await opened(tmp_path)
        world = shop.world
        paused = await world.operator("POST", "/admin/api/sends/pause", {"reason": "something smells"})
        assert paused.body["paused"] == "something smells"
        await world.operator("POST", "/admin/api/batches", {})
        await status_becomes(shop, "sending")
        await world.stop()
        await world.start()
        await world.clock.sleep(200)
        assert await shop.paid_on_chain() == 0
        await world.operator("POST", "/admin/api/sends/resume")
        await status_becomes(shop, "settled")
        assert await shop.paid_on_chain() == DUE
        await shop.close()

    run_virtually(story())


def test_a_day_cap_lets_the_rest_of_a_batch_wait_for_the_next_day(tmp_path: Path) -> None:
    async def story() -> None:
        late = MONDAY.replace(hour=23, minute=50)
        shop = await opened(tmp_path, 2, late, AGENT_CAP_DAY=str(DUE))
        await shop.world.operator("POST", "/admin/api/batches", {})
        await shop.world.clock.sleep(300)
        assert await shop.paid_on_chain() == DUE
        await shop.world.clock.sleep(600)
        assert await shop.paid_on_chain() == 2 * DUE
        await shop.close()

    run_virtually(story())
