"""Refunds, refunds that fail, disputes and payouts."""

import pytest

from sandbox.stripe_service import ApiError
from tests.sandbox.stripe.machine import Json, Machine


def paid_charge(machine: Machine) -> Json:
    machine.controls.pay(machine.open_session()["id"])
    machine.run(1000)
    charge: Json = machine.ok("GET", "/v1/charges")["data"][0]
    return charge


def test_refunds_add_up_to_the_charge_and_keep_the_fee() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    path = f"/v1/charges/{charge['id']}"
    form = {"charge": charge["id"], "amount": "100", "reason": "requested_by_customer", "metadata[why]": "late"}
    first = machine.ok("POST", "/v1/refunds", form)
    assert (first["status"], first["amount"], first["metadata"]) == ("succeeded", 100, {"why": "late"})
    assert machine.event_types()[-2:] == ["refund.created", "charge.refunded"]
    part = machine.ok("GET", path)
    assert (part["amount_refunded"], part["refunded"]) == (100, False)
    assert "refunds" not in part

    machine.ok("POST", "/v1/refunds", {"payment_intent": charge["payment_intent"]})
    whole = machine.ok("GET", path, "expand[]=refunds")
    assert (whole["amount_refunded"], whole["refunded"]) == (300, True)
    assert [row["amount"] for row in whole["refunds"]["data"]] == [200, 100]
    booked = machine.ok("GET", "/v1/balance_transactions", {"type": "refund"})["data"]
    assert [(row["amount"], row["fee"], row["net"]) for row in booked] == [(-200, 0, -200), (-100, 0, -100)]
    assert machine.control("GET", "/ledger")["totals"]["balance_cents"] == -39
    status, error = machine.refused("POST", "/v1/refunds", {"charge": charge["id"]})
    assert (status, error["code"]) == (400, "charge_already_refunded")


def test_a_refund_beyond_the_rest_is_refused() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    status, error = machine.refused("POST", "/v1/refunds", {"charge": charge["id"], "amount": "301"})
    assert (status, error["param"]) == (400, "amount")
    assert "$3.01" in error["message"]


@pytest.mark.parametrize("settled", [True, False])
def test_a_refund_that_our_balance_does_not_cover_moves_no_money_until_it_is_settled(settled: bool) -> None:
    machine = Machine()
    charge = paid_charge(machine)
    assert machine.control("POST", "/refunds/pending", {"lacks": True}) == {"lacks_funds": True}
    refund = machine.ok("POST", "/v1/refunds", {"charge": charge["id"]})
    assert (refund["status"], refund["pending_reason"]) == ("pending", "insufficient_funds")
    assert refund["balance_transaction"] is None
    assert machine.control("GET", "/ledger")["totals"]["balance_cents"] == 261
    machine.control("POST", f"/refunds/{refund['id']}/{'settle' if settled else 'fail'}", {})
    found = machine.ok("GET", f"/v1/refunds/{refund['id']}")
    assert (found["status"], found["pending_reason"]) == ("succeeded" if settled else "failed", None)
    assert (found["balance_transaction"] is not None, found["failure_balance_transaction"]) == (settled, None)
    assert machine.control("GET", "/ledger")["totals"]["balance_cents"] == (-39 if settled else 261)
    assert machine.ok("GET", f"/v1/charges/{charge['id']}")["amount_refunded"] == (300 if settled else 0)


def test_a_pending_refund_that_is_canceled_moves_no_money() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    machine.control("POST", "/refunds/pending", {"lacks": True})
    refund = machine.ok("POST", "/v1/refunds", {"charge": charge["id"]})
    assert machine.control("POST", f"/refunds/{refund['id']}/cancel", {})["status"] == "canceled"
    assert machine.event_types()[-1] == "refund.updated"
    assert machine.control("GET", "/ledger")["totals"]["balance_cents"] == 261
    assert machine.ok("GET", f"/v1/charges/{charge['id']}")["amount_refunded"] == 0
    with pytest.raises(ApiError, match="canceled"):
        machine.controls.cancel_refund(refund["id"])


def test_a_refund_that_fails_later_gives_the_money_back() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    refund = machine.controls.refund(charge["id"], 120)
    machine.run(1000)
    assert machine.event_types()[-1] == "refund.updated"
    failed = machine.controls.fail_refund(refund["id"])
    assert (failed["status"], failed["failure_reason"]) == ("failed", "lost_or_stolen_card")
    assert machine.event_types()[-3:] == ["refund.updated", "refund.failed", "charge.updated"]
    assert machine.ok("GET", f"/v1/charges/{charge['id']}")["amount_refunded"] == 0
    back = machine.ok("GET", f"/v1/balance_transactions/{failed['failure_balance_transaction']}")
    assert (back["type"], back["amount"]) == ("refund_failure", 120)
    with pytest.raises(ApiError, match="failed"):
        machine.controls.fail_refund(refund["id"])


def test_a_lost_dispute_takes_the_money_and_fifteen_dollars() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    dispute = machine.controls.open_dispute(charge["id"])
    assert dispute["status"] == "needs_response"
    assert machine.event_types()[-2:] == ["charge.dispute.created", "charge.dispute.funds_withdrawn"]
    booked = dispute["balance_transactions"][0]
    assert (booked["type"], booked["amount"], booked["fee"], booked["net"]) == ("adjustment", -300, 1500, -1800)
    status, error = machine.refused("POST", "/v1/refunds", {"charge": charge["id"]})
    assert (status, error["code"]) == (400, "refund_disputed_payment")
    machine.controls.answer_dispute(dispute["id"])
    machine.controls.close_dispute(dispute["id"], "lost")
    status, error = machine.refused("POST", "/v1/refunds", {"charge": charge["id"]})
    assert (status, error["code"]) == (400, "charge_disputed")
    assert machine.event_types()[-2:] == ["charge.dispute.updated", "charge.dispute.closed"]
    found = machine.ok("GET", "/v1/disputes", {"payment_intent": charge["payment_intent"]})["data"]
    assert [row["status"] for row in found] == ["lost"]
    assert machine.control("GET", "/ledger")["totals"]["balance_cents"] == 261 - 1800


def test_a_won_dispute_reinstates_the_disputed_amount() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    dispute = machine.controls.open_dispute(charge["payment_intent"])
    won = machine.controls.close_dispute(dispute["id"], "won")
    assert [row["amount"] for row in won["balance_transactions"]] == [-300, 300]
    assert machine.event_types()[-2:] == ["charge.dispute.closed", "charge.dispute.funds_reinstated"]


@pytest.mark.parametrize(("resolved", "cents", "case_type"), [(True, -39, "resolution"), (False, 261, "block")])
def test_a_prevented_dispute_gives_the_money_back_without_a_fee_or_takes_nothing(
    resolved: bool, cents: int, case_type: str
) -> None:
    machine = Machine()
    charge = paid_charge(machine)
    wish = {"charge_or_intent": charge["id"], "resolved": resolved}
    dispute = machine.control("POST", "/disputes/prevented", wish)
    assert dispute["status"] == "prevented"
    assert dispute["payment_method_details"]["card"]["case_type"] == case_type
    told = [kind for kind in machine.event_types() if kind.startswith("charge.dispute.")]
    assert told == ["charge.dispute.created", "charge.dispute.funds_withdrawn"][: 1 + resolved]
    ledger = machine.control("GET", "/ledger")
    assert ledger["totals"]["balance_cents"] == cents
    assert [one["withdrawn_cents"] for one in ledger["payments"][0]["disputes"]] == [300 if resolved else 0]
    if resolved:
        status, error = machine.refused("POST", "/v1/refunds", {"charge": charge["id"]})
        assert (status, error["code"]) == (400, "charge_disputed")
    else:
        assert machine.ok("POST", "/v1/refunds", {"charge": charge["id"]})["status"] == "succeeded"


def test_an_inquiry_moves_no_money_until_it_is_escalated() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    inquiry = machine.controls.open_dispute(charge["id"], inquiry=True)
    assert (inquiry["status"], inquiry["balance_transactions"]) == ("warning_needs_response", [])
    assert machine.event_types()[-1] == "charge.dispute.created"
    real = machine.controls.escalate_dispute(inquiry["id"])
    assert (real["status"], len(real["balance_transactions"])) == ("needs_response", 1)
    assert machine.event_types()[-2:] == ["charge.dispute.updated", "charge.dispute.funds_withdrawn"]


def test_an_inquiry_can_be_closed_without_a_dispute() -> None:
    machine = Machine()
    inquiry = machine.controls.open_dispute(paid_charge(machine)["id"], inquiry=True)
    closed = machine.control("POST", f"/disputes/{inquiry['id']}/close", {"outcome": "warning_closed"})
    assert closed["status"] == "warning_closed"
    assert machine.event_types()[-1] == "charge.dispute.closed"


def test_a_manual_payout_needs_available_money() -> None:
    machine = Machine()
    paid_charge(machine)
    form = {"amount": "261", "currency": "usd"}
    status, error = machine.refused("POST", "/v1/payouts", form)
    assert (status, error["code"]) == (400, "balance_insufficient")
    machine.run(3 * 86_400_000)
    payout = machine.ok("POST", "/v1/payouts", form)
    machine.run(1000)
    assert machine.ok("GET", f"/v1/payouts/{payout['id']}")["status"] == "paid"
    status, error = machine.refused("GET", "/v1/balance_transactions", {"payout": payout["id"]})
    assert (status, error["param"]) == (400, "payout")
    assert machine.controls.fail_payout(payout["id"])["status"] == "failed"
    assert machine.ok("GET", "/v1/balance")["available"][0]["amount"] == 261


def test_an_automatic_payout_names_the_transactions_inside_it() -> None:
    machine = Machine()
    charge = paid_charge(machine)
    machine.run(3 * 86_400_000)
    payout = machine.control("POST", "/payouts/automatic")
    machine.run(1000)
    assert machine.event_types()[-2:] == ["payout.paid", "payout.reconciliation_completed"]
    inside = machine.ok("GET", "/v1/balance_transactions", {"payout": payout["id"]})["data"]
    nets = [row["net"] for row in inside if row["type"] != "payout"]
    assert sum(nets) == payout["amount"] == 261
    assert charge["id"] in [row["source"] for row in inside]
