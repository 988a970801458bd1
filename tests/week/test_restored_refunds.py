"""Refunds that a backup still means to ask for, though a process whose rows are lost has had their outcome."""

import json
import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from sandbox.faults import Fault, Rule
from storage.recovery import restoring
from tests.week.checker import rows_of
from tests.week.people import on_virtual_time, parked
from tests.week.selling import skip_to
from tests.week.test_operator_refunds import Desk
from tests.week.virtual_world import VirtualWorld

AWAY = Rule("POST /v1/refunds", Fault.STATUS, times=1_000_000, status=503)
REFUSAL = {"error": {"type": "invalid_request_error", "code": "charge_disputed", "message": "It is disputed."}}


class Restored(Desk):
    """A refund of $1.00 is meant, and the backup is taken before Stripe has answered."""

    async def begin(self) -> tuple[int, str]:
        """Purchase id and payment_intent."""
        await self.open()
        purchase_id, _, payment = await self.sell()
        self.world.stripe.controls.add_fault(AWAY, inside=False)
        assert (await self.act(purchase_id, "refund", amount="1.00")).status == 202
        await self.world.clock.sleep(2)
        await self.world.stop()
        shutil.copy(self.world.folder / "agent.db", self.world.folder / "backup.db")
        await self.world.start()
        return purchase_id, payment

    async def refused(self, purchase_id: int) -> None:
        """Stripe refuses it for good."""
        self.world.stripe.controls.clear_faults()
        rule = Rule("POST /v1/refunds", Fault.STATUS, status=400, body=json.dumps(REFUSAL).encode())
        self.world.stripe.controls.add_fault(rule, inside=False)
        await self.refunded(purchase_id, "failed")

    async def some_hours_later(self) -> None:
        await self.world.stop()
        await skip_to(self.world, self.world.clock.now() + timedelta(hours=13))
        await self.world.start()

    async def put_back(self) -> None:
        await self.world.stop()
        folder = self.world.folder
        restoring.put_in_place(folder / "backup.db", folder / "agent.db", self.world.clock.now())
        await self.world.start()

    async def at_rest(self, payment: str, *given: int) -> None:
        async def settled() -> bool:
            return rows_of(self.world, "SELECT id FROM jobs WHERE kind IN ('refund', 'refunds')") == []

        await self.world.until("no refund is asked for any more", settled, 1_800)
        assert self.given_back(payment) == list(given)
        assert await parked(self.world) == []
        await self.close()


@pytest.mark.parametrize("late", [True, False], ids=["half-a-day-later", "at-once"])
@on_virtual_time
async def test_what_was_refused_and_asked_for_anew_is_not_asked_for_by_a_restored_backup(
    late: bool, tmp_path: Path
) -> None:
    desk = Restored(VirtualWorld(tmp_path))
    purchase_id, payment = await desk.begin()
    await desk.refused(purchase_id)
    if late:
        await desk.some_hours_later()
    assert (await desk.act(purchase_id, "refund", amount="1.00")).status == 202
    await desk.refunded(purchase_id, "succeeded")
    await desk.put_back()
    await desk.shows("a third went back", pending_distribution="1.566667")
    await desk.refunded(purchase_id, "succeeded")
    assert sorted(await desk.refunds(purchase_id)) == ["failed", "succeeded"]
    await desk.at_rest(payment, 100)


@on_virtual_time
async def test_what_has_worked_since_the_backup_is_found_by_its_mark(tmp_path: Path) -> None:
    desk = Restored(VirtualWorld(tmp_path))
    purchase_id, payment = await desk.begin()
    desk.world.stripe.controls.clear_faults()
    await desk.refunded(purchase_id, "succeeded")
    assert (await desk.act(purchase_id, "refund", amount="0.50")).status == 202
    await desk.refunded(purchase_id, "succeeded")
    await desk.some_hours_later()
    await desk.put_back()
    await desk.shows("a half went back", pending_distribution="1.175")
    await desk.at_rest(payment, 50, 100)


@on_virtual_time
async def test_what_nobody_asked_for_since_and_what_was_made_by_hand_ends_no_refund(tmp_path: Path) -> None:
    desk = Restored(VirtualWorld(tmp_path))
    purchase_id, payment = await desk.begin()
    desk.world.stripe.controls.refund(payment, 30)
    await desk.some_hours_later()
    await desk.put_back()
    desk.world.stripe.controls.clear_faults()
    await desk.refunded(purchase_id, "succeeded")
    await desk.at_rest(payment, 30, 100)


@on_virtual_time
async def test_a_refund_that_is_ordered_after_the_restore_is_ended_by_none_of_before(tmp_path: Path) -> None:
    desk = Restored(VirtualWorld(tmp_path))
    purchase_id, payment = await desk.begin()
    await desk.refused(purchase_id)
    assert (await desk.act(purchase_id, "refund", amount="1.00")).status == 202
    await desk.refunded(purchase_id, "succeeded")
    await desk.put_back()
    await desk.shows("a third went back", pending_distribution="1.566667")
    desk.world.stripe.controls.add_fault(AWAY, inside=False)
    assert (await desk.act(purchase_id, "refund", amount="0.20")).status == 202
    await desk.some_hours_later()
    desk.world.stripe.controls.clear_faults()
    await desk.refunded(purchase_id, "succeeded")
    await desk.at_rest(payment, 20, 100)
