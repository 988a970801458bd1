"""What the simulator found, each as a story of its own: the seed that showed it stands beside it."""

from pathlib import Path
from typing import Any

import pytest

from sandbox.faults import Fault, Rule
from tests.week.checker import rows_of
from tests.week.selling import DUE, Market
from tests.week.test_refunds import Gallery
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


def test_what_a_debt_took_of_a_planned_payout_is_paid_with_it_when_the_debt_is_none_any_more(tmp_path: Path) -> None:
    """`simulate --operators --faults all --purchases 10 --weeks 4 --seed 500`: the refund behind the debt failed before
    the batch was sent, and the transfer stayed as small as the debt had made it."""

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path, AGENT_GROUPING="creator"))
        await shop.open()
        (first,) = await shop.sell()
        shop.fund(DUE)
        await shop.plan()
        await shop.batch_is("settled")
        await shop.sell()
        await shop.plan()
        refund: Any = shop.world.stripe.controls.refund(first.payment, 100)

        async def sends(amount: int) -> None:
            async def planned() -> bool:
                return bool(rows_of(shop.world, "SELECT amount FROM transfers ORDER BY id")[-1]["amount"] == amount)

            await shop.world.until(f"the transfer is of {amount}", planned)

        await sends(round(DUE * 2 / 3))
        shop.world.stripe.controls.fail_refund(refund["id"])
        await sends(DUE)
        shop.fund(DUE)
        await shop.batch_is("settled", 2)
        assert shop.paid() == {"ada": 2 * DUE}
        await shop.close()

    run_virtually(story())


def test_what_is_due_again_when_a_refund_fails_is_promised_only_if_it_is_there(tmp_path: Path) -> None:
    """`tests.proof pairs`, seed 1193: the payout kept its promise and grew, beyond what had come in."""

    async def story() -> None:
        shop = Market(VirtualWorld(tmp_path))
        await shop.open()
        (first,) = await shop.sell()
        refund: Any = shop.world.stripe.controls.refund(first.payment, 100)

        async def due(amount: int) -> None:
            async def is_due() -> bool:
                return bool(rows_of(shop.world, "SELECT amount FROM payouts ORDER BY id")[0]["amount"] == amount)

            await shop.world.until(f"{amount} is due", is_due)

        await due(round(DUE * 2 / 3))
        await shop.sell()
        await shop.deposited(round(DUE * 2 / 3) + DUE)
        assert shop.states() == ["pending_distribution"] * 2
        shop.world.stripe.controls.fail_refund(refund["id"])
        await due(DUE)
        await shop.world.clock.sleep(5)
        assert shop.states() == ["pending_conversion", "pending_distribution"]
        await shop.deposited(DUE)
        assert shop.states() == ["pending_distribution"] * 2
        await shop.close()

    run_virtually(story())


def test_a_loser_whom_somebody_else_has_refunded_needs_nobody_and_waits_for_one_if_that_fails(tmp_path: Path) -> None:
    """`tests.proof weeks`, seed 1010: Stripe refuses a second refund, and a person was asked for ever to retry it."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        token, loser = await shop.race_unheard()
        refund: Any = shop.world.stripe.controls.refund(loser)
        await shop.world.start()

        async def shelf(status: str) -> None:
            async def is_so() -> bool:
                found = await shop.library(token)
                return bool(found and found[0]["status"] == status)

            await shop.world.until(f"his purchase is {status}", is_so)

        def parked() -> list[str]:
            return [row["kind"] for row in rows_of(shop.world, "SELECT kind FROM jobs WHERE state = 'parked'")]

        await shelf("refunded")
        await shop.world.clock.sleep(60)
        assert parked() == []
        shop.world.stripe.controls.fail_refund(refund["id"])

        async def is_seen() -> bool:
            return parked() == ["refund"]

        await shop.world.until("a person is asked", is_seen)
        await shop.close()

    run_virtually(story())


@pytest.mark.parametrize("outcome", ["lost", "won"])
def test_a_loser_whose_bank_asks_for_his_money_gets_it_once_whatever_it_decides(outcome: str, tmp_path: Path) -> None:
    """`tests.proof weeks`, seed 1030: Stripe refunds no charge that is disputed, and a person was asked for ever."""

    async def story() -> None:
        shop = Gallery(VirtualWorld(tmp_path))
        _, sessions = await shop.open_race(2)
        controls = shop.world.stripe.controls
        controls.add_fault(Rule("POST /v1/refunds", Fault.STATUS, times=3, status=500))
        for session_id in sessions:
            controls.pay(session_id)

        def states(sql: str) -> list[str]:
            return [row["s"] for row in rows_of(shop.world, sql)]

        async def has_lost() -> bool:
            return bool(states("SELECT state s FROM refunds"))

        await shop.world.until("one of them has lost the race", has_lost)
        (loser,) = states("SELECT stripe_payment_intent_id s FROM purchases WHERE status_reason = 'sold_out'")
        dispute: Any = controls.open_dispute(loser)
        await shop.world.clock.sleep(3_600)
        assert states("SELECT state s FROM refunds") == ["failed"], "his bank decides"
        controls.close_dispute(dispute["id"], outcome)
        await shop.world.clock.sleep(3_600)
        assert states("SELECT state s FROM jobs WHERE kind = 'refund'") == []
        assert states("SELECT state s FROM refunds")[1:] == ([] if outcome == "lost" else ["succeeded"])
        given: Any = controls.ledger()
        assert sorted(one["refunded_cents"] for one in given["payments"]) == ([0, 0] if outcome == "lost" else [0, 300])
        await shop.close()

    run_virtually(story())
