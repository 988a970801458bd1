"""Asks Circle how it lists the NFT that came into the buyer's wallet. Nothing depends on the answer: it is for people
who look for the same thing in Circle's console."""

from contextlib import suppress
from datetime import timedelta
from typing import Literal, Protocol

from domain.errors import Rejected, Retryable
from domain.outcomes import Again, Commit, Done, Outcome, nothing
from gateways.circle_api import CircleTransaction, UserToken
from ports.clock import Clock
from storage.mints import mint_listing as rows
from storage.mints.mint_listing import Arrival
from storage.store import Store
from storage.work import Claim

FIRST_WAIT = timedelta(seconds=10)
LOOKED_FOR = timedelta(days=1)
"""After a day Circle will not list it any more; the id stays empty."""


class CircleListings(Protocol):
    async def user_token(self, user_id: str) -> UserToken: ...

    async def find_inbound(
        self, wallet_id: str, signature: str, token: UserToken | None = None
    ) -> CircleTransaction | None: ...


class MintListingStep:
    """Kind `mint_listing`, subject: purchase id. Never parked: what Circle doesn't tell stays empty."""

    def __init__(
        self, store: Store, clock: Clock, circle: CircleListings, user_wallets: Literal["user", "developer"]
    ) -> None:
        self._store, self._clock, self._circle, self._user_wallets = store, clock, circle, user_wallets

    async def run(self, claim: Claim) -> Outcome:
        purchase_id = int(claim.subject)
        arrival = await self._store.read(lambda conn: rows.unlisted(conn, purchase_id))
        if arrival is None:
            return Done()
        try:
            found = await self._find(arrival)
        except (Rejected, Retryable) as error:
            return self._later(arrival, str(error))
        if found is None:
            return self._later(arrival, "Circle does not list it yet")
        transaction_id, token_id = found.id, found.token_id
        return Done(lambda conn: rows.listed(conn, purchase_id, transaction_id, token_id))

    async def _find(self, arrival: Arrival) -> CircleTransaction | None:
        token = None
        if self._user_wallets == "user":
            with suppress(Rejected):  # a wallet of before, which we control: Circle has no such user
                token = await self._circle.user_token(arrival.user_uuid)
        return await self._circle.find_inbound(arrival.wallet_id, arrival.signature, token)

    def _later(self, arrival: Arrival, why: str) -> Outcome:
        """Ever more rarely: as long again as it has been."""
        age = self._clock.now() - arrival.minted_at
        return Done() if age > LOOKED_FOR else Again(max(FIRST_WAIT, age), why)

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
