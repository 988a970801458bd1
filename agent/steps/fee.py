"""Fetches the real fee: Stripe names it in the balance transaction, a moment after the success event."""

from datetime import timedelta
from typing import Protocol

from sqlalchemy import Connection

from domain.errors import Rejected
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from domain.split import SplitRule
from domain.waits import look_again_after
from gateways.stripe_facts import ChargeFacts, PaymentIntentFacts
from ports.clock import Clock
from storage.sales import purchases as rows
from storage.sales.purchases import Fee
from storage.sales.returns import settle_returns
from storage.store import Store
from storage.work import Claim

FIRST_WAIT = timedelta(seconds=2)
"""Balance transactions were seen about three seconds after success (reference: Stripe, section 1.3)."""
LONGEST_WAIT = timedelta(hours=1)
"""Some payments have no fee for days. `charge.updated` tells of it, and wakes this step."""


class StripeFees(Protocol):
    async def fetch_payment_intent(self, payment_intent: str) -> PaymentIntentFacts: ...

    async def fetch_charge_with_fee(self, charge_id: str) -> ChargeFacts: ...


class FeeStep:
    """Kind `fee`, subject: purchase id."""

    def __init__(self, store: Store, clock: Clock, stripe: StripeFees, rule: SplitRule) -> None:
        self._store, self._clock, self._stripe, self._rule = store, clock, stripe, rule

    async def run(self, claim: Claim) -> Outcome:
        purchase_id = int(claim.subject)
        row = await self._store.read(lambda conn: rows.by_id(conn, purchase_id))
        if row is None or row.stripe_fee is not None or row.stripe_payment_intent_id is None:
            return Done()
        charge_id = row.stripe_charge_id
        if charge_id is None:
            charge_id = (await self._stripe.fetch_payment_intent(row.stripe_payment_intent_id)).latest_charge
        charge = None if charge_id is None else await self._stripe.fetch_charge_with_fee(charge_id)
        if charge is None or charge.balance_transaction is None:
            wait = look_again_after(self._clock.now() - claim.created_at, FIRST_WAIT, LONGEST_WAIT)
            return Again(wait, "Stripe has not named the fee yet")
        found = charge.balance_transaction
        if found.currency != "usd" or charge.payment_intent != row.stripe_payment_intent_id:
            raise Rejected("fee_mismatch", f"{found.id} is in {found.currency} or of another payment")
        fee = Fee(found.id, charge.id, found.amount, found.fee, found.net, found.available_on)
        return Done(lambda conn: self._record(conn, purchase_id, fee))

    def _record(self, conn: Connection, purchase_id: int, fee: Fee) -> None:
        now = self._clock.now()
        rows.record_fee(conn, purchase_id, fee, self._rule, now)
        settle_returns(conn, purchase_id, "fee", now)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
