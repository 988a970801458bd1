"""Money that goes back: refunds, refunds that fail afterwards, disputes. Stripe's fee is never returned."""

from collections.abc import Callable

from sandbox.stripe_service import shapes
from sandbox.stripe_service.balance import Balance
from sandbox.stripe_service.books import Books, Json
from sandbox.stripe_service.errors import ApiError, missing
from sandbox.stripe_service.events import EventLog
from sandbox.stripe_service.fees import DISPUTE_FEE_CENTS

OPEN_DISPUTES = ("needs_response", "under_review")
OPEN_INQUIRIES = ("warning_needs_response", "warning_under_review")


class Reversals:
    def __init__(self, books: Books, events: EventLog, balance: Balance) -> None:
        self._books = books
        self._events = events
        self._balance = balance
        self.lacks_funds = False
        """Our balance at Stripe does not cover refunds: a new one stays `pending` until it is settled, or fails."""
        self.on_left_pending: list[Callable[[], None]] = []
        """Called for each of those."""

    def refund(self, params: Json) -> Json:
        """`params`: `payment_intent` or `charge`, and perhaps `amount` (cents; all that is left if absent), `reason`,
        `metadata`. Raises `ApiError` beyond what is left, and while a dispute has taken the money."""
        charge = self._succeeded_charge(params)
        left = charge["amount"] - charge["amount_refunded"]
        amount = params.get("amount", left)
        if left == 0:
            message = f"Charge {charge['id']} has already been refunded."
            raise ApiError(400, message, code="charge_already_refunded")
        if amount > left:
            message = f"Refund amount ({_dollars(amount)}) is greater than unrefunded amount on charge"
            raise ApiError(400, f"{message} ({_dollars(left)})", param="amount")
        if amount <= 0:
            raise ApiError(400, "This value must be greater than or equal to 1.", param="amount")
        self._refuse_disputed(charge["id"])
        refund = self._books.refunds.add(shapes.refund(self._books, charge, params, amount))
        if self.lacks_funds:
            refund.update(status="pending", pending_reason="insufficient_funds")
            for hear in self.on_left_pending:
                hear()
        else:
            self._pay_back(refund)
        self._set_refunded(charge, charge["amount_refunded"] + amount)
        self._events.emit("refund.created", refund)
        self._events.emit("charge.refunded", charge, {"amount_refunded": charge["amount_refunded"] - amount})
        self._books.later(self._books.timing.refund_update_ms, lambda: self._give_reference(refund))
        return refund

    def _pay_back(self, refund: Json) -> None:
        kind = "refund" if refund["charge"].startswith("ch_") else "payment_refund"
        refund["balance_transaction"] = self._balance.record(kind, "refund", -refund["amount"], refund["id"])["id"]

    def settle_refund(self, refund_id: str) -> Json:
        """Our balance covers a pending refund now."""
        refund = self._books.refunds.get(refund_id)
        if refund is None:
            raise missing("refund", refund_id)
        if refund["status"] != "pending":
            raise ApiError(400, f"Refund {refund_id} is {refund['status']}.")
        self._pay_back(refund)
        refund.update(status="succeeded", pending_reason=None)
        self._events.emit("refund.updated", refund, {"status": "pending"})
        return refund

    def _refuse_disputed(self, charge_id: str) -> None:
        """Stripe lists two codes for it and does not say which is told when: here it is one before the outcome, and the
        other behind it."""
        disputes = self.disputes_of(charge_id)
        statuses = {dispute["status"] for dispute in disputes}
        if statuses & {*OPEN_DISPUTES}:
            raise ApiError(400, "You cannot refund a disputed payment.", code="refund_disputed_payment")
        if "lost" in statuses or any(one["status"] == "prevented" and one["balance_transactions"] for one in disputes):
            message = f"Charge {charge_id} has been charged back; cannot issue a refund."
            raise ApiError(400, message, code="charge_disputed")

    def fail_refund(self, refund_id: str, reason: str = "lost_or_stolen_card") -> Json:
        """The buyer's bank sends the money back, or a pending refund ends without any: it is undone."""
        refund = self._books.refunds.get(refund_id)
        if refund is None:
            raise missing("refund", refund_id)
        status = refund["status"]
        if status not in ("succeeded", "pending"):
            raise ApiError(400, f"Refund {refund_id} is {status}.")
        charge = self._books.charges.get(refund["charge"])
        assert charge is not None
        if status == "succeeded":
            back = self._balance.record("refund_failure", "refund_failure", refund["amount"], refund_id)
            refund["failure_balance_transaction"] = back["id"]
        refund.update(status="failed", failure_reason=reason, pending_reason=None)
        before = charge["amount_refunded"]
        self._set_refunded(charge, before - refund["amount"])
        self._events.emit("refund.updated", refund, {"status": status})
        self._events.emit("refund.failed", refund, {"status": status})
        self._events.emit("charge.updated", charge, {"amount_refunded": before})
        return refund

    def cancel_refund(self, refund_id: str) -> Json:
        """A pending refund is taken back before any money has moved."""
        refund = self._books.refunds.get(refund_id)
        if refund is None:
            raise missing("refund", refund_id)
        if refund["status"] != "pending":
            raise ApiError(400, f"Refund {refund_id} is {refund['status']}.")
        charge = self._books.charges.get(refund["charge"])
        assert charge is not None
        refund.update(status="canceled", pending_reason=None)
        self._set_refunded(charge, charge["amount_refunded"] - refund["amount"])
        self._events.emit("refund.updated", refund, {"status": "pending"})
        return refund

    def open_dispute(
        self, charge_or_intent: str, amount: int | None = None, *, inquiry: bool = False, reason: str = "fraudulent"
    ) -> Json:
        """The buyer complains at his bank. An inquiry (`warning_*`) moves no money."""
        charge, disputed = self._contested(charge_or_intent, amount)
        status = "warning_needs_response" if inquiry else "needs_response"
        dispute = self._books.disputes.add(shapes.dispute(self._books, charge, disputed, reason, status))
        charge["disputed"] = True
        if not inquiry:
            self._withdraw(dispute)
        self._events.emit("charge.dispute.created", dispute)
        if not inquiry:
            self._events.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def prevent_dispute(
        self, charge_or_intent: str, amount: int | None = None, *, resolved: bool = True, reason: str = "general"
    ) -> Json:
        """Stripe's dispute prevention ends a complaint before it is a dispute: `resolved`, the buyer has his money back
        at once and no fee is due; else it is blocked, and nothing moves."""
        charge, disputed = self._contested(charge_or_intent, amount)
        dispute = self._books.disputes.add(shapes.dispute(self._books, charge, disputed, reason, "prevented"))
        dispute["payment_method_details"]["card"]["case_type"] = "resolution" if resolved else "block"
        charge["disputed"] = True
        self._events.emit("charge.dispute.created", dispute)
        if resolved:
            self._withdraw(dispute, fee=0)
            self._events.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def escalate_dispute(self, dispute_id: str) -> Json:
        """An inquiry becomes a dispute: now the money goes."""
        dispute = self._dispute(dispute_id, OPEN_INQUIRIES)
        before = dispute["status"]
        dispute.update(status="needs_response", is_charge_refundable=False)
        self._withdraw(dispute)
        self._events.emit("charge.dispute.updated", dispute, {"status": before})
        self._events.emit("charge.dispute.funds_withdrawn", dispute)
        return dispute

    def answer_dispute(self, dispute_id: str) -> Json:
        """Evidence is handed in: the case is under review."""
        dispute = self._dispute(dispute_id, ("needs_response", "warning_needs_response"))
        before = dispute["status"]
        dispute["status"] = "warning_under_review" if before.startswith("warning_") else "under_review"
        dispute["evidence_details"].update(has_evidence=True, submission_count=1)
        self._events.emit("charge.dispute.updated", dispute, {"status": before})
        return dispute

    def close_dispute(self, dispute_id: str, outcome: str) -> Json:
        """`outcome`: won or lost for a dispute, warning_closed for an inquiry. Won: the disputed amount comes back."""
        allowed = {"won": OPEN_DISPUTES, "lost": OPEN_DISPUTES, "warning_closed": OPEN_INQUIRIES}
        if outcome not in allowed:
            raise ApiError(400, "outcome must be won, lost or warning_closed", param="outcome")
        dispute = self._dispute(dispute_id, allowed[outcome])
        dispute["status"] = outcome
        if outcome == "won":
            self._reinstate(dispute)
        self._events.emit("charge.dispute.closed", dispute)
        if outcome == "won":
            self._events.emit("charge.dispute.funds_reinstated", dispute)
        return dispute

    def disputes_of(self, charge_id: str) -> list[Json]:
        return self._books.disputes.matching("charge", charge_id)

    def _contested(self, charge_or_intent: str, amount: int | None) -> tuple[Json, int]:
        """The charge, and how much of it (all if None). Raises `ApiError` while it is disputed, or beyond it."""
        key = "payment_intent" if charge_or_intent.startswith("pi_") else "charge"
        charge = self._succeeded_charge({key: charge_or_intent})
        if any(found["status"] in (*OPEN_DISPUTES, *OPEN_INQUIRIES) for found in self.disputes_of(charge["id"])):
            raise ApiError(400, f"Charge {charge['id']} is disputed already.")
        disputed = charge["amount"] if amount is None else amount
        if not 0 < disputed <= charge["amount"]:
            raise ApiError(400, "The disputed amount must lie between 1 and the charge's amount.", param="amount")
        return charge, disputed

    def _withdraw(self, dispute: Json, fee: int = DISPUTE_FEE_CENTS) -> None:
        booked = self._balance.record(
            "adjustment", "dispute", -dispute["amount"], dispute["id"], fee=fee, fee_name="Dispute fee"
        )
        dispute["balance_transactions"].append(booked)

    def _reinstate(self, dispute: Json) -> None:
        booked = self._balance.record("adjustment", "dispute_reversal", dispute["amount"], dispute["id"])
        dispute["balance_transactions"].append(booked)

    def _dispute(self, dispute_id: str, statuses: tuple[str, ...]) -> Json:
        dispute = self._books.disputes.get(dispute_id)
        if dispute is None:
            raise missing("dispute", dispute_id)
        if dispute["status"] not in statuses:
            raise ApiError(400, f"Dispute {dispute_id} has status {dispute['status']}.")
        return dispute

    def _succeeded_charge(self, params: Json) -> Json:
        charge_id = params.get("charge")
        if charge_id is None:
            intent = self._books.payment_intents.get(params["payment_intent"])
            if intent is None:
                raise missing("payment_intent", params["payment_intent"], "payment_intent", 404)
            charge_id = intent["latest_charge"]
        charge = self._books.charges.get(charge_id) if charge_id else None
        if charge is None and "charge" in params:
            raise missing("charge", params["charge"], "charge", 404)
        if charge is None or charge["status"] != "succeeded":
            raise ApiError(400, "This payment has no successful charge to refund or dispute.")
        return charge

    def _set_refunded(self, charge: Json, amount: int) -> None:
        charge["amount_refunded"] = amount
        charge["refunded"] = amount == charge["amount"]

    def _give_reference(self, refund: Json) -> None:
        if refund["status"] != "succeeded":
            return
        inner = refund["destination_details"][refund["destination_details"]["type"]]
        refund["destination_details"] = {
            **refund["destination_details"],
            refund["destination_details"]["type"]: {
                **inner,
                "reference": refund["id"][-16:],
                "reference_status": "available",
            },
        }
        self._events.emit("refund.updated", refund, {"destination_details": None})


def _dollars(cents: int) -> str:
    return f"${cents // 100}.{cents % 100:02d}"
