"""Refunds that an operator asks for, in the whole world on virtual time: given back once, whatever gets lost."""

import json
from pathlib import Path
from typing import Any

from sqlalchemy import select

from sandbox.faults import Fault, Rule
from storage import tables
from tests.week.test_peer_defects import nfts
from tests.week.test_refunds import DUE, Gallery
from tests.week.test_virtual_week import run_virtually
from tests.week.virtual_world import VirtualWorld


class Desk(Gallery):
    """The gallery with its operator at work."""

    async def act(self, purchase_id: int, what: str, **body: Any) -> Any:
        """What moves money carries the payment_intent and what was looked at."""
        path = f"/admin/api/purchases/{purchase_id}"
        seen = (await self.world.operator("GET", path)).body
        signed = {"confirm": seen["purchase"]["stripe_payment_intent_id"], "version": seen["version"]}
        return await self.world.operator("POST", f"{path}/{what}", {"reason": "asked by the buyer", **signed, **body})

    async def refunds(self, purchase_id: int) -> list[str]:
        assert self.world.daemon is not None
        mine = select(tables.refunds.c.state).where(tables.refunds.c.purchase_id == purchase_id)
        return list(
            await self.world.daemon.ports.store.read(
                lambda conn: list(conn.scalars(mine.order_by(tables.refunds.c.id)))
            )
        )

    async def refunded(self, purchase_id: int, state: str) -> None:
        async def is_so() -> bool:
            found = await self.refunds(purchase_id)
            return bool(found) and found[-1] == state

        await self.world.until(f"the refund is {state}", is_so)

    def given_back(self, payment: str) -> list[int]:
        """What Stripe itself says was given back of a payment, refund by refund."""
        ledger: Any = self.world.stripe.controls.ledger()
        (entry,) = [one for one in ledger["payments"] if one["payment_intent"] == payment]
        return sorted(refund["amount"] for refund in entry["refunds"])


def test_a_buyer_gets_part_of_his_money_back_then_the_rest_and_the_creator_s_due_follows(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(VirtualWorld(tmp_path))
        await desk.open()
        purchase_id, token, payment = await desk.sell()
        asked = await desk.act(purchase_id, "refund", amount="1.00")
        assert (asked.status, asked.body["amount"]) == (202, "1.00")
        await desk.refunded(purchase_id, "succeeded")
        await desk.shows("two thirds are due", pending_distribution="1.566667")
        await desk.pay_out(DUE)
        assert await desk.paid_on_chain() == 1_566_667
        assert (await desk.act(purchase_id, "refund")).body["amount"] == "2.00"
        await desk.shows("what was paid is owed back", debt="1.566667")
        assert desk.given_back(payment) == [100, 200]
        assert (await desk.purchase(purchase_id, token))["status"] == "refunded"
        assert (await desk.act(purchase_id, "refund")).body["error"]["code"] == "too_much"
        await desk.close()

    run_virtually(story())


def test_a_lost_answer_makes_no_second_refund_and_a_refused_one_may_be_asked_for_anew(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(VirtualWorld(tmp_path))
        await desk.open()
        purchase_id, _, payment = await desk.sell()
        desk.world.stripe.controls.add_fault(Rule("POST /v1/refunds", Fault.LOSE_ANSWER), inside=False)
        assert (await desk.act(purchase_id, "refund")).status == 202
        await desk.world.clock.sleep(2)
        await desk.world.stop()
        await desk.world.start()
        await desk.refunded(purchase_id, "succeeded")
        assert desk.given_back(payment) == [300]

        purchase_id, _, payment = await desk.sell()
        refusal = {"error": {"type": "invalid_request_error", "code": "charge_disputed", "message": "It is disputed."}}
        rule = Rule("POST /v1/refunds", Fault.STATUS, status=400, body=json.dumps(refusal).encode())
        desk.world.stripe.controls.add_fault(rule, inside=False)
        assert (await desk.act(purchase_id, "refund")).status == 202
        await desk.refunded(purchase_id, "failed")
        assert desk.given_back(payment) == []
        assert (await desk.act(purchase_id, "refund")).status == 202
        await desk.refunded(purchase_id, "succeeded")
        assert desk.given_back(payment) == [300]
        await desk.close()

    run_virtually(story())


def test_a_buyer_who_is_being_given_everything_back_gets_no_nft_by_setting_up_his_wallet(tmp_path: Path) -> None:
    """Stripe takes its time: what was asked for before the mint counts before it."""

    async def story() -> None:
        desk = Desk(VirtualWorld(tmp_path))
        await desk.open(editions=1)
        desk.world.circle.custody.switches.auto_pin = False
        token, session = await desk.pay()
        payment = desk.payment_of(session)

        async def waits() -> bool:
            shelf = await desk.library(token)
            return bool(shelf) and shelf[0]["status"] == "waiting_for_wallet"

        await desk.world.until("the mint waits for the wallet", waits)
        away = Rule("POST /v1/refunds", Fault.STATUS, times=1_000, status=503)
        desk.world.stripe.controls.add_fault(away, inside=False)
        purchase_id = (await desk.library(token))[0]["purchase_id"]
        assert (await desk.act(purchase_id, "refund")).status == 202
        desk.world.circle.custody.switches.auto_pin = True
        await desk.world.clock.sleep(1_200)
        assert (await desk.purchase(purchase_id, token))["status"] == "payment_completed"
        desk.world.stripe.controls.clear_faults()
        await desk.refunded(purchase_id, "succeeded")
        assert desk.given_back(payment) == [300]
        assert (await desk.purchase(purchase_id, token))["status"] == "refunded"
        assert nfts(desk.world) == 0
        await desk.close()

    run_virtually(story())


def test_a_refund_of_everything_that_stripe_refuses_lets_the_mint_go_on(tmp_path: Path) -> None:
    async def story() -> None:
        desk = Desk(VirtualWorld(tmp_path))
        await desk.open()
        desk.world.circle.custody.switches.auto_pin = False
        token, _ = await desk.pay()
        refusal = {"error": {"type": "invalid_request_error", "code": "charge_disputed", "message": "It is disputed."}}
        rule = Rule("POST /v1/refunds", Fault.STATUS, status=400, body=json.dumps(refusal).encode())

        async def waits() -> bool:
            shelf = await desk.library(token)
            return bool(shelf) and shelf[0]["status"] == "waiting_for_wallet"

        await desk.world.until("the mint waits for the wallet", waits)
        purchase_id = (await desk.library(token))[0]["purchase_id"]
        away = Rule("POST /v1/refunds", Fault.STATUS, times=1, status=503)
        desk.world.stripe.controls.add_fault(away, inside=False)
        desk.world.stripe.controls.add_fault(rule, inside=False)
        assert (await desk.act(purchase_id, "refund")).status == 202
        desk.world.circle.custody.switches.auto_pin = True
        await desk.refunded(purchase_id, "failed")

        async def owned() -> bool:
            return bool((await desk.library(token))[0]["status"] == "owned")

        await desk.world.until("the buyer owns it", owned, 1_800)
        await desk.close()

    run_virtually(story())
