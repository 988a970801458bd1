"""Our objects against the official SDK's declarations: every key that is never absent is there, none is invented."""

from typing import Any

import pytest
import stripe

from tests.sandbox.stripe.machine import Json, Machine


@pytest.fixture(scope="module")
def full() -> Machine:
    """A world with at least one of every object."""
    machine = Machine()
    machine.controls.add_webhook("http://shop.invalid/hook")
    machine.controls.pay(machine.open_session()["id"])
    machine.run(3 * 86_400_000)
    machine.ok("POST", "/v1/payouts", {"amount": "100", "currency": "usd"})
    charge = machine.ok("GET", "/v1/charges")["data"][0]
    machine.controls.refund(charge["id"], 50)
    machine.controls.open_dispute(charge["id"])
    machine.run(1000)
    return machine


@pytest.mark.parametrize(
    ("declared", "path"),
    [
        (stripe.checkout.Session, "checkout/sessions"),
        (stripe.PaymentIntent, "payment_intents"),
        (stripe.Charge, "charges"),
        (stripe.BalanceTransaction, "balance_transactions"),
        (stripe.Refund, "refunds"),
        (stripe.Dispute, "disputes"),
        (stripe.Payout, "payouts"),
        (stripe.WebhookEndpoint, "webhook_endpoints"),
        (stripe.Event, "events"),
        (stripe.Balance, "balance"),
        (stripe.Account, "account"),
    ],
)
def test_an_object_has_the_keys_that_the_sdk_declares(full: Machine, declared: Any, path: str) -> None:
    answer = full.ok("GET", f"/v1/{path}")
    for row in answer["data"] if answer["object"] == "list" else [answer]:
        _check(row, declared)


def _check(row: Json, declared: Any) -> None:
    """Keys that may be absent are `Optional[...]` in the SDK, nullable ones are unions with None."""
    notes = {name: str(note) for name, note in declared.__annotations__.items() if name != "OBJECT_NAME"}
    always = {name for name, note in notes.items() if "Optional" not in note}
    assert always - set(row) == set()
    assert set(row) - set(notes) == set()
    assert row["object"] == declared.OBJECT_NAME
