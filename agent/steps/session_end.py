"""Ends an open Checkout Session of a work that is sold out or taken down: nobody shall pay for what is not for sale."""

from datetime import timedelta
from typing import Protocol

import structlog

from domain.errors import OutcomeUnknown, Rejected
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from gateways.stripe_facts import SessionFacts
from ports.clock import Clock
from ports.ids import Ids
from storage.sales import session_ends
from storage.sales.checkouts import abandon
from storage.store import Store
from storage.work import Claim

log = structlog.get_logger(__name__)

NOT_FOR_SALE = "its work is no longer for sale"
STILL_OPEN_WAIT = timedelta(minutes=5)


class StripeSessions(Protocol):
    async def expire_checkout_session(self, session_id: str, idempotency_key: str) -> SessionFacts: ...

    async def fetch_checkout_session(self, session_id: str) -> SessionFacts: ...


class SessionEndStep:
    """Kind `session_end`, subject: checkout id. A Session ends once, however often that is asked for: each try has a
    key of its own, so that none is answered with what Stripe remembers of an earlier one."""

    def __init__(self, store: Store, clock: Clock, ids: Ids, stripe: StripeSessions) -> None:
        self._store, self._clock, self._ids, self._stripe = store, clock, ids, stripe

    async def run(self, claim: Claim) -> Outcome:
        checkout_id, now = int(claim.subject), self._clock.now()
        session_id = await self._store.read(lambda conn: session_ends.to_be_ended(conn, checkout_id, now))
        if session_id is None:
            return Done()
        status = await self._end(session_id)
        if status == "open":
            return Again(STILL_OPEN_WAIT, f"Stripe has not ended {session_id}; its time ends it otherwise")
        if status == "complete":
            return Done()  # paid a moment before: its event tells; it buys what is left, else he gets his money back
        over = self._clock.now()
        return Done(lambda conn: abandon(conn, checkout_id, NOT_FOR_SALE, over))

    async def _end(self, session_id: str) -> str | None:
        """The Session's status now."""
        try:
            return (await self._stripe.expire_checkout_session(session_id, str(self._ids.uuid()))).status
        except (Rejected, OutcomeUnknown) as error:
            log.info("a Session was not ended", session=session_id, why=str(error))
        return (await self._stripe.fetch_checkout_session(session_id)).status

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
