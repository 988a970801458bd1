"""Gives a buyer his money back, once: the loser of a sold-out race, or whom an operator names."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from sqlalchemy import Connection, Row

from domain.errors import AccessRefused, KeySpent, Rejected
from domain.foreign_text import kept
from domain.outcomes import Again, Commit, Done, Outcome, Refused, nothing
from domain.refunds import refund_state
from domain.states import RefundState
from domain.waits import look_again_after
from gateways.stripe_errors import INVALID_REQUEST
from gateways.stripe_facts import ChargeFacts, PaymentIntentFacts, RefundFacts
from ports.clock import Clock, SendWindow
from ports.ids import Ids
from storage.recovery import refund_adoption
from storage.recovery.refund_adoption import Marked
from storage.sales import refunds as rows
from storage.sales.purchases import SOLD_OUT
from storage.sales.returns import RefundSeen, record_refund, returned
from storage.store import Store
from storage.work import WHY_CHARS, Claim, enqueue, fenced

log = structlog.get_logger(__name__)

STRIPE_KEY_TRUSTED_FOR = timedelta(hours=12)
"""Stripe may forget an idempotency key after 24 h; well before that the refund is looked up instead."""
POLL, POLL_MOST = timedelta(minutes=10), timedelta(hours=6)
"""A refund that Stripe leaves pending, for days where our balance does not cover it, is looked at the longer the more
rarely: Stripe's event tells of its end, and the sweep of events where that is lost."""
ALREADY_REFUNDED = "charge_already_refunded"
"""Stripe's refusal when the whole charge went back before."""
TOO_MUCH = frozenset({INVALID_REQUEST, "amount_too_large"})
"""Stripe's refusals when less is left of the charge than is asked for, and when something else is wrong with it."""
CHARGED_BACK = frozenset({"charge_disputed", "refund_disputed_payment"})
"""Stripe's refusals while the buyer's bank asks for the money, and after it has got it."""


class StripeRefunds(Protocol):
    async def create_refund(
        self, params: Mapping[str, Any], idempotency_key: str, window: SendWindow
    ) -> RefundFacts: ...

    async def fetch_payment_intent(self, payment_intent: str) -> PaymentIntentFacts: ...

    async def fetch_charge_with_fee(self, charge_id: str) -> ChargeFacts: ...

    async def list_refunds(self, payment_intent: str) -> Sequence[RefundFacts]: ...

    async def fetch_refund(self, refund_id: str) -> RefundFacts: ...


class Races(Protocol):
    async def is_undecided(self, claim: Claim) -> Outcome | None:
        """What the refund of a loser waits for; None where it needs to wait for nothing."""
        ...


class RefundStep:
    """Kind `refund`, subject: purchase id."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, stripe: StripeRefunds, races: Races) -> None:
        self._store, self._clock, self._ids, self._stripe = store, clock, ids, stripe
        self._races = races

    async def run(self, claim: Claim) -> Outcome:
        undecided = await self._races.is_undecided(claim)
        if undecided is not None:
            return undecided
        refund = await self._intent(claim)
        if refund is None:
            return Done()
        try:
            return await self._ask(refund)
        except Rejected as error:
            return await self._refused(refund, error)

    async def _intent(self, claim: Claim) -> Row[Any] | None:
        """The refund to work on; an operator's is committed before this step is made due."""
        purchase_id, uuid, key = int(claim.subject), self._ids.uuid(), self._ids.uuid()
        refund, loser = await self._store.read(
            lambda conn: (rows.under_way(conn, purchase_id), rows.loser(conn, purchase_id))
        )
        if loser is None:
            return refund
        left, now = await self._left(loser.stripe_payment_intent_id), self._clock.now()
        intend = fenced(claim, lambda conn: rows.intend_for_loser(conn, purchase_id, left, uuid, key, now))
        return await self._store.write(intend)

    async def _left(self, payment_intent: str) -> int:
        """Cents of a payment that did not go back yet, by Stripe's word: by hand part of it may have."""
        paid = await self._stripe.fetch_payment_intent(payment_intent)
        if paid.latest_charge is None:
            return paid.amount_received
        charge = await self._stripe.fetch_charge_with_fee(paid.latest_charge)
        return charge.amount_captured - charge.amount_refunded

    async def _ask(self, refund: Row[Any]) -> Outcome:
        if refund.stripe_refund_id is not None:
            return self._conclude(refund, await self._stripe.fetch_refund(refund.stripe_refund_id))
        params, window = json.loads(refund.params), SendWindow(self._clock)
        is_old = self._clock.now() - refund.created_at > STRIPE_KEY_TRUSTED_FOR
        if is_old or await self._store.read(lambda conn: refund_adoption.is_from_before(conn, refund)):
            found = await self._found(refund, params["payment_intent"])
            if found is not None:
                return found
        try:
            return self._conclude(refund, await self._stripe.create_refund(params, refund.idempotency_key, window))
        except KeySpent as error:
            found = await self._found(refund, params["payment_intent"])
            if found is None and refund.reason != SOLD_OUT:
                raise
            return found or self._under_another_key(refund, error)

    def _under_another_key(self, refund: Row[Any], error: KeySpent) -> Outcome:
        """The loser is given all that is left of his payment: should Stripe find the first one after all, it can't give
        that twice. Of an operator's refund, which may be a part, it could: his waits until the key is forgotten."""
        why = f"Stripe lists none, and repeats under its key: {error}"
        end: Commit = lambda conn: rows.ended(conn, refund.id, kept(why, WHY_CHARS), self._clock.now())  # noqa: E731
        return Again(POLL, why, counts=True, commit=end)

    async def _found(self, refund: Row[Any], payment_intent: str) -> Outcome | None:
        """What Stripe's list says of a refund that was meant long ago, or by the rows of a backup; None where nothing
        of it is there."""
        listed = await self._stripe.list_refunds(payment_intent)
        marked = [Marked(one.id, one.metadata["refund"], one.created) for one in listed if "refund" in one.metadata]
        mine = [one for one in listed if one.metadata.get("refund") == refund.uuid]
        if mine:
            return self._conclude(refund, mine[0])
        after = await self._store.read(lambda conn: refund_adoption.successor(conn, refund, marked))
        if after is None:
            return None
        why = f"{after} was asked for after it, by rows that are lost: it had ended"
        log.warning("a refund of a restored backup is not asked for", refund=refund.uuid, why=why)
        return Again(timedelta(0), why, commit=lambda conn: self._ended(conn, refund, why))

    def _ended(self, conn: Connection, refund: Row[Any], why: str) -> None:
        """What became of the others is fetched; what a loser lacks still is asked for anew."""
        now = self._clock.now()
        rows.ended(conn, refund.id, why, now)
        enqueue(conn, "refunds", refund.purchase_id, now)

    async def _refused(self, refund: Row[Any], error: Rejected) -> Outcome:
        """A refund that Stripe refuses for what it is has failed: Stripe keeps to that for a day, under its key. An
        operator may ask for another; of the loser's a person must see to it that he gets his money, and a retry asks
        under another key. A refusal of our key says nothing of a call before it."""
        now = self._clock.now()
        if error.code == ALREADY_REFUNDED and refund.reason == SOLD_OUT and refund.stripe_refund_id is None:
            return Done(lambda conn: self._by_others(conn, refund, now))
        if error.code in CHARGED_BACK and refund.reason == SOLD_OUT:
            return await self._contested(refund, error)
        if error.code in TOO_MUCH and refund.reason == SOLD_OUT and refund.stripe_refund_id is None:
            return await self._too_much(refund, error)
        if refund.stripe_refund_id is not None or isinstance(error, AccessRefused):
            raise error
        return Refused(error.code, str(error), lambda conn: rows.refused(conn, refund.id, error.code, now))

    async def _contested(self, refund: Row[Any], error: Rejected) -> Outcome:
        """The loser's bank has asked for his money. What it gives him is not given once more; the end of a dispute that
        gives him nothing makes his refund due anew, under another key: Stripe's refusal stays with this one."""
        told = await self._store.read(lambda conn: returned(conn, refund.purchase_id))
        end: Commit = lambda conn: rows.refused(conn, refund.id, error.code, self._clock.now())  # noqa: E731
        if told.contested >= refund.amount:
            return Done(end)
        return Again(POLL, f"its dispute is not known yet: {error}", counts=True, commit=end)

    async def _too_much(self, refund: Row[Any], error: Rejected) -> Outcome:
        """Part of the loser's money went back by hand since his refund was meant: the rest is asked for under another
        key."""
        left = await self._left(json.loads(refund.params)["payment_intent"])
        if left >= refund.amount:
            raise error
        why = f"of {refund.amount} cents {left} are left: part went back by hand"
        end: Commit = lambda conn: rows.ended(conn, refund.id, why, self._clock.now())  # noqa: E731
        return Again(timedelta(0), why, counts=True, commit=end)

    def _by_others(self, conn: Connection, refund: Row[Any], now: datetime) -> None:
        """The whole charge went back by somebody else's hand, or by a process whose rows are lost: what that was is
        fetched, ours is not needed. Should one of those fail later, a person is asked (`storage/sales/returns.py`)."""
        rows.refused(conn, refund.id, ALREADY_REFUNDED, now)
        enqueue(conn, "refunds", refund.purchase_id, now)

    def _conclude(self, refund: Row[Any], facts: RefundFacts) -> Outcome:
        now = self._clock.now()
        if facts.amount != refund.amount:
            return Refused("refund_mismatch", f"{facts.id} returns {facts.amount}, {refund.amount} were meant")
        state = refund_state(facts.status or "pending")
        seen = RefundSeen(facts.id, facts.amount, state, refund.uuid)
        learn: Commit = lambda conn: record_refund(conn, refund.purchase_id, seen, now)  # noqa: E731
        if state == RefundState.SUCCEEDED:
            return Done(learn)
        if state == RefundState.FAILED:
            why = f"Stripe could not return the money ({facts.status}); settle it with the buyer, then retry"
            return Refused("refund_failed", why, learn)
        after = look_again_after(now - refund.created_at, POLL, POLL_MOST)
        return Again(after, f"refund is {facts.status}", commit=learn)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
