"""Who has lost the race for a last edition: asked of the chain, before anybody's money goes back and before the start
gate opens."""

from collections.abc import Callable
from datetime import timedelta
from typing import Protocol

import structlog

from domain.errors import looking_up
from domain.outcomes import Again, Commit, Outcome
from domain.waits import look_again_after
from ports.clock import Clock
from storage.mints.minting import look_for
from storage.recovery import races
from storage.store import Store
from storage.work import Claim, fenced

log = structlog.get_logger(__name__)

GATE_WAIT, GATE_WAIT_MOST = timedelta(seconds=30), timedelta(minutes=10)
"""A gate that waits for a person may wait for days."""
LOOK_AGAIN = timedelta(minutes=5)


class Makers(Protocol):
    async def maker_of(self, mint_address: str) -> str | None:
        """Signature of the finalized transaction that made the account; None when two endpoints say there is none."""
        ...


class Races:
    """Settles a loser whose NFT exists; says whether one may be given his money back."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        witness: Makers,
        address_of: Callable[[str], str],
        is_open: Callable[[], bool],
    ) -> None:
        """`address_of` a sale's payment_intent: where its NFT is; `is_open`: the start gate."""
        self._store, self._clock, self._witness = store, clock, witness
        self._address_of, self._is_open = address_of, is_open

    async def is_undecided(self, claim: Claim) -> Outcome | None:
        """What a loser's refund, whose job is claimed, waits for; None where it needs to wait for nothing."""
        purchase_id = int(claim.subject)
        payment = await self._store.read(lambda conn: races.payment_of_loser(conn, purchase_id))
        if payment is None:
            return None
        if not self._is_open():
            waited = self._clock.now() - claim.created_at
            wait = look_again_after(waited, GATE_WAIT, GATE_WAIT_MOST)
            return Again(wait, "the start gate may still find its NFT")
        if await self._maker(payment) is None:
            return None
        now = self._clock.now()
        look: Commit = lambda conn: look_for(conn, [purchase_id], now)  # noqa: E731
        return Again(LOOK_AGAIN, "its NFT is on chain: an edition is looked for", commit=look)

    async def settle(self, claim: Claim) -> Outcome | None:
        """Give an edition to a loser, or a refunded sale, whose NFT exists. None where there is nothing to settle, or
        it is settled."""
        purchase_id = int(claim.subject)
        payment = await self._store.read(lambda conn: races.payment_without_edition(conn, purchase_id))
        maker = None if payment is None else await self._maker(payment)
        if maker is None:
            return None
        if await self._let_win(claim, None, maker):
            return None
        for rival, payment in await self._store.read(lambda conn: races.rivals(conn, purchase_id)):
            if await self._maker(payment) is None and await self._let_win(claim, rival, maker):
                return None
        return Again(LOOK_AGAIN, f"its NFT was made by {maker}, and every edition is another sale's", counts=True)

    async def _let_win(self, claim: Claim, rival: int | None, maker: str) -> bool:
        """With an edition that is left, or the rival's. False where there is none: another one may have taken it."""
        purchase_id, now = int(claim.subject), self._clock.now()
        win = fenced(claim, lambda conn: races.let_win(conn, purchase_id, rival, maker, now))
        given = await self._store.write(win)
        if given:
            log.warning("a sale without an edition has its NFT", purchase=purchase_id, rival=rival, maker=maker)
        return given

    async def _maker(self, payment_intent_id: str) -> str | None:
        with looking_up(may_have_happened=True):
            return await self._witness.maker_of(self._address_of(payment_intent_id))
