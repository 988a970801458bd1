"""The money at Stripe: balance transactions, what of them is available, payouts to the bank."""

from sandbox.stripe_service import shapes
from sandbox.stripe_service.books import Books, Json
from sandbox.stripe_service.errors import ApiError, missing
from sandbox.stripe_service.events import EventLog
from sandbox.stripe_service.fees import available_on


class Balance:
    def __init__(self, books: Books, events: EventLog) -> None:
        self._books = books
        self._events = events
        self.available_cents = 0
        self.pending_cents = 0
        self._settling: dict[int, list[Json]] = {}
        """By `available_on`: the transactions that become available then."""

    def record(
        self,
        type_: str,
        category: str,
        amount: int,
        source: str,
        *,
        fee: int = 0,
        fee_name: str = "",
        slow: bool = False,
    ) -> Json:
        """Book a balance transaction. `slow` money becomes available after the settlement time, other money moves now.
        `amount` and `fee` in cents; net = amount - fee."""
        books = self._books
        now = books.now_seconds()
        due = available_on(now, books.timing.settle_business_days) if slow else now
        is_pending = due > now
        details = {"amount": fee, "application": None, "currency": "usd", "description": fee_name, "type": "stripe_fee"}
        row = books.balance_transactions.add(
            {
                "id": books.ids.make("txn_3" if slow else "txn_1"),
                "object": "balance_transaction",
                "amount": amount,
                "available_on": due,
                "balance_type": "payments",
                "created": now,
                "currency": "usd",
                "description": None,
                "exchange_rate": None,
                "fee": fee,
                "fee_details": [details] if fee else [],
                "net": amount - fee,
                "reporting_category": category,
                "source": source,
                "status": "pending" if is_pending else "available",
                "type": type_,
            }
        )
        if is_pending:
            self.pending_cents += row["net"]
            self._settle_at(due, row)
        else:
            self.available_cents += row["net"]
        return row

    def _settle_at(self, due: int, row: Json) -> None:
        if due not in self._settling:
            self._settling[due] = []
            self._books.agenda.at(due * 1000, lambda: self._settle(due))
        self._settling[due].append(row)

    def _settle(self, due: int) -> None:
        for row in self._settling.pop(due):
            row["status"] = "available"
            self.pending_cents -= row["net"]
            self.available_cents += row["net"]
        self._events.emit("balance.available", self.render())

    def render(self) -> Json:
        def amounts(cents: int) -> list[Json]:
            return [{"amount": cents, "currency": "usd", "source_types": {"card": cents}}]

        return {
            "object": "balance",
            "available": amounts(self.available_cents),
            "connect_reserved": [{"amount": 0, "currency": "usd"}],
            "instant_available": amounts(0),
            "livemode": self._books.account.livemode,
            "pending": amounts(self.pending_cents),
            "refund_and_dispute_prefunding": {"available": amounts(0), "pending": amounts(0)},
        }

    def pay_out(self, params: Json) -> Json:
        """A manual payout of available money; raises `ApiError` balance_insufficient beyond it."""
        if params["amount"] > self.available_cents:
            message = "You have insufficient funds in your Stripe account for this payout."
            raise ApiError(400, message, code="balance_insufficient", param="amount")
        return self._make_payout(params, automatic=False)

    def pay_out_automatically(self) -> Json:
        """What an automatic schedule does: everything available that no payout carried yet."""
        books = self._books
        carried = [
            row
            for row in books.balance_transactions
            if row["status"] == "available"
            and not row["type"].startswith("payout")
            and row["id"] not in books.payout_of
        ]
        amount = sum(row["net"] for row in carried)
        if amount <= 0 or amount > self.available_cents:
            raise ApiError(400, "There is nothing to pay out.", code="balance_insufficient")
        payout = self._make_payout({"amount": amount}, automatic=True)
        for row in carried:
            books.payout_of[row["id"]] = payout["id"]
        books.payout_of[payout["balance_transaction"]] = payout["id"]
        return payout

    def _make_payout(self, params: Json, *, automatic: bool) -> Json:
        books = self._books
        arrival = (books.clock() + books.timing.payout_ms) // 1000
        payout = books.payouts.add(shapes.payout(books, params, automatic=automatic, arrival=arrival))
        payout["balance_transaction"] = self.record("payout", "payout", -payout["amount"], payout["id"])["id"]
        self._events.emit("payout.created", payout)
        books.later(books.timing.payout_ms, lambda: self._arrive(payout))
        return payout

    def _arrive(self, payout: Json) -> None:
        if payout["status"] != "pending":
            return
        payout["status"] = "paid"
        payout["trace_id"] = {"status": "supported", "value": payout["id"][-12:]}
        self._events.emit("payout.paid", payout)
        if payout["automatic"]:
            payout["reconciliation_status"] = "completed"
            self._events.emit("payout.reconciliation_completed", payout)

    def fail_payout(self, payout_id: str, code: str = "account_closed") -> Json:
        """The bank sends it back, before or after it was paid."""
        payout = self._books.payouts.get(payout_id)
        if payout is None:
            raise missing("payout", payout_id)
        if payout["status"] == "failed":
            raise ApiError(400, f"Payout {payout_id} has failed already.")
        back = self.record("payout_failure", "payout_reversal", payout["amount"], payout_id)
        payout.update(
            status="failed",
            failure_balance_transaction=back["id"],
            failure_code=code,
            failure_message="The bank account has been closed.",
        )
        self._events.emit("payout.failed", payout)
        return payout
