"""Asks Circle, after a restore, for the wallet of a user from before whom it knows, and who has none by these rows."""

from collections.abc import Sequence
from typing import Protocol

from domain.errors import looking_up
from domain.outcomes import Commit, Done, Outcome, nothing
from domain.states import WalletState
from gateways.circle_api import UserToken, WalletFacts
from ports.clock import Clock
from storage.people import wallets
from storage.recovery import wallet_looks
from storage.store import Store
from storage.work import Claim


class KnownWallets(Protocol):
    """All raise Retryable or Rejected."""

    async def list_wallets(self, *, ref_id: str) -> Sequence[WalletFacts]: ...

    async def is_user(self, user_id: str) -> bool: ...

    async def user_token(self, user_id: str) -> UserToken: ...

    async def user_wallets(self, token: UserToken) -> Sequence[WalletFacts]: ...


class WalletLookStep:
    """Kind `wallet_look`, subject: user id. Nothing is made at Circle. `kind` is the setting `user_wallets`."""

    def __init__(self, store: Store, clock: Clock, circle: KnownWallets, kind: str, blockchain: str) -> None:
        self._store, self._clock, self._circle = store, clock, circle
        self._kind, self._blockchain = kind, blockchain

    async def run(self, claim: Claim) -> Outcome:
        """While Circle can't be asked, nobody is paid: it is asked until it can."""
        with looking_up(may_have_happened=True):
            return await self._look(claim)

    async def _look(self, claim: Claim) -> Outcome:
        user_id, now = int(claim.subject), self._clock.now()
        user = await self._store.read(lambda conn: wallets.user(conn, user_id))
        if user.wallet_state != WalletState.NONE:
            return Done()
        known = await self._known(user.uuid)
        if known is None:
            return Done()
        live = [one for one in known if one.blockchain == self._blockchain and one.state == "LIVE"]
        if not live:
            return Done(lambda conn: wallet_looks.asked_before(conn, user_id, now))
        return Done(lambda conn: wallet_looks.found(conn, user_id, live[0].id, live[0].address, now))

    async def _known(self, uuid: str) -> Sequence[WalletFacts] | None:
        """His wallets; None where Circle does not know him."""
        if self._kind == "developer":
            return await self._circle.list_wallets(ref_id=uuid) or None
        if not await self._circle.is_user(uuid):
            return None
        return await self._circle.user_wallets(await self._circle.user_token(uuid))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing
