"""What the wallet holds by the word of each endpoint, held against what is booked of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog
from sqlalchemy import Connection

from domain.ledger import Asset
from indexer.rpc.pool import RpcPool
from indexer.rpc.testimony import Testimony
from indexer.rpc.values import Amount, Holdings
from indexer.treasury.tracks import Tracks
from ports.clock import Clock
from storage.store import Store
from storage.treasury.chain_rows import record_reading
from storage.treasury.movement_rows import movement_sum_at

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Comparison:
    """`gaps`: by asset, what the wallet held at a slot minus what is booked up to that slot, by the word of the
    endpoint that differs most. `lasts`: there is one, as there was when they were last compared."""

    gaps: Mapping[Asset, int]
    lasts: bool


class Balances:
    """Balances of one look are compared at a later one, when the history is read as far as they are old."""

    def __init__(self, store: Store, rpc: RpcPool, clock: Clock, tracks: Tracks) -> None:
        self._store, self._rpc, self._clock, self._tracks = store, rpc, clock, tracks
        self._held: Sequence[Testimony[Holdings]] = ()
        self.gaps: Mapping[Asset, int] = {}
        """Those found last; empty before there were balances to compare."""

    async def compare(self, slot: int) -> Comparison | None:
        """Hold the balances of an earlier look against the history, which is read up to `slot` now. Those of each
        endpoint: one that leaves a movement out of its list may tell the balance of before as well. None where the
        history is from another node, which lags."""
        held = [one for one in self._held if one.answer.slot <= slot]
        if self._held and not held:
            return None
        found = await self._store.read(lambda conn: [self._gaps_at(conn, one.answer) for one in held])
        gaps = {track.asset: max((one[track.asset] for one in found), key=abs) for track in self._tracks if found}
        self._held = await self.read()
        lasts = any(gaps.values()) and gaps == self.gaps
        if lasts:
            by = [one.label for one, told in zip(held, found, strict=True) if any(told.values())]
            _log.error("treasury_differs_from_chain", usdc=gaps[Asset.USDC], lamports=gaps[Asset.SOL], endpoints=by)
        self.gaps = gaps
        return Comparison(gaps, lasts)

    async def read(self) -> Sequence[Testimony[Holdings]]:
        """Store the finalized balances, by the first endpoint that answers, for display and alerts."""
        usdc, sol = self._tracks
        told = await self._rpc.hear(lambda node: node.get_holdings(sol.address, usdc.address))
        held, now = told[0].answer, self._clock.now()

        def store(conn: Connection) -> None:
            record_reading(conn, usdc.name, held.tokens, held.slot, now)
            record_reading(conn, sol.name, held.lamports, held.slot, now)

        await self._store.write(store)
        return told

    async def usdc_lacking(self, held: Sequence[Amount]) -> int:
        """Base units that the account lacks of what is booked, by the endpoint that tells of the least."""
        account = self._tracks.usdc.address

        def lacking(conn: Connection) -> list[int]:
            return [movement_sum_at(conn, account, Asset.USDC, one.slot) - one.amount for one in held]

        return max(0, *await self._store.read(lacking))

    def _gaps_at(self, conn: Connection, held: Holdings) -> dict[Asset, int]:
        told = {Asset.USDC: held.tokens, Asset.SOL: held.lamports}
        return {
            one.asset: told[one.asset] - movement_sum_at(conn, one.address, one.asset, held.slot)
            for one in self._tracks
        }
