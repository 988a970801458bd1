"""Keeps the metrics of the database fresh: every 15 seconds, and when somebody scrapes."""

import asyncio
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import structlog
from sqlalchemy import Connection

from domain.realtime import WHY, Backlog
from domain.states import BatchStatus
from metrics import Metrics
from ports.clock import Clock
from storage.engines.database_file import footprint
from storage.errors import StoreUnavailable
from storage.reading import probes, vitals
from storage.reading.changes import Changes, changes_since, last_change
from storage.reading.probes import Balance, Payable, Readings
from storage.reading.vitals import Vitals
from storage.store import Store

log = structlog.get_logger(__name__)

INTERVAL_SECONDS = 15.0
"""The usual interval of scrapes."""
FRESH_SECONDS = 5.0
"""A scrape that comes sooner after the last look gets its figures: several scrapers cost one look."""

ANY_TIME = Payable()


class Probe:
    """`run` until cancelled. Below `usdc_least` (base units) and `sol_least` (lamports) the balances alert;
    `wallet_wait` is how long a paid purchase may wait for its buyer's wallet; `payable` says from when on plans take a
    sale; `database` is SQLite's file; `realtime` reads what real-time payout leaves to the weekly batch."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        metrics: Metrics,
        *,
        usdc_least: int,
        sol_least: int,
        wallet_wait: timedelta,
        payable: Payable = ANY_TIME,
        database: Path | None = None,
        realtime: Callable[[Connection], Backlog | None] | None = None,
    ) -> None:
        self._store, self._clock, self._metrics = store, clock, metrics
        self._usdc_least, self._sol_least = usdc_least, sol_least
        self._wallet_wait, self._payable = wallet_wait, payable
        self._database, self._realtime = database, realtime
        self._lock = asyncio.Lock()
        self._last_id: int | None = None
        self._looked_at: float | None = None

    async def run(self) -> None:
        while True:
            await self.refresh()
            await self._clock.sleep(INTERVAL_SECONDS)

    async def scrape(self) -> bytes:
        """What Prometheus reads, from figures at most FRESH_SECONDS old unless the database is away."""
        if self._looked_at is None or self._clock.monotonic() - self._looked_at >= FRESH_SECONDS:
            await self.refresh()
        return self._metrics.render()

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

        def look(conn: Connection) -> tuple[Readings, datetime | None, Vitals, Changes | int, Backlog | None]:
            found = probes.read(conn, now - self._wallet_wait)
            late = probes.oldest_late(conn, self._payable, now)
            changed = last_change(conn) if after is None else changes_since(conn, after, now)
            backlog = None if self._realtime is None else self._realtime(conn)
            return found, late, vitals.read(conn, now), changed, backlog

        readings, late, vital, changes, backlog = await self._store.read(look)
        if isinstance(changes, int):
            self._last_id = changes
        else:
            self._last_id = changes.last_id
            self._count(changes)
        self._show(readings, late, now)
        self._show_vitals(vital, now)
        self._show_realtime(backlog)
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

    def _show(self, readings: Readings, late: datetime | None, now: datetime) -> None:
        metrics = self._metrics
        metrics.queue(
            {(one.kind, one.state): (one.rows, _age(one.oldest_at, now)) for one in readings.queues},
            {one.kind: _age(one.due_at, now) for one in readings.queues if one.state == "due"},
        )
        oldest = readings.oldest_unpaid_at
        metrics.unpaid(
            {state: (unpaid.rows, unpaid.amount) for state, unpaid in readings.unpaid.items()},
            0.0 if oldest is None else _age(oldest, now),
            0.0 if late is None else _age(late, now),
        )
        metrics.batch_statuses({status.value: rows for status, rows in readings.batches.items()})
        metrics.waiting_for_wallet(readings.waiting_for_wallet, readings.waiting_too_long)
        metrics.platform_usdc(*_balance(readings.usdc, now), self._usdc_least)
        metrics.platform_sol(*_balance(readings.sol, now), self._sol_least)
        metrics.ledger_imbalance({asset.value: amount for asset, amount in readings.imbalance.items()})
        metrics.orphan_outflows(readings.orphans)

    def _show_vitals(self, vital: Vitals, now: datetime) -> None:
        metrics, since = self._metrics, vital.batches_since
        waiting = [status for status in BatchStatus if status != BatchStatus.SETTLED]
        metrics.batch_waits({status.value: _age(since.get(status, now), now) for status in waiting}, vital.short)
        metrics.minting(0.0 if vital.minting_since is None else _age(vital.minting_since, now))
        metrics.sends_paused(vital.sends_paused)
        metrics.orders_held(vital.orders_held)
        metrics.unknown_outcomes({kind: (one.rows, _age(one.oldest_at, now)) for kind, one in vital.unproven.items()})
        last = vital.reconciled
        metrics.reconciled(None if last is None else last.at.timestamp(), {} if last is None else last.findings)
        metrics.stripe_health(vital.stripe_balance, vital.stripe_webhook)
        metrics.last_done(_timestamp(vital.swept_at), _timestamp(vital.backed_up_at))
        place = None if self._database is None else footprint(self._database)
        metrics.database(vital.size_bytes, *((None, None) if place is None else (place.wal, place.free)))

    def _show_realtime(self, backlog: Backlog | None) -> None:
        found = {bar.value: (0, 0) for bar in WHY}
        if backlog is not None and backlog.why is not None:
            found[backlog.why.value] = backlog.left.payouts, backlog.left.amount
        self._metrics.realtime_waits(found)


def _timestamp(moment: datetime | None) -> float | None:
    return None if moment is None else moment.timestamp()


def _age(moment: datetime, now: datetime) -> float:
    return max(0.0, (now - moment).total_seconds())


def _balance(balance: Balance | None, now: datetime) -> tuple[int | None, float]:
    return (None, 0.0) if balance is None else (balance.amount, _age(balance.read_at, now))
