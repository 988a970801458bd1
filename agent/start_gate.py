"""Before anything is signed or sent after a start: is there an outflow that the database does not know?

Stripe's missed events are fetched, Circle's outbound transactions are listed, the platform wallet's history is read,
and read again once nothing that an earlier process sent can still land. What is unknown is adopted by the payout it
fits; what fits none waits for a person, and until then nothing is sent. Webhooks and console work all the while.
"""

from collections.abc import Awaitable, Callable
from datetime import timedelta
from functools import partial

import structlog
from sqlalchemy import Connection

from agent.explaining import Explaining
from agent.gate_patience import GatePatience, Unplaced, passes
from agent.late_landings import Heights, LateLandings
from domain.errors import OutcomeUnknown, Rejected, Retryable
from domain.waits import look_again_after
from ports.clock import Clock
from ports.waking import Bell
from storage import inbox
from storage.mints import minting
from storage.payouts import transfers
from storage.recovery import adoption, gate_waits, races, wallet_looks
from storage.store import Store
from storage.treasury.outflows import orphans

log = structlog.get_logger(__name__)

LANDINGS, LOOKS = "transactions of an earlier process to land or expire", "looks for NFTs"
WALLETS = "looks at Circle for wallets that users got after this copy was made"
SOON_BLOCKS = 50
"""Before the end of the wait for late landings: what is explained after it is not explained right before it as well."""
LOOKED, LOOKED_MOST = timedelta(seconds=0.5), timedelta(minutes=1)
REFUNDS_SINCE = timedelta(days=1)
"""A restored database learns of refunds at its start: so long after, at most, it is looked which came after a mint. Of
one that is known to be restored all that it has learned of, until a gate opens on it."""
SALES_LOOKED_AT = 200
"""In one round, each by one question to the chain."""
ORDERS_LOOKED_AT = 100
"""In one round, each by a question to Circle at most."""


class StartGate:
    """`run` opens the gate and ends; `is_open` is asked by the lanes that sign and send.

    A check that breaks off goes on where it stopped, but for what may have changed since.
    """

    def __init__(
        self,
        store: Store,
        clock: Clock,
        sweep: Callable[[], Awaitable[int]],
        explaining: Explaining,
        heights: Heights,
        slot_seconds: Callable[[], float],
        wake: Callable[[], None],
    ) -> None:
        self._store, self._clock = store, clock
        self._sweep, self._explaining = sweep, explaining
        self._late = LateLandings(store, clock, heights, slot_seconds)
        self._wake = wake
        self._events_are_in = False
        """Events that come after the sweep find a daemon that listens."""
        self._prepared = False
        """What could be explained before the wait's end, was: only for speed, it is all asked for again."""
        self._nothing_lands = False
        """Of an earlier process: this one sends nothing yet."""
        self._looked_at: set[int] = set()
        self._orders_looked_at = 0
        self._bell = Bell(clock)
        self.is_open = False
        self.waits_for = "the start checks"

    def look_soon(self) -> None:
        """A person has acted: it may be what is waited for."""
        self._bell.ring()

    async def run(self) -> None:
        """Open the gate once everything is explained. Keeps trying while Stripe, Circle or the chain can't be read.

        Raises StartRefused for a database from before receipts that have since been closed.
        """
        why, patience = "", GatePatience(self._clock)
        while True:
            patience.begin()
            try:
                await self._check()
            except (Retryable, OutcomeUnknown, Rejected) as error:
                if why != str(error):
                    why = str(error)
                    log.warning("start gate waits", why=why)
                self.waits_for = why
                if not passes(error):
                    self._explaining.begin_anew()
                if await self._bell.wait(patience.seconds_after(error)):
                    patience.lose()
                continue
            self.is_open, self.waits_for = True, ""
            log.info("start gate open")
            self._wake()
            return

    async def _check(self) -> None:
        await self._begin_to_wait()
        if not self._events_are_in:
            await self._sweep()
            self._events_are_in = True
        await self._while(wallet_looks.is_looked_for, WALLETS)
        if not self._nothing_lands:
            await self._wait_out()
        await self._look_for_mints()
        left = [why for why in (await self._explaining.explain(), await self._unexplained()) if why is not None]
        if left:
            self._events_are_in = False  # a sale whose event was missed may be what was paid
            await self._look_for_orders()
            raise Unplaced("; ".join(left))
        self.waits_for = LANDINGS
        await self._late.end()
        now = self._clock.now()
        await self._store.write(lambda conn: gate_waits.opened(conn, now))

    async def _unexplained(self) -> str | None:
        found = await self._store.read(orphans)
        if not found:
            return None
        return (
            f"{len(found)} outflow(s) of the platform wallet fit no payout, the latest {found[0].signature}: a person "
            "must decide those that stay so for some minutes"
        )

    async def _begin_to_wait(self) -> None:
        """Skipped only where nothing was ever planned to be sent; events and looks may tell that it was."""
        if not self._nothing_lands and (await self._late.had_begun() or await self._store.read(_may_have_sent)):
            await self._late.begin()

    async def _wait_out(self) -> None:
        """Until what was signed before the start can't land any more. Mints are looked for again then: one may have
        landed meanwhile."""
        if not self._prepared and not await self._is_over_soon():
            await self._look_for_mints()
            await self._begin_to_wait()
            if self._late.has_begun:
                await self._explaining.explain()
            self._prepared = True
        if self._late.has_begun:
            self.waits_for = LANDINGS
            await self._late.pass_by()
            self._looked_at = await self._late.looked_at()
        self._nothing_lands = True

    async def _is_over_soon(self) -> bool:
        return self._late.has_begun and await self._late.left() <= SOON_BLOCKS

    async def _look_for_mints(self) -> None:
        """Have it looked, once for each, whether paid sales without an NFT have one on chain, and wait until it was:
        their creators are due then, an outflow may be what they were paid, and their editions' numbers are taken. What
        Stripe has told is worked on before: whose money went back needs no edition. Whether the loser of a race has an
        NFT must be known: else it would be minted for another one too."""
        begun = self._clock.now()
        await self._while(partial(inbox.is_unread, until=begun), "events of before the start to be worked on")
        while asked := await self._unlooked():
            await self._store.write(partial(minting.look_for, purchase_ids=asked, now=self._clock.now()))
            self._wake()
            await self._while(minting.is_looked_for, LOOKS)
            self._looked_at.update(asked)
            if self._nothing_lands:
                await self._late.keep_looked_at(self._looked_at)
        await self._while(lambda conn: minting.is_looked_for(conn) or races.is_unknown(conn), LOOKS)

    async def _while(self, holds: Callable[[Connection], bool], what: str) -> None:
        """Others are at it; the longer that takes, the more rarely it is looked."""
        begun, before = self._clock.monotonic(), self.waits_for
        while await self._store.read(holds):
            self.waits_for = what
            taken = timedelta(seconds=self._clock.monotonic() - begun)
            await self._clock.sleep(look_again_after(taken, LOOKED, LOOKED_MOST).total_seconds())
        self.waits_for = before

    async def _look_for_orders(self) -> None:
        """Have it looked what became of orders that are on their way: their own steps wait for this gate, and it may
        wait for them. Some at a time, the first ones again after the last."""
        above, now = self._orders_looked_at, self._clock.now()
        find = partial(transfers.look_for, above=above, limit=ORDERS_LOOKED_AT, now=now)
        self._orders_looked_at = await self._store.write(find)
        self._wake()

    async def _unlooked(self) -> list[int]:
        usual = self._clock.now() - REFUNDS_SINCE

        def find(conn: Connection) -> list[int]:
            since = min(usual, gate_waits.closed_since_restored(conn) or usual)
            return minting.paid_without_nft(conn) + races.losers(conn) + races.refunded_since(conn, since)

        unminted = await self._store.read(find)
        return [sale for sale in unminted if sale not in self._looked_at][:SALES_LOOKED_AT]


def _may_have_sent(conn: Connection) -> bool:
    """Whether something of an earlier process may still land: it sent before, or somebody had raced for an edition."""
    return adoption.has_ever_sent(conn) or bool(races.losers(conn))
