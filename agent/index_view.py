"""What the operator sees of the indexer, put together from its parts and its rows."""

from sqlalchemy import Connection

from agent.web.index_bodies import BackfillRow, EndpointRow, FactRow, IndexStatus, TrackRow
from domain.ledger import Asset
from domain.money import format_sol, format_usdc
from indexer.fast_path import FastPath
from indexer.rpc.pool import RpcPool
from indexer.rpc.values import EndpointHealth
from indexer.treasury.backfill import Backfill, BackfillState
from indexer.treasury.follower import TreasuryFollower
from indexer.treasury.tracks import Track
from ports.clock import Clock
from storage.mints import nft_holdings
from storage.store import Store
from storage.treasury import chain_rows, deposits, movement_rows
from storage.treasury.chain_facts import known_facts


class IndexView:
    """The port of `agent/web/admin/index.py`; the commands use it without a daemon too."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        rpc: RpcPool,
        follower: TreasuryFollower,
        backfill: Backfill,
        fast_path: FastPath | None = None,
    ) -> None:
        self._store, self._clock, self._rpc = store, clock, rpc
        self._follower, self._backfill, self._fast_path = follower, backfill, fast_path

    async def start_backfill(self, from_signature: str | None) -> BackfillRow:
        """Raises Rejected, or Retryable while the chain can't be read."""
        return backfill_row(await self._backfill.start(from_signature))

    async def status(self) -> IndexStatus:
        return await self._store.read(self._status)

    def _status(self, conn: Connection) -> IndexStatus:
        nfts, state = nft_holdings.counts(conn), self._backfill.state
        return IndexStatus(
            now=self._clock.now(),
            finalized_slot=self._rpc.finalized_slot,
            slot_ms=round(self._rpc.pace.seconds * 1000),
            websocket=None if self._fast_path is None else self._fast_path.is_live,
            trouble=self._rpc.trouble(),
            endpoints=[_endpoint(health) for health in self._rpc.health()],
            tracks=[_track(conn, track) for track in self._follower.tracks],
            signatures=chain_rows.open_watches_by_state(conn),
            facts=[
                FactRow(name=fact.name, value=fact.value, seen_at=fact.seen_at, changed_at=fact.changed_at)
                for fact in known_facts(conn)
            ],
            nfts=nfts.minted,
            nfts_transferred=nfts.transferred,
            nfts_oldest_look_due_at=nfts.oldest_due_at,
            deposits_unexplained=format_usdc(deposits.unexplained_total(conn)),
            backfill=None if state is None else backfill_row(state),
        )


def backfill_row(state: BackfillState) -> BackfillRow:
    return BackfillRow(
        from_signature=state.from_signature,
        started_at=state.started_at,
        finished_at=state.finished_at,
        total=state.total,
        read=state.read,
        booked=state.booked,
        error=state.error,
    )


def _endpoint(health: EndpointHealth) -> EndpointRow:
    return EndpointRow(
        label=health.label,
        weight=health.weight,
        is_well=health.is_well,
        lag_slots=health.lag_slots,
        error_rate=round(health.error_rate, 3),
        latency_ms=round(health.latency_seconds * 1000),
        calls=health.calls,
        excluded=health.excluded,
    )


def _track(conn: Connection, track: Track) -> TrackRow:
    at, read = chain_rows.cursor(conn, track.name), chain_rows.reading(conn, track.name)
    shown = format_usdc if track.asset is Asset.USDC else format_sol
    return TrackRow(
        name=track.name,
        address=track.address,
        signature=None if at is None else at.value,
        slot=None if at is None else at.position,
        moved_at=chain_rows.moved_at(conn, track.name),
        booked=shown(movement_rows.movement_sum(conn, track.address, track.asset)),
        on_chain=None if read is None else shown(read.amount),
    )
