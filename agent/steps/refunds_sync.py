"""Fetches the refunds of a charge of which only the total was told (charge.refunded)."""

from collections.abc import Sequence
from typing import Protocol

from sqlalchemy import Connection

from domain.outcomes import Commit, Done, Outcome, nothing
from domain.refunds import refund_state
from gateways.stripe_facts import RefundFacts
from ports.clock import Clock
from storage.sales import purchases as rows
from storage.sales.returns import RefundSeen, record_refund
from storage.store import Store
from storage.work import Claim


class StripeRefundList(Protocol):
    async def list_refunds(self, payment_intent: str) -> Sequence[RefundFacts]: ...


class RefundsSyncStep:
    """Kind `refunds`, subject: purchase id. Idempotent: what is known already changes nothing."""

    def __init__(self, store: Store, clock: Clock, stripe: StripeRefundList) -> None:
        self._store, self._clock, self._stripe = store, clock, stripe

    async def run(self, claim: Claim) -> Outcome:
        purchase_id = int(claim.subject)
        row = await self._store.read(lambda conn: rows.by_id(conn, purchase_id))
        if row is None or row.stripe_payment_intent_id is None:
            return Done()
        found = await self._stripe.list_refunds(row.stripe_payment_intent_id)
        seen = [
            RefundSeen(one.id, one.amount, refund_state(one.status or "pending"), one.metadata.get("refund"))
            for one in found
        ]
        now = self._clock.now()

        def learn(conn: Connection) -> None:
            for one in seen:
                record_refund(conn, purchase_id, one, now)

        return Done(learn)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
