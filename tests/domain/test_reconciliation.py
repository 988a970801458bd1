"""One sale against four books: what is green, what is explained, what is red."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from domain.reconciliation import (
    AtCircle,
    AtStripe,
    Back,
    Colour,
    Due,
    Payment,
    SaleFacts,
    is_due,
    judge,
)
from domain.states import PurchaseStatus, UsdcStatus

CHARGE = AtStripe("txn_1", "ch_1", 300, 39)
PAID = Due(7, UsdcStatus.DISTRIBUTED, 2_350_000, 0, 2_350_000, None)
COMPLETE = AtCircle("COMPLETE", 2_350_000, "ada", "sig")
BY_CIRCLE = Payment("purchase-pi_1-distribution", "sig", 2_350_000, "ada", 2_350_000, True, COMPLETE)
DONE = SaleFacts(
    status=PurchaseStatus.COMPLETED,
    status_reason=None,
    hold_reason=None,
    gross=300,
    fee=39,
    balance_transaction_id="txn_1",
    at_stripe=[CHARGE],
    refunds=[],
    disputes=[],
    booked=261,
    payments=[BY_CIRCLE],
    dues=[PAID],
    is_fresh=False,
)
REFUND = AtStripe("txn_2", "re_1", -100, 0)


def verdict(**changes: Any) -> tuple[Colour, str]:
    found = judge(replace(DONE, **changes))
    assert (found.why == "") == (found.colour is Colour.GREEN)
    return found.colour, found.code


def test_a_sale_of_which_all_four_books_say_the_same_is_green() -> None:
    assert verdict() == (Colour.GREEN, "")


def test_a_packed_payout_needs_no_transaction_of_circle() -> None:
    assert verdict(payments=[replace(BY_CIRCLE, by_circle=False, circle=None)]) == (Colour.GREEN, "")


def test_a_refund_and_a_dispute_that_all_books_know_are_green_again_once_the_dues_have_followed() -> None:
    fee = AtStripe("txn_3", "dp_1", -100, 1_500)
    assert verdict(
        at_stripe=[CHARGE, REFUND, fee],
        refunds=[Back("re_1", 100)],
        disputes=[Back("dp_1", 100, 1_500)],
        booked=261 - 100 - 1_600,
        dues=[replace(PAID, amount=0, paid=0, state=UsdcStatus.CANCELLED)],
        payments=[],
    ) == (Colour.GREEN, "")


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("charge_missing", {"at_stripe": [], "booked": 0}),
        ("charge_differs", {"at_stripe": [replace(CHARGE, fee=38)], "booked": 262}),
        ("charge_differs", {"gross": 301}),
        ("return_differs", {"at_stripe": [CHARGE, REFUND], "booked": 161, "refunds": [Back("re_1", 99)]}),
        ("return_differs", {"at_stripe": [CHARGE], "refunds": [Back("re_1", 100)], "booked": 161}),
        ("return_differs", {"disputes": [Back("dp_1", 300, 1_500)]}),
        ("ledger_differs", {"booked": 260}),
        ("chain_differs", {"payments": [replace(BY_CIRCLE, moved=None)]}),
        ("chain_differs", {"payments": [replace(BY_CIRCLE, moved=2_349_999)]}),
        ("circle_missing", {"payments": [replace(BY_CIRCLE, circle=None)]}),
        ("circle_differs", {"payments": [replace(BY_CIRCLE, circle=replace(COMPLETE, destination="eve"))]}),
        ("circle_differs", {"payments": [replace(BY_CIRCLE, circle=replace(COMPLETE, signature="other"))]}),
        ("circle_denies", {"payments": [replace(BY_CIRCLE, circle=replace(COMPLETE, state="DENIED"))]}),
    ],
)
def test_what_differs_is_red_and_explained_only_while_it_is_fresh(code: str, changes: dict[str, Any]) -> None:
    assert verdict(**changes) == (Colour.RED, code)
    assert verdict(**changes, is_fresh=True) == (Colour.EXPLAINED, "changed_meanwhile")


@pytest.mark.parametrize(
    ("code", "changes"),
    [
        ("fee_unknown", {"fee": None, "at_stripe": [], "booked": 0, "payments": [], "dues": []}),
        ("not_minted", {"status": PurchaseStatus.PAYMENT_COMPLETED, "payments": [], "dues": []}),
        ("minting", {"status": PurchaseStatus.MINTING, "payments": [], "dues": []}),
        ("mint_failed", {"status": PurchaseStatus.FAILED, "status_reason": "expired", "payments": [], "dues": []}),
        ("held", {"hold_reason": "dispute dp_1"}),
        ("held", {"dues": [replace(PAID, state=UsdcStatus.ON_HOLD, paid=0)], "payments": []}),
        ("payout_failed", {"dues": [replace(PAID, state=UsdcStatus.FAILED, paid=0)], "payments": []}),
        (
            "waits_for_conversion",
            {"dues": [replace(PAID, state=UsdcStatus.PENDING_CONVERSION, paid=0)], "payments": []},
        ),
        ("waits_for_payout", {"dues": [PAID, replace(PAID, state=UsdcStatus.PENDING_DISTRIBUTION, paid=0)]}),
        ("paid_beyond_due", {"dues": [replace(PAID, amount=1_000_000)]}),
        ("paid_below_due", {"dues": [replace(PAID, paid=2_000_000)]}),
        ("paid_below_due", {"dues": [replace(PAID, paid=2_000_000, settled=349_999)]}),
        ("circle_lags", {"payments": [replace(BY_CIRCLE, circle=replace(COMPLETE, state="CONFIRMED"))]}),
        ("refund_pending", {"at_stripe": [CHARGE, REFUND], "refunds": [Back("re_1", 0, is_pending=True)]}),
    ],
)
def test_what_is_open_is_explained(code: str, changes: dict[str, Any]) -> None:
    assert verdict(**changes) == (Colour.EXPLAINED, code)


def test_it_is_due_once_each_day_after_three_and_never_before_the_first_night() -> None:
    installed = datetime(2026, 11, 16, 12, tzinfo=UTC)
    night = datetime(2026, 11, 17, 3, tzinfo=UTC)
    assert not is_due(night - timedelta(seconds=1), None, installed)
    assert is_due(night, None, installed)
    assert is_due(night + timedelta(hours=20), None, installed)
    assert not is_due(night + timedelta(hours=20), night, installed)
    assert is_due(night + timedelta(days=1), night, installed)
    assert is_due(night, night + timedelta(days=8), installed), "by a clock that was set back since"
    assert is_due(night + timedelta(days=9, hours=1), night, installed)
