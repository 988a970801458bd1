"""Keeps the metrics of the database fresh: every 15 seconds, and when somebody scrapes."""

import asyncio
from datetime import datetime, timedelta

import structlog
from sqlalchemy import Connection

from metrics import CONTENT_TYPE, Metrics
from ports.clock import Clock
from storage import probes
from storage.errors import StoreUnavailable
from storage.probes import Balance, Changes, Readings
from storage.store import Store

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 15.0
"""The usual interval of scrapes."""
FRESH_SECONDS = 5.0
"""A scrape that comes sooner after the last look gets its figures: several scrapers cost one look."""


class Probe:
    """`run` until cancelled. `threshold` in USDC base units; `wallet_wait` is how long a paid purchase may wait for its
    buyer's wallet."""

    def __init__(self, store: Store, clock: Clock, metrics: Metrics, *, threshold: int, wallet_wait: timedelta) -> None:
        self._store, self._clock, self._metrics = store, clock, metrics
        self._threshold, self._wallet_wait = threshold, wallet_wait
        self._lock = asyncio.Lock()
        self._last_id: int | None = None
        self._looked_at: float | None = None

    async def run(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(INTERVAL_SECONDS)

    async def scrape(self) -> tuple[bytes, str]:
        """Body and content type for Prometheus, from figures at most FRESH_SECONDS old unless the database is away."""
        if self._looked_at is None or self._clock.monotonic() - self._looked_at >= FRESH_SECONDS:
            await self.refresh()
        return self._metrics.render(), CONTENT_TYPE

    async def refresh(self) -> None:
        """Read the database and set everything. While it can't be used the figures stay, and their age shows."""
        async with self._lock:
            try:
                await self._look()
            except StoreUnavailable as error:
                log.warning("no figures from the database", error=str(error))
                self._metrics.probe_failed()

    async def _look(self) -> None:
        now = self._clock.now()
        after = self._last_id

        def look(conn: Connection) -> tuple[Readings, Changes | int]:
            found = probes.read(conn, now - self._wallet_wait)
            return found, probes.last_change(conn) if after is None else probes.changes(conn, after, now)

        readings, changes = await self._store.read(look)
        if isinstance(changes, int):
            self._last_id = changes
        else:
            self._last_id = changes.last_id
            self._count(changes)
        self._show(readings, now)
        self._looked_at = self._clock.monotonic()
        self._metrics.probed(now.timestamp())

    def _count(self, changes: Changes) -> None:
        metrics = self._metrics
        for (machine, state), count in changes.states.items():
            metrics.state_changed(machine, state, count)
        metrics.wallets_ended(changes.wallets.success, changes.wallets.failure)
        metrics.mints_ended(changes.mints.success, changes.mints.failure)
        metrics.payouts_ended(changes.payouts.success, changes.payouts.failure)
        for seconds in changes.lags:
            metrics.distributed_after(seconds)
        for lamports in changes.mint_costs:
            metrics.network_cost("mint", lamports)
        for lamports in changes.payout_costs:
            metrics.network_cost("payout", lamports)

    def _show(self, readings: Readings, now: datetime) -> None:
        metrics = self._metrics
        metrics.queue(
            {(one.kind, one.state): (one.rows, _age(one.oldest_at, now)) for one in readings.queues},
            {one.kind: _age(one.due_at, now) for one in readings.queues if one.state == "due"},
        )
        oldest = readings.oldest_unpaid_at
        metrics.unpaid(
            {state: (unpaid.rows, unpaid.amount) for state, unpaid in readings.unpaid.items()},
            0.0 if oldest is None else _age(oldest, now),
        )
        metrics.batch_statuses({status.value: rows for status, rows in readings.batches.items()})
        metrics.waiting_for_wallet(readings.waiting_for_wallet, readings.waiting_too_long)
        metrics.platform_usdc(*_balance(readings.usdc, now), self._threshold)
        metrics.platform_sol(*_balance(readings.sol, now))
        metrics.ledger_imbalance({asset.value: amount for asset, amount in readings.imbalance.items()})
        metrics.orphan_outflows(readings.orphans)


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _balance(balance: Balance | None, now: datetime) -> tuple[int | None, float]:
    return (None, 0.0) if balance is None else (balance.amount, _age(balance.read_at, now))
