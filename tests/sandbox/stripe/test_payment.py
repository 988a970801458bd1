"""From an open session to a balance transaction, on a manual clock."""

from datetime import UTC, datetime

import orjson
import pytest

from sandbox.stripe_service import ApiError
from sandbox.stripe_service.fees import available_on, card_fee_cents
from tests.sandbox.stripe.machine import Machine


def test_a_card_payment_gives_its_events_in_order_and_its_fee_later() -> None:
    machine = Machine()
    session = machine.open_session()
    assert (session["status"], session["payment_status"], session["payment_intent"]) == ("open", "unpaid", None)

    paid = machine.controls.pay(session["id"])
    intent = machine.ok("GET", f"/v1/payment_intents/{paid['payment_intent']}")
    charge = machine.ok("GET", f"/v1/charges/{intent['latest_charge']}")
    assert (paid["status"], paid["payment_status"], paid["url"]) == ("complete", "paid", None)
    assert (intent["status"], intent["amount_received"]) == ("succeeded", 300)
    assert charge["balance_transaction"] is None
    at_once = ["payment_intent.created", "charge.succeeded", "payment_intent.succeeded", "checkout.session.completed"]
    assert machine.event_types() == at_once

    machine.run(299)
    assert machine.event_types() == at_once
    machine.run(1)
    assert machine.event_types() == [*at_once, "charge.updated"]
    charge = machine.ok("GET", f"/v1/charges/{charge['id']}", "expand[]=balance_transaction")
    booked = charge["balance_transaction"]
    assert (booked["amount"], booked["fee"], booked["net"], booked["status"]) == (300, 39, 261, "pending")
    assert booked["fee_details"][0]["amount"] == 39
    assert datetime.fromtimestamp(booked["available_on"], UTC) == datetime(2026, 11, 25, tzinfo=UTC)


@pytest.mark.parametrize(
    ("gross", "fee"), [(50, 31), (100, 33), (300, 39), (500, 45), (999, 59), (1500, 74), (10_000, 320)]
)
def test_the_fee_is_rounded_half_up_to_the_cent(gross: int, fee: int) -> None:
    assert card_fee_cents(gross) == fee


def test_a_weekend_does_not_count_as_settlement_time() -> None:
    friday = int(datetime(2026, 11, 27, 23, 59, tzinfo=UTC).timestamp())
    assert datetime.fromtimestamp(available_on(friday, 2), UTC) == datetime(2026, 12, 1, tzinfo=UTC)


def test_pending_money_becomes_available_at_midnight() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    machine.run(1000)
    balance = machine.ok("GET", "/v1/balance")
    assert (balance["pending"][0]["amount"], balance["available"][0]["amount"]) == (261, 0)
    machine.run(2 * 86_400_000)
    balance = machine.ok("GET", "/v1/balance")
    assert (balance["pending"][0]["amount"], balance["available"][0]["amount"]) == (0, 261)
    assert machine.event_types()[-1] == "balance.available"


def test_a_declined_card_leaves_the_session_open_and_the_same_intent_is_paid_later() -> None:
    machine = Machine()
    session = machine.open_session()
    declined = machine.controls.decline(session["id"])
    intent = machine.ok("GET", f"/v1/payment_intents/{declined['payment_intent']}")
    assert (declined["status"], intent["status"]) == ("open", "requires_payment_method")
    assert intent["last_payment_error"]["decline_code"] == "generic_decline"
    assert machine.event_types() == ["payment_intent.created", "charge.failed", "payment_intent.payment_failed"]

    paid = machine.controls.pay(session["id"])
    assert paid["payment_intent"] == intent["id"]
    charges = machine.ok("GET", "/v1/charges", {"payment_intent": intent["id"]})["data"]
    assert [charge["status"] for charge in charges] == ["succeeded", "failed"]


def test_a_session_expires_by_time_and_cannot_be_paid_then() -> None:
    machine = Machine()
    session = machine.open_session()
    machine.run(86_400_000)
    assert machine.ok("GET", f"/v1/checkout/sessions/{session['id']}")["status"] == "expired"
    assert machine.event_types() == ["checkout.session.expired"]
    with pytest.raises(ApiError, match="expired"):
        machine.controls.pay(session["id"])


def test_a_session_expires_through_the_api_once() -> None:
    machine = Machine()
    session = machine.open_session()
    machine.controls.decline(session["id"])
    expired = machine.ok("POST", f"/v1/checkout/sessions/{session['id']}/expire")
    assert (expired["status"], expired["url"]) == ("expired", None)
    assert machine.event_types()[-2:] == ["payment_intent.canceled", "checkout.session.expired"]
    status, error = machine.refused("POST", f"/v1/checkout/sessions/{session['id']}/expire")
    assert (status, error["type"]) == (400, "invalid_request_error")


@pytest.mark.parametrize(
    ("debit", "last"), [("succeeds", "async_payment_succeeded"), ("fails", "async_payment_failed")]
)
def test_a_bank_debit_completes_unpaid_and_is_decided_later(debit: str, last: str) -> None:
    machine = Machine()
    session = machine.open_session()
    begun = machine.controls.pay(session["id"], "us_bank_account", debit=debit)
    assert (begun["status"], begun["payment_status"]) == ("complete", "unpaid")
    assert machine.event_types()[-1] == "checkout.session.completed"
    machine.run(600)
    assert machine.event_types()[-1] == f"checkout.session.{last}"
    ended = machine.ok("GET", f"/v1/checkout/sessions/{session['id']}")
    assert ended["payment_status"] == ("paid" if debit == "succeeds" else "unpaid")


def test_a_manual_debit_waits_until_it_is_settled() -> None:
    machine = Machine()
    session = machine.open_session()
    machine.controls.pay(session["id"], "us_bank_account", debit="manual")
    machine.run(3_600_000)
    assert machine.event_types()[-1] == "checkout.session.completed"
    machine.controls.settle(session["id"], succeeded=True)
    machine.run(1000)
    charge = machine.ok("GET", "/v1/charges", "expand[]=data.balance_transaction")["data"][0]
    assert (charge["balance_transaction"]["type"], charge["balance_transaction"]["fee"]) == ("payment", 2)


def test_metadata_goes_from_the_intent_data_to_the_charge_and_not_from_the_session() -> None:
    machine = Machine()
    more = {"metadata[order]": "7", "payment_intent_data[metadata][purchase]": "9", "client_reference_id": "ref-1"}
    session = machine.open_session(**more)
    paid = machine.controls.pay(session["id"])
    path = f"/v1/payment_intents/{paid['payment_intent']}"
    intent = machine.ok("GET", path, "expand[0]=latest_charge")
    assert (paid["metadata"], paid["client_reference_id"]) == ({"order": "7"}, "ref-1")
    assert intent["metadata"] == intent["latest_charge"]["metadata"] == {"purchase": "9"}
    found = machine.ok("GET", "/v1/checkout/sessions", {"payment_intent": intent["id"]})["data"]
    assert [row["id"] for row in found] == [session["id"]]


def test_an_edit_of_a_charge_fires_charge_updated_before_the_fee_is_known() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    charge = machine.ok("GET", "/v1/charges")["data"][0]
    machine.ok("POST", f"/v1/charges/{charge['id']}", {"metadata[note]": "seen"})
    event = machine.ok("GET", "/v1/events", {"type": "charge.updated"})["data"][0]
    assert event["data"]["object"]["balance_transaction"] is None
    assert event["data"]["previous_attributes"] == {"metadata": {}}


def test_a_release_by_hand_brings_the_fee_once() -> None:
    machine = Machine()
    machine.controls.pay(machine.open_session()["id"])
    charge = machine.ok("GET", "/v1/charges")["data"][0]
    machine.controls.release(charge["id"])
    machine.run(10_000)
    assert machine.event_types().count("charge.updated") == 1
    assert len(machine.ok("GET", "/v1/balance_transactions", {"source": charge["id"]})["data"]) == 1


def test_the_same_seed_gives_the_same_world() -> None:
    def play(seed: int) -> bytes:
        machine = Machine(seed)
        machine.controls.pay(machine.open_session()["id"])
        machine.run(1000)
        return orjson.dumps(machine.controls.ledger())

    assert play(5) == play(5)
    assert play(5) != play(6)


def test_the_ledger_lists_what_was_paid_with_fee_and_refund() -> None:
    machine = Machine()
    for _ in range(2):
        machine.controls.pay(machine.open_session()["id"])
    machine.controls.decline(machine.open_session()["id"])
    machine.run(1000)
    ledger = machine.control("GET", "/ledger")
    machine.controls.refund(ledger["payments"][0]["charge"], 100)
    ledger = machine.control("GET", "/ledger")
    assert [(row["fee_cents"], row["net_cents"], row["refunded_cents"]) for row in ledger["payments"]] == [
        (39, 261, 100),
        (39, 261, 0),
    ]
    totals = {"paid": 2, "gross_cents": 600, "fee_cents": 78, "refunded_cents": 100, "balance_cents": 422}
    assert ledger["totals"] == totals
