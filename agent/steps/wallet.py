"""Gives a user a Circle wallet, of either kind. Signing up only queued this; nobody waits for it.

`developer`: one call. `user`: the Circle user, then the initialize challenge that the user completes with his PIN in
Circle's own client; the wallet is found by notification or by polling, whichever is first.
"""

from collections.abc import Sequence
from datetime import timedelta
from typing import Any, Protocol
from uuid import UUID

from sqlalchemy import Connection, Row

from domain.errors import Rejected
from domain.keys import KEY_TRUSTED_FOR, wallet_key
from domain.outcomes import Again, Commit, Done, Outcome
from domain.states import WalletState
from domain.waits import look_again_after
from gateways.circle_api import AlreadyInitialized, ChallengeFacts, UserFacts, UserToken, WalletFacts
from ports.clock import Clock
from storage.people import wallets as rows
from storage.store import Store
from storage.work import Claim

POLL, POLL_MOST = timedelta(seconds=2), timedelta(minutes=10)
"""A user at his screen completes the PIN within minutes; later the notification or a slow poll finds it, and opening
its window again brings one. Many never do, and each look is three calls."""
POLL_FORGOTTEN = timedelta(hours=1)
FORGOTTEN_AFTER = timedelta(days=1)
APPEARS_WITHIN = timedelta(minutes=10)
"""The wallet of a user whom Circle calls set up: it is listed a moment after his PIN."""
ENDED = frozenset({"FAILED", "EXPIRED", "MISSING", "INVALID"})


class CircleWallets(Protocol):
    async def create_wallet(
        self, key: UUID, wallet_set_id: str, blockchain: str, ref_id: str, name: str
    ) -> WalletFacts: ...

    async def list_wallets(self, *, ref_id: str) -> Sequence[WalletFacts]: ...

    async def create_user(self, user_id: str) -> UserFacts: ...

    async def user_token(self, user_id: str) -> UserToken: ...

    async def initialize_user(self, token: UserToken, key: UUID, blockchain: str) -> str | AlreadyInitialized: ...

    async def create_user_wallet(self, token: UserToken, key: UUID, blockchain: str) -> str: ...

    async def user_wallets(self, token: UserToken) -> Sequence[WalletFacts]: ...

    async def fetch_challenge(self, token: UserToken, challenge_id: str) -> ChallengeFacts: ...


class WalletStep:
    """Kind `wallet`, subject: user id. `kind` is the setting `user_wallets`."""

    def __init__(
        self, store: Store, clock: Clock, circle: CircleWallets, kind: str, wallet_set_id: str, blockchain: str
    ) -> None:
        self._store, self._clock, self._circle = store, clock, circle
        self._kind, self._wallet_set_id, self._blockchain = kind, wallet_set_id, blockchain

    async def run(self, claim: Claim) -> Outcome:
        user_id = int(claim.subject)
        user = await self._store.read(lambda conn: rows.user(conn, user_id))
        if user.wallet_state in (WalletState.READY, WalletState.NONE):
            return Done()
        if self._kind == "developer":
            return await self._create(user, claim)
        if user.wallet_state == WalletState.CHALLENGE:
            return await self._look(user, claim)
        return await self._challenge(user)

    async def _create(self, user: Row[Any], claim: Claim) -> Outcome:
        if self._clock.now() - claim.created_at > KEY_TRUSTED_FOR:
            for wallet in await self._circle.list_wallets(ref_id=user.uuid):
                if wallet.blockchain == self._blockchain and wallet.state == "LIVE":
                    return self._ready(user.id, wallet)
        key = wallet_key("developer", UUID(user.uuid), user.wallet_attempt)
        name = f"user {user.uuid[:8]}"
        wallet = await self._circle.create_wallet(key, self._wallet_set_id, self._blockchain, user.uuid, name)
        if wallet.ref_id != user.uuid or wallet.blockchain != self._blockchain:
            raise Rejected("foreign_wallet", f"Circle answered with wallet {wallet.id} of {wallet.ref_id}")
        return self._ready(user.id, wallet)

    async def _challenge(self, user: Row[Any]) -> Outcome:
        await self._circle.create_user(user.uuid)
        token = await self._circle.user_token(user.uuid)
        key = wallet_key("user", UUID(user.uuid), user.wallet_attempt)
        answer = await self._circle.initialize_user(token, key, self._blockchain)
        challenge_id = None if isinstance(answer, AlreadyInitialized) else answer
        now = self._clock.now()
        return Again(
            POLL,
            "waits for the user's PIN",
            commit=lambda conn: rows.challenged(conn, user.id, challenge_id, now),
        )

    async def _look(self, user: Row[Any], claim: Claim) -> Outcome:
        token = await self._circle.user_token(user.uuid)
        for wallet in await self._circle.user_wallets(token):
            if wallet.blockchain == self._blockchain and wallet.state == "LIVE":
                return self._ready(user.id, wallet)
        now = self._clock.now()
        if user.wallet_challenge_id is not None:
            challenge = await self._circle.fetch_challenge(token, user.wallet_challenge_id)
            if challenge.status in ENDED:
                why = f"the challenge is {challenge.status}"
                return Again(
                    timedelta(0), why, counts=True, commit=lambda conn: rows.challenge_lapsed(conn, user.id, why, now)
                )
        taken = now - claim.created_at
        if user.wallet_challenge_id is None and taken >= APPEARS_WITHIN:
            return await self._challenge_anew(user, token)
        most = POLL_MOST if taken < FORGOTTEN_AFTER else POLL_FORGOTTEN
        return Again(look_again_after(taken, POLL, most), "waits for the user's PIN")

    async def _challenge_anew(self, user: Row[Any], token: UserToken) -> Outcome:
        """For a user with a PIN and without a wallet: his first set-up stopped between the two."""
        key = wallet_key("user wallet", UUID(user.uuid), user.wallet_attempt)
        challenge_id = await self._circle.create_user_wallet(token, key, self._blockchain)
        now = self._clock.now()

        def commit(conn: Connection) -> None:
            rows.challenge_lapsed(conn, user.id, "set up before, and there is no wallet", now)
            rows.challenged(conn, user.id, challenge_id, now)

        return Again(POLL, "waits for the user's PIN", commit=commit)

    def _ready(self, user_id: int, wallet: WalletFacts) -> Outcome:
        now = self._clock.now()
        return Done(lambda conn: rows.ready(conn, user_id, wallet.id, wallet.address, now))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        now = self._clock.now()
        return lambda conn: rows.failed(conn, int(claim.subject), f"{code}: {why}"[:500], now)
