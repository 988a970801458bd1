"""`atomic_settlement`: a sale is minted and paid by one transaction, both or neither; else the mint goes alone."""

from dataclasses import replace
from pathlib import Path

import pytest

from sandbox.faults import Fault, Rule
from tests.week.atomic_market import PARTS, atomic_market
from tests.week.checker import outflows, rows_of
from tests.week.people import on_virtual_time
from tests.week.test_mints import stop_sends
from tests.week.test_reconciliation import reconciled
from tests.week.test_transfer_ends import freeze


@on_virtual_time
async def test_one_transaction_mints_and_pays_all_recipients_and_everybody_tells_so(tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.sold_at_once()
    shop.is_paid_once()
    shown = (await shop.world.operator("GET", f"/admin/api/purchases/{purchase_id}")).body
    (signature,) = outflows(shop.world)
    assert shown["purchase"]["mint_signature"] == signature
    assert shown["purchase"]["usdc_payment_status"] == "distributed"
    assert {one["usdc_transfer_signature"] for one in shown["purchase"]["payouts"]} == {signature}
    assert [one["signature"] for one in (*shown["mints"], *shown["packed"])] == [signature] * 2
    ada = await shop.dashboard("ada")
    assert (ada["paid_out"], ada["pending_distribution"]) == ("1.645", "0.00")
    report, red = await reconciled(shop)
    assert (red, report["green"]) == ([], 1)
    await shop.close()


@on_virtual_time
async def test_the_mint_goes_alone_where_a_rule_of_a_plan_does_not_hold_and_real_time_pays_after_it(
    tmp_path: Path,
) -> None:
    """One after the other: an account is missing, the fee is not final, an account is frozen, money is short."""
    shop = atomic_market(tmp_path)
    await shop.open_shared(money=20_000_000, accounts=False)
    await shop.sold_at_once("first")
    await shop.sold_to_the_ready()
    await shop.world.clock.sleep(60)
    assert shop.states() == ["distributed"] * 4, "real time pays what the mint did not"
    shop.is_paid_apart()
    freeze(shop, shop.creators["bob"].address or "", frozen=True)
    await shop.sold_at_once("second")
    freeze(shop, shop.creators["bob"].address or "", frozen=False)
    await shop.world.clock.sleep(120)
    shop.is_paid_apart()
    shop.content = await shop.publish(shop.creators["ada"].token, 5_000)
    await shop.sold_at_once("third")
    missing, fee, frozen, funds = shop.why_alone()
    assert ("missing" in missing, "frozen" in frozen) == (True, True)
    assert (fee, funds) == ("not payable now (fee)", "not payable now (funds)")
    assert shop.attempts() == ["finalized"] * 4
    shop.is_paid_apart()
    await shop.close()


@on_virtual_time
async def test_a_sale_whose_creators_are_due_nothing_is_minted_alone(tmp_path: Path) -> None:
    """Found by the simulator: a transaction that pays nobody could not be built, and the buyer got no NFT."""
    shop = atomic_market(tmp_path, AGENT_ROUNDING_STEP="1000000")
    await shop.open_shared()
    shop.content = await shop.publish(shop.creators["ada"].token, 50)
    await shop.sold_at_once()
    assert shop.why_alone() == ["not payable now (nothing)"]
    assert shop.attempts() == ["finalized"]
    assert not outflows(shop.world)
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_more_recipients_than_fit_are_paid_in_two_steps(tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared(money=20_000_000)
    names = [f"c{number}" for number in range(12)]
    for name in names:
        await shop.join(name)
    shares = [{"user_id": shop.creators[name].id, "share_bps": 800} for name in names]
    shares[0]["share_bps"] += 400
    shop.content = await shop.publish(shop.creators["c0"].token, 1200, collaborators=shares)
    shop.open_accounts()
    await shop.sold_at_once()
    assert shop.why_alone() == ["12 recipients do not fit its transaction"]
    await shop.all_distributed()
    shop.is_paid_apart()
    await shop.close()


LOST = [
    Rule("sign/transaction", Fault.LOSE_ANSWER, times=2),
    Rule("sign/transaction", Fault.STATUS, times=2, status=500),
    Rule("sendTransaction", Fault.LOSE_ANSWER, times=4),
    Rule("simulateTransaction", Fault.STATUS, times=4, status=503),
    Rule("getTransaction", Fault.LOSE_ANSWER, times=4),
    Rule("getSignatureStatuses", Fault.CUT_BODY, times=4),
]


@pytest.mark.soak
@pytest.mark.parametrize("fault", LOST, ids=lambda rule: f"{rule.match}-{rule.fault}")
@on_virtual_time
async def test_lost_and_broken_answers_mint_and_pay_once(fault: Rule, tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    service = shop.world.circle if "sign" in fault.match else shop.world.node
    service.faults.add(replace(fault))
    shop.give_wallet()
    await shop.is_minted(purchase_id)
    await shop.all_distributed()
    if shop.why_alone():
        shop.is_paid_apart()
    else:
        shop.is_paid_once()
    assert shop.attempts() == ["finalized"]
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_lost_sends_expire_and_are_signed_again_only_after_the_proof(tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    stop_sends(shop.world, True)
    shop.give_wallet()

    async def dead() -> bool:
        return "dead" in shop.attempts()

    await shop.world.until("the first attempt is proven dead", dead)
    stop_sends(shop.world, False)
    await shop.is_minted(purchase_id)
    assert shop.attempts() == ["dead", "finalized"]
    shop.is_paid_once()
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_a_transaction_that_lands_at_the_end_of_its_life_pays_once(tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    shop.world.node.switches.land_after_slots = 140
    shop.give_wallet()
    await shop.is_minted(purchase_id)
    assert shop.attempts() == ["finalized"]
    shop.is_paid_once()
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_one_that_lands_with_an_error_is_followed_by_a_mint_alone(tmp_path: Path) -> None:
    """Bob's account is frozen between the trial run and the block."""
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    shop.world.node.switches.land_after_slots = 20
    shop.give_wallet()

    async def sent() -> bool:
        return shop.attempts() == ["sent"]

    await shop.world.until("it is sent", sent)
    freeze(shop, shop.creators["bob"].address or "", frozen=True)

    async def dead() -> bool:
        return "dead" in shop.attempts()

    await shop.world.until("it is proven dead", dead)
    freeze(shop, shop.creators["bob"].address or "", frozen=False)
    await shop.is_minted(purchase_id)
    assert shop.attempts() == ["dead", "finalized"]
    assert shop.why_alone() == ["a try that paid too has failed"]
    await shop.all_distributed()
    shop.is_paid_apart()
    await shop.close()


@pytest.mark.soak
@on_virtual_time
async def test_a_refund_while_it_is_in_flight_becomes_the_recipients_debt(tmp_path: Path) -> None:
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    purchase_id = await shop.pay_without_wallet("late")
    payment = rows_of(shop.world, "SELECT stripe_payment_intent_id pi FROM purchases")[0]["pi"]
    shop.world.node.switches.land_after_slots = 100
    shop.give_wallet()

    async def sent() -> bool:
        return shop.attempts() == ["sent"]

    await shop.world.until("it is sent", sent)
    shop.world.stripe.controls.refund(payment, None)
    await shop.is_minted(purchase_id)
    await shop.world.clock.sleep(20)
    shop.is_paid_once()
    assert (await shop.dashboard("ada"))["debt"] == "1.645"
    assert rows_of(shop.world, "SELECT status FROM purchases")[0]["status"] == "refunded"
    # What he owes is netted first: the next sale goes in two steps.
    shop.world.node.switches.land_after_slots = 0
    await shop.sold_at_once("next")
    assert shop.why_alone() == ["not payable now (debt)"]
    await shop.close()


@on_virtual_time
async def test_a_debt_that_arises_while_nothing_can_be_signed_is_netted_and_not_paid_by_the_mint(
    tmp_path: Path,
) -> None:
    """What the mint was to pay had been decided before Circle went away, and was paid in full hours later."""
    shop = atomic_market(tmp_path)
    await shop.open_shared()
    await shop.sold_at_once("first")
    payment = rows_of(shop.world, "SELECT stripe_payment_intent_id pi FROM purchases")[0]["pi"]
    second = await shop.pay_without_wallet("second")
    shop.world.circle.faults.add(Rule("sign/transaction", Fault.STATUS, times=1_000, status=500))
    shop.give_wallet()

    async def planned() -> bool:
        return shop.attempts() == ["finalized", "intended"]

    await shop.world.until("the second mint is to pay", planned)
    assert len(rows_of(shop.world, "SELECT id FROM mint_payouts WHERE ended_at IS NULL")) == 2
    shop.world.stripe.controls.refund(payment, None)

    async def owed() -> bool:
        return bool((await shop.dashboard("ada"))["debt"] == "1.645")

    await shop.world.until("ada owes", owed)
    shop.world.circle.faults.clear()
    await shop.is_minted(second, seconds=3_600)
    await shop.world.clock.sleep(60)
    assert shop.paid() == PARTS
    assert shop.states() == ["distributed"] * 2 + ["netted"] * 2
    assert (await shop.dashboard("ada"))["debt"] == "0.00"
    assert shop.why_alone() == ["a recipient owes meanwhile, or may come to"]
    await shop.close()
