"""/v1 of what a payment leaves behind: intents, charges, balance, events, refunds, disputes, payouts, account."""

from fnmatch import fnmatchcase

from sandbox.stripe_service import params as p
from sandbox.stripe_service import shapes
from sandbox.stripe_service.books import Json, Table
from sandbox.stripe_service.errors import bad_param, missing
from sandbox.stripe_service.forms import Form
from sandbox.stripe_service.listing import candidates, equals, page
from sandbox.stripe_service.metadata import METADATA_ONLY, merge
from sandbox.stripe_service.routes import Handler, Route
from sandbox.stripe_service.world import World

BY_PAYMENT: p.Fields = {**p.PAGE, "payment_intent": p.text(), "charge": p.text()}
BALANCE_TRANSACTION_LIST: p.Fields = {
    **p.PAGE,
    "currency": p.text(3),
    "payout": p.text(),
    "source": p.text(),
    "type": p.text(),
}
EVENT_TYPES_MAX = 20
EVENT_LIST: p.Fields = {
    **p.PAGE,
    "delivery_success": p.boolean,
    "type": p.text(),
    "types": p.array_of(p.text(), EVENT_TYPES_MAX),
}
REFUND_CREATE: p.Fields = {
    "amount": p.integer(1, p.AMOUNT_MAX),
    "charge": p.text(),
    "currency": p.unavailable,
    "customer": p.unavailable,
    "instructions_email": p.text(800),
    "metadata": p.metadata,
    "origin": p.unavailable,
    "payment_intent": p.text(),
    "reason": p.choice("duplicate", "fraudulent", "requested_by_customer"),
    "refund_application_fee": p.unavailable,
    "reverse_transfer": p.unavailable,
}
PAYOUT_CREATE: p.Fields = {
    "amount": p.integer(1),
    "currency": p.choice("usd"),
    "description": p.text(),
    "destination": p.text(),
    "metadata": p.metadata,
    "method": p.choice("standard", "instant"),
    "payout_method": p.anything,
    "source_type": p.choice("card", "bank_account"),
    "statement_descriptor": p.text(22),
}
PAYOUT_LIST: p.Fields = {
    **p.PAGE,
    "arrival_date": p.either(p.integer(), p.hash_of(p.RANGE)),
    "destination": p.text(),
    "status": p.choice("pending", "in_transit", "paid", "failed", "canceled"),
}


class ObjectsApi:
    def __init__(self, world: World) -> None:
        self._world = world
        self._books = world.books

    def routes(self) -> list[Route]:
        return [
            *self._reading("payment_intents", "payment_intent", self.payment_intent, self.payment_intents),
            Route("POST", "/v1/payment_intents/{id}", "payment_intent", self.update_payment_intent),
            *self._reading("charges", "charge", self.charge, self.charges),
            Route("POST", "/v1/charges/{id}", "charge", self.update_charge),
            *self._reading(
                "balance_transactions", "balance_transaction", self.balance_transaction, self.balance_transactions
            ),
            Route("GET", "/v1/balance", "balance", self.balance),
            *self._reading("events", "event", self.event, self.events),
            *self._reading("refunds", "refund", self.refund, self.refunds),
            Route("POST", "/v1/refunds", "refund", self.create_refund),
            Route("POST", "/v1/refunds/{id}", "refund", self.update_refund),
            *self._reading("disputes", "dispute", self.dispute, self.disputes),
            Route("POST", "/v1/disputes/{id}", "dispute", self.update_dispute),
            Route("POST", "/v1/disputes/{id}/close", "dispute", self.accept_dispute),
            *self._reading("payouts", "payout", self.payout, self.payouts),
            Route("POST", "/v1/payouts", "payout", self.create_payout),
            Route("GET", "/v1/account", "account", self.account),
            Route("GET", "/v1/accounts/{id}", "account", self.account),
        ]

    def _reading(self, name: str, resource: str, retrieve: Handler, list_: Handler) -> list[Route]:
        return [
            Route("GET", f"/v1/{name}/{{id}}", resource, retrieve),
            Route("GET", f"/v1/{name}", resource, list_),
        ]

    def _one(self, table: Table, form: Form, object_id: str, param: str = "id") -> Json:
        p.read(form, {})
        return self._found(table, object_id, param)

    def _found(self, table: Table, object_id: str, param: str = "id") -> Json:
        row = table.get(object_id)
        if row is None:
            raise missing(table.kind, object_id, param)
        return row

    def payment_intent(self, form: Form, intent_id: str) -> Json:
        p.read(form, {"client_secret": p.text()})
        return self._found(self._books.payment_intents, intent_id, "intent")

    def payment_intents(self, form: Form) -> Json:
        values = p.read(form, {**p.PAGE, "customer": p.text(), "customer_account": p.text()})
        keep = equals(values, "customer", "customer_account")
        return page(self._books.payment_intents, values, "/v1/payment_intents", keep)

    def update_payment_intent(self, form: Form, intent_id: str) -> Json:
        values = p.read(form, {**METADATA_ONLY, "description": p.text(1000)})
        intent = self._found(self._books.payment_intents, intent_id, "intent")
        merge(intent, values)
        intent["description"] = values.get("description", intent["description"])
        return intent

    def charge(self, form: Form, charge_id: str) -> Json:
        return self._one(self._books.charges, form, charge_id, "charge")

    def charges(self, form: Form) -> Json:
        fields = {**p.PAGE, "payment_intent": p.text(), "customer": p.text(), "transfer_group": p.text()}
        values = p.read(form, fields)
        keep = equals(values, "payment_intent", "customer", "transfer_group")
        return page(self._books.charges, values, "/v1/charges", keep, candidates(self._books.charges, values))

    def update_charge(self, form: Form, charge_id: str) -> Json:
        """Fires charge.updated too: that event alone does not mean that the fee is known."""
        values = p.read(form, {**METADATA_ONLY, "description": p.text(1000)})
        charge = self._found(self._books.charges, charge_id, "charge")
        previous = merge(charge, values) or {}
        if values.get("description", charge["description"]) != charge["description"]:
            previous["description"] = charge["description"]
            charge["description"] = values["description"]
        if previous:
            self._world.events.emit("charge.updated", charge, previous)
        return charge

    def balance_transaction(self, form: Form, transaction_id: str) -> Json:
        return self._one(self._books.balance_transactions, form, transaction_id)

    def balance_transactions(self, form: Form) -> Json:
        values = p.read(form, BALANCE_TRANSACTION_LIST)
        same = equals(values, "currency", "source", "type")
        payout_id = values.get("payout")
        if payout_id is not None:
            self._check_automatic(payout_id)

        def keep(row: Json) -> bool:
            return same(row) and (payout_id is None or self._books.payout_of.get(row["id"]) == payout_id)

        table = self._books.balance_transactions
        return page(table, values, "/v1/balance_transactions", keep, candidates(table, values))

    def _check_automatic(self, payout_id: str) -> None:
        payout = self._books.payouts.get(payout_id)
        if payout is None:
            raise missing("payout", payout_id, "payout", 400)
        if not payout["automatic"]:
            message = "Balance transaction history can only be filtered on automatic transfers, not manual."
            raise bad_param(message, "payout")

    def balance(self, form: Form) -> Json:
        p.read(form, {})
        return self._world.balance.render()

    def account(self, form: Form, account_id: str | None = None) -> Json:
        p.read(form, {})
        if account_id not in (None, self._books.account.id):
            raise missing("account", str(account_id), "account")
        return shapes.account(self._books)

    def event(self, form: Form, event_id: str) -> Json:
        p.read(form, {})
        self._world.events.forget_old()
        found = self._world.events.find(event_id)
        if found is None:
            raise missing("event", event_id)
        return found.render()

    def events(self, form: Form) -> Json:
        values = p.read(form, EVENT_LIST)
        if "type" in values and "types" in values:
            raise bad_param("You may only specify one of these parameters: type, types.", "types")
        patterns = values.get("types", [values["type"]] if "type" in values else ["*"])
        delivered = values.get("delivery_success")

        def keep(row: Json) -> bool:
            event = row["event"]
            is_wanted = any(fnmatchcase(event.body["type"], pattern) for pattern in patterns)
            return is_wanted and (delivered is None or delivered == (not event.waiting))

        self._world.events.forget_old()
        answer = page(self._world.events.table, values, "/v1/events", keep)
        return {**answer, "data": [row["event"].render() for row in answer["data"]]}

    def refund(self, form: Form, refund_id: str) -> Json:
        return self._one(self._books.refunds, form, refund_id)

    def refunds(self, form: Form) -> Json:
        values = p.read(form, BY_PAYMENT)
        return self._by_payment(self._books.refunds, values, "/v1/refunds")

    def _by_payment(self, table: Table, values: Json, url: str) -> Json:
        return page(table, values, url, equals(values, "payment_intent", "charge"), candidates(table, values))

    def create_refund(self, form: Form) -> Json:
        values = p.read(form, REFUND_CREATE)
        if ("charge" in values) == ("payment_intent" in values):
            message = "One of the following params should be provided for this request: payment_intent or charge."
            raise bad_param(message, "charge", "parameter_missing")
        return self._world.reversals.refund(values)

    def update_refund(self, form: Form, refund_id: str) -> Json:
        values = p.read(form, METADATA_ONLY)
        refund = self._found(self._books.refunds, refund_id)
        previous = merge(refund, values)
        if previous is not None:
            self._world.events.emit("refund.updated", refund, previous)
        return refund

    def dispute(self, form: Form, dispute_id: str) -> Json:
        return self._one(self._books.disputes, form, dispute_id, "dispute")

    def disputes(self, form: Form) -> Json:
        values = p.read(form, BY_PAYMENT)
        return self._by_payment(self._books.disputes, values, "/v1/disputes")

    def update_dispute(self, form: Form, dispute_id: str) -> Json:
        fields = {**METADATA_ONLY, "evidence": p.anything, "submit": p.boolean}
        values = p.read(form, fields)
        dispute = self._found(self._books.disputes, dispute_id, "dispute")
        merge(dispute, values)
        if "evidence" in values and values.get("submit", True):
            return self._world.reversals.answer_dispute(dispute_id)
        return dispute

    def accept_dispute(self, form: Form, dispute_id: str) -> Json:
        """Closing a dispute through the API concedes it."""
        p.read(form, {})
        return self._world.reversals.close_dispute(dispute_id, "lost")

    def payout(self, form: Form, payout_id: str) -> Json:
        return self._one(self._books.payouts, form, payout_id, "payout")

    def payouts(self, form: Form) -> Json:
        values = p.read(form, PAYOUT_LIST)
        return page(self._books.payouts, values, "/v1/payouts", equals(values, "status", "destination"))

    def create_payout(self, form: Form) -> Json:
        return self._world.balance.pay_out(p.read(form, PAYOUT_CREATE, ["amount", "currency"]))
