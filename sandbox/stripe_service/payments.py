"""A checkout from open session to money: session → payment intent → charge → balance transaction.

The payment intent is made at the first attempt to pay (since API 2022-08-01), and the balance transaction appears some
time after the success (asynchronous capture, since API 2024-04-10): charge.updated tells of it.
"""

from sandbox.stripe_service import shapes
from sandbox.stripe_service.balance import Balance
from sandbox.stripe_service.books import Books, Json
from sandbox.stripe_service.errors import ApiError, missing
from sandbox.stripe_service.events import EventLog
from sandbox.stripe_service.fees import ach_fee_cents, card_fee_cents

DECLINE_MESSAGE = "Your card was declined."
BANK_FAILURE_MESSAGE = "The customer's bank account could not be debited."
BUYER_EMAIL = "buyer@example.com"


class Payments:
    def __init__(self, books: Books, events: EventLog, balance: Balance) -> None:
        self._books = books
        self._events = events
        self._balance = balance

    def open_session(self, params: Json, items: list[Json], public_url: str) -> Json:
        books = self._books
        lines = [shapes.line_item(books, item) for item in items]
        session = books.sessions.add(
            shapes.session(books, params, sum(line["amount_total"] for line in lines), public_url)
        )
        books.line_items[session["id"]] = lines
        books.intent_data[session["id"]] = params.get("payment_intent_data", {})
        books.agenda.at(session["expires_at"] * 1000, lambda: self._expire_if_open(session))
        return session

    def session(self, session_id: str) -> Json:
        found = self._books.sessions.get(session_id)
        if found is None:
            raise missing("checkout.session", session_id, "session")
        return found

    def pay(self, session_id: str, method: str = "card", email: str | None = None, *, debit: str = "succeeds") -> Json:
        """The buyer pays: a card at once, a bank debit after `bank_settle_ms`, when it `succeeds` or `fails`; a
        `manual` one waits for `settle`. Answers the session.

        Raises `ApiError` when the session is not open or does not offer the method."""
        session = self._open(session_id)
        if method not in session["payment_method_types"]:
            raise ApiError(400, f"This session does not offer {method}.", param="method")
        intent = self._intent(session)
        charge = self._new_charge(session, intent, method, email)
        session.update(
            status="complete",
            url=None,
            customer_details={
                **shapes.nulls("business_name", "individual_name", "phone"),
                "address": dict(shapes.NO_ADDRESS),
                "email": charge["billing_details"]["email"],
                "name": charge["billing_details"]["name"],
                "tax_exempt": "none",
                "tax_ids": [],
            },
        )
        if method == "card":
            self._succeed(session, intent, charge)
            self._events.emit("checkout.session.completed", session)
        else:
            self._start_debit(session, intent, charge, debit)
        return session

    def decline(self, session_id: str, decline_code: str = "generic_decline") -> Json:
        """The buyer's card is refused: a failed charge, the session stays open and can be paid with the same intent."""
        session = self._open(session_id)
        intent = self._intent(session)
        charge = self._new_charge(session, intent, "card", None)
        self._fail(intent, charge, "card_declined", decline_code, DECLINE_MESSAGE)
        return session

    def settle(self, session_id: str, *, succeeded: bool) -> Json:
        """Decide a bank debit now. Raises `ApiError` when none is under way."""
        session = self.session(session_id)
        intent = self._books.payment_intents.get(session["payment_intent"] or "")
        if intent is None or intent["status"] != "processing":
            raise ApiError(400, f"No delayed payment is under way for {session_id}.")
        self._finish_debit(session, intent, succeeded=succeeded)
        return session

    def expire(self, session_id: str) -> Json:
        """Raises `ApiError` unless the session is open."""
        session = self.session(session_id)
        if session["status"] != "open":
            status = session["status"]
            message = 'Only Checkout Sessions with a status in ["open"] can be expired. '
            raise ApiError(400, f"{message}This Checkout Session has a status of {status}.", param="session")
        self._expire_if_open(session)
        return session

    def release(self, charge_id: str) -> Json:
        """Let the balance transaction of a succeeded charge appear now, if it has not. Answers the charge."""
        charge = self._books.charges.get(charge_id)
        if charge is None:
            raise missing("charge", charge_id)
        if charge["status"] != "succeeded":
            raise ApiError(400, f"Charge {charge_id} has not succeeded.")
        self._release_if_missing(charge)
        return charge

    def _open(self, session_id: str) -> Json:
        session = self.session(session_id)
        if session["status"] == "open" and session["expires_at"] * 1000 <= self._books.clock():
            self._expire_if_open(session)
        if session["status"] != "open":
            message = f"This Checkout Session is {session['status']} and can no longer be paid."
            raise ApiError(400, message, code="resource_state_invalid" if session["status"] == "complete" else None)
        return session

    def _intent(self, session: Json) -> Json:
        books = self._books
        found = books.payment_intents.get(session["payment_intent"] or "")
        if found is not None:
            return found
        data = books.intent_data.get(session["id"], {})
        intent = books.payment_intents.add(shapes.payment_intent(books, session, data))
        books.session_of[intent["id"]] = session["id"]
        session["payment_intent"] = intent["id"]
        self._events.emit("payment_intent.created", intent)
        return intent

    def _new_charge(self, session: Json, intent: Json, method: str, email: str | None) -> Json:
        books = self._books
        address = email or session["customer_email"] or BUYER_EMAIL
        charge = books.charges.add(shapes.charge(books, intent, method, address))
        intent.update(latest_charge=charge["id"], payment_method=charge["payment_method"], last_payment_error=None)
        return charge

    def _succeed(self, session: Json, intent: Json, charge: Json) -> None:
        charge.update(
            status="succeeded",
            paid=True,
            captured=True,
            amount_captured=charge["amount"],
            receipt_url=f"https://pay.stripe.com/receipts/payment/{charge['id']}",
            outcome={
                **shapes.nulls("advice_code", "network_advice_code", "network_decline_code", "reason"),
                "network_status": "approved_by_network",
                "risk_level": "normal",
                "risk_score": 12,
                "seller_message": "Payment complete.",
                "type": "authorized",
            },
        )
        intent.update(status="succeeded", amount_received=intent["amount"], processing=None)
        session["payment_status"] = "paid"
        if intent["capture_method"] == "automatic":
            self._book(charge)
        else:
            self._books.later(self._books.timing.fee_delay_ms, lambda: self._release_if_missing(charge))
        self._events.emit("charge.succeeded", charge)
        self._events.emit("payment_intent.succeeded", intent)

    def _release_if_missing(self, charge: Json) -> None:
        if charge["balance_transaction"] is None:
            self._book(charge)
            self._events.emit("charge.updated", charge, {"balance_transaction": None})

    def _book(self, charge: Json) -> None:
        gross = charge["amount"]
        is_card = charge["payment_method_details"]["type"] == "card"
        charge["balance_transaction"] = self._balance.record(
            "charge" if is_card else "payment",
            "charge",
            gross,
            charge["id"],
            fee=card_fee_cents(gross) if is_card else ach_fee_cents(gross),
            fee_name="Stripe processing fees",
            slow=True,
        )["id"]

    def _fail(self, intent: Json, charge: Json, code: str, decline_code: str | None, message: str) -> None:
        charge.update(
            status="failed",
            failure_code=code,
            failure_message=message,
            outcome={
                **shapes.nulls("advice_code", "network_advice_code", "network_decline_code"),
                "network_status": "declined_by_network",
                "reason": decline_code,
                "risk_level": "normal",
                "risk_score": 12,
                "seller_message": "The bank did not return any further details with this decline.",
                "type": "issuer_declined",
            },
        )
        error = {
            "charge": charge["id"],
            "code": code,
            "doc_url": "https://stripe.com/docs/error-codes/card-declined",
            "message": message,
            "payment_method": {"id": charge["payment_method"], "object": "payment_method"},
            "type": "card_error" if decline_code else "invalid_request_error",
        }
        if decline_code:
            error["decline_code"] = decline_code
        intent.update(status="requires_payment_method", payment_method=None, processing=None, last_payment_error=error)
        self._events.emit("charge.failed", charge)
        self._events.emit("payment_intent.payment_failed", intent)

    def _start_debit(self, session: Json, intent: Json, charge: Json, debit: str) -> None:
        intent["status"] = "processing"
        self._events.emit("charge.pending", charge)
        self._events.emit("payment_intent.processing", intent)
        self._events.emit("checkout.session.completed", session)
        if debit != "manual":
            delay_ms, succeeded = self._books.timing.bank_settle_ms, debit == "succeeds"
            self._books.later(delay_ms, lambda: self._finish_debit(session, intent, succeeded=succeeded))

    def _finish_debit(self, session: Json, intent: Json, *, succeeded: bool) -> None:
        if intent["status"] != "processing":
            return
        charge = self._books.charges.get(intent["latest_charge"])
        assert charge is not None
        if succeeded:
            self._succeed(session, intent, charge)
            self._events.emit("checkout.session.async_payment_succeeded", session)
        else:
            self._fail(intent, charge, "payment_method_customer_decline", None, BANK_FAILURE_MESSAGE)
            self._events.emit("checkout.session.async_payment_failed", session)

    def _expire_if_open(self, session: Json) -> None:
        if session["status"] != "open":
            return
        session.update(status="expired", url=None)
        intent = self._books.payment_intents.get(session["payment_intent"] or "")
        if intent is not None:
            now = self._books.now_seconds()
            intent.update(status="canceled", canceled_at=now, cancellation_reason="automatic")
            self._events.emit("payment_intent.canceled", intent)
        self._events.emit("checkout.session.expired", session)
