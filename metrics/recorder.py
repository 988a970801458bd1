"""What the rooms call when something happened. Every method is quick, never waits and never raises."""

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from metrics.edge import OUTCOMES_MOST, EdgeMetrics
from metrics.families import Families
from metrics.labels import OTHER, Bounded, OneOf

KINDS_MOST = 48
"""More kinds of work than the program has."""
STATES_MOST = 96
"""More machines and states than the program has."""
METHODS_MOST = 64
"""More JSON-RPC methods than a node has."""
SUCCESS, FAILURE = "success", "failure"
S = TypeVar("S", Counter, Histogram)
_SERVICES = OneOf("circle", "circle_mint", "stripe", "rpc", "chat")
FACTS = (
    *("genesis_hash", "slot_ms", "rent_lamports", "fee_lamports", "transaction_version"),
    *("usdc_decimals", "usdc_freeze_authority", "usdc_frozen"),
)
_FACTS = OneOf(*FACTS)
PURPOSES = ("mint", "payout")
"""Of our transactions that cost something."""
_PURPOSES = OneOf(*PURPOSES)
ON_CHAIN = ("usdc_base_units", "lamports")
"""The assets of the platform wallet."""
_ENDPOINT = re.compile(r"rpc([0-9]{1,2})\b", re.ASCII)


class Metrics(EdgeMetrics):
    """Of the daemon. `services` maps hosts (`host` or `host:port`) of outgoing calls to `circle`, `circle_mint`,
    `stripe`, `rpc` or `chat`; others are `other`, so that no URL with a provider's key becomes a label."""

    def __init__(self, services: Mapping[str, str] | None = None) -> None:
        self._families = Families(CollectorRegistry())
        super().__init__(self._families)
        self._services = dict(services or {})
        self._kind, self._outcome = Bounded(KINDS_MOST), Bounded(OUTCOMES_MOST)
        self._method, self._state = Bounded(METHODS_MOST), Bounded(STATES_MOST)
        self._queues: set[tuple[str, str]] = set()
        self._series: dict[tuple[object, tuple[str, ...]], Any] = {}
        self._unproven: set[str] = set()
        self._begin()

    def _begin(self) -> None:
        """Series that alerts need from the first scrape on: what was never counted is 0, what was never read is NaN."""
        families = self._families
        for outcomes in (families.wallets, families.mints, families.payouts):
            for outcome in (SUCCESS, FAILURE):
                outcomes.labels(outcome)
        for fact in FACTS:
            families.fact_changes.labels(fact)
        for purpose in PURPOSES:
            families.costs.labels(purpose)
        unread_files = (families.swept_at, families.backed_up_at, families.wal_size, families.disk_free)
        gaps = (families.treasury_gap.labels(asset) for asset in ON_CHAIN)
        unread_books = (families.reconciled_at, families.stripe_balance, families.stripe_webhook)
        for unread in (families.usdc, families.sol, families.usdc_low, *gaps, *unread_files, *unread_books):
            unread.set(math.nan)

    def _at_hand(self, family: S, *labels: str) -> S:
        """One series, by labels that have an end: looking it up in its family costs more than counting."""
        series: S | None = self._series.get((family, labels))
        if series is None:
            series = self._series[family, labels] = family.labels(*labels)
        return series

    def _endpoint(self, label: str) -> str:
        """Of the label (`rpc2 (host)`) only the number is kept: hosts may hold keys."""
        match = _ENDPOINT.match(label)
        return OTHER if match is None else match.group(1)

    # --- told by the rooms ----------------------------------------------------------------------------------------

    def step_finished(self, kind: str, outcome: str, seconds: float) -> None:
        """The worker's observer: one run of a step (`done`, `again`, `unknown`, `refused`, `lost`)."""
        kind = self._kind(kind)
        self._at_hand(self._families.step_runs, kind, self._outcome(outcome)).inc()
        self._at_hand(self._families.step_seconds, kind).observe(seconds)

    def http_call(self, host: str, outcome: str, seconds: float) -> None:
        """The transport's observer: one outgoing call."""
        service = _SERVICES(self._services.get(host, OTHER))
        self._at_hand(self._families.calls, service, self._outcome(outcome)).inc()
        self._at_hand(self._families.call_seconds, service).observe(seconds)

    def key_refused(self, service: str, refused: bool) -> None:
        """Whether a service refuses our key."""
        self._families.key_refused.labels(_SERVICES(service)).set(int(refused))

    def clock_skew(self, seconds: float) -> None:
        """Of our clock against the others', ahead is positive."""
        self._families.clock_skew.set(seconds)

    def rpc_call(self, label: str, method: str, seconds: float, outcome: str) -> None:
        """The RPC pool's observer."""
        endpoint = self._endpoint(label)
        self._at_hand(self._families.rpc_calls, endpoint, self._method(method), self._outcome(outcome)).inc()
        self._at_hand(self._families.rpc_seconds, endpoint).observe(seconds)

    def rpc_disbelieved(self, label: str) -> None:
        """An endpoint showed a slot where the chain can't be."""
        self._at_hand(self._families.rpc_disbelieved, self._endpoint(label)).inc()

    def websocket(self, connected: bool, made: int) -> None:
        """Whether the fast path's connection stands; how many were made since the start."""
        self._families.socket_connected.set(connected)
        self._families.socket_connections.set(made)

    def endpoint_health(self, number: int, *, lag_slots: int, error_rate: float, is_well: bool) -> None:
        """One RPC endpoint, by its place in the settings."""
        endpoint = str(number)
        self._families.endpoint_lag.labels(endpoint).set(lag_slots)
        self._families.endpoint_errors.labels(endpoint).set(error_rate)
        self._families.endpoint_well.labels(endpoint).set(is_well)

    def chain_facts(
        self,
        *,
        slot_seconds: float,
        rent_lamports: int,
        fee_lamports: int,
        transaction_version: int,
        usdc_decimals: int,
        usdc_frozen: bool,
        at_timestamp_seconds: float,
    ) -> None:
        """What the chain was found to be like."""
        families = self._families
        families.slot_seconds.set(slot_seconds)
        families.rent.set(rent_lamports)
        families.fee.set(fee_lamports)
        families.transaction_version.set(transaction_version)
        families.usdc_decimals.set(usdc_decimals)
        families.usdc_frozen.set(usdc_frozen)
        families.chain_checked.set(at_timestamp_seconds)

    def chain_fact_changed(self, name: str) -> None:
        self._families.fact_changes.labels(_FACTS(name)).inc()

    def nfts_moved(self, count: int) -> None:
        self._families.nfts_moved.inc(count)

    def chain_trouble(self, count: int, slot_seconds: float) -> None:
        """How many reasons there are not to read, prove or trust the chain; the slot time as measured now."""
        self._families.chain_trouble.set(count)
        self._families.slot_seconds.set(slot_seconds)

    def treasury_gap(self, asset: str, units: int) -> None:
        """What the platform wallet held at a slot minus what is booked up to it."""
        self._families.treasury_gap.labels(self._state(asset)).set(units)

    def gate_open(self, is_open: bool) -> None:
        """Whether signing and sending is allowed since the start."""
        self._families.gate.set(is_open)

    # --- counted from the state history ---------------------------------------------------------------------------

    def state_changed(self, machine: str, state: str, count: int) -> None:
        self._families.state_changes.labels(self._state(machine), self._state(state)).inc(count)

    def wallets_ended(self, success: int, failure: int) -> None:
        """Circle wallets made, and users for whom the automatic tries are used up."""
        self._families.wallets.labels(SUCCESS).inc(success)
        self._families.wallets.labels(FAILURE).inc(failure)

    def mints_ended(self, success: int, failure: int) -> None:
        self._families.mints.labels(SUCCESS).inc(success)
        self._families.mints.labels(FAILURE).inc(failure)

    def payouts_ended(self, success: int, failure: int) -> None:
        self._families.payouts.labels(SUCCESS).inc(success)
        self._families.payouts.labels(FAILURE).inc(failure)

    def distributed_after(self, seconds: float) -> None:
        """One payout: from the card payment to its finalized transfer."""
        self._families.lag.observe(max(0.0, seconds))

    def network_cost(self, purpose: str, lamports: int) -> None:
        """What one of our transactions (`mint`, `payout`) cost the platform wallet."""
        self._families.costs.labels(_PURPOSES(purpose)).observe(lamports)

    # --- read from the database -----------------------------------------------------------------------------------

    def queue(self, rows: Mapping[tuple[str, str], tuple[int, float]], overdue_seconds: Mapping[str, float]) -> None:
        """(kind, state) → how many rows and the age of the oldest in seconds; kind → how late the next one is.

        What was there before and is not any more becomes 0.
        """
        found = {(self._kind(kind), self._state(state)): value for (kind, state), value in rows.items()}
        late = {self._kind(kind): seconds for kind, seconds in overdue_seconds.items()}
        self._queues |= set(found)
        for queue in self._queues:
            count, age = found.get(queue, (0, 0.0))
            self._families.queue_rows.labels(*queue).set(count)
            self._families.queue_age.labels(*queue).set(age)
        for kind in {kind for kind, _ in self._queues}:
            self._families.queue_overdue.labels(kind).set(late.get(kind, 0.0))

    def unpaid(
        self, by_state: Mapping[str, tuple[int, int]], oldest_age_seconds: float, late_age_seconds: float
    ) -> None:
        """Payout state → rows and base units; age of the oldest payment not paid out, and of the oldest that is late
        for it, 0 when there is none."""
        for state, (rows, amount) in by_state.items():
            self._families.owed_rows.labels(self._state(state)).set(rows)
            self._families.owed.labels(self._state(state)).set(amount)
        self._families.undistributed_age.set(oldest_age_seconds)
        self._families.late_age.set(late_age_seconds)

    def waiting_for_wallet(self, rows: int, too_long: int) -> None:
        self._families.waiting_for_wallet.set(rows)
        self._families.waiting_too_long.set(too_long)

    def minting(self, oldest_age_seconds: float) -> None:
        self._families.mint_age.set(oldest_age_seconds)

    def batch_statuses(self, by_status: Mapping[str, int]) -> None:
        for status, rows in by_status.items():
            self._families.batches.labels(self._state(status)).set(rows)

    def platform_usdc(self, base_units: int | None, age_seconds: float, threshold: int) -> None:
        """None = never read."""
        self._families.usdc_threshold.set(threshold)
        _set_or_nan(self._families.usdc, base_units)
        _set_or_nan(self._families.usdc_low, None if base_units is None else int(base_units < threshold))
        if base_units is not None:
            self._families.balance_age.labels("usdc").set(age_seconds)

    def platform_sol(self, lamports: int | None, age_seconds: float, threshold: int) -> None:
        """None = never read."""
        self._families.sol_threshold.set(threshold)
        _set_or_nan(self._families.sol, lamports)
        if lamports is not None:
            self._families.balance_age.labels("sol").set(age_seconds)

    def ledger_imbalance(self, by_asset: Mapping[str, int]) -> None:
        """Asset → the signed sum of its accounts, 0 when the ledger holds."""
        for asset, amount in by_asset.items():
            self._families.imbalance.labels(self._state(asset)).set(amount)

    def batch_waits(self, oldest_age_seconds: Mapping[str, float], short: int) -> None:
        """Status → how long a batch has been in it, the longest (0 without any); what waiting ones lack in base
        units."""
        for status, seconds in oldest_age_seconds.items():
            self._families.batch_age.labels(self._state(status)).set(seconds)
        self._families.batch_short.set(short)

    def realtime_waits(self, by_reason: Mapping[str, tuple[int, int]]) -> None:
        """Reason → payouts that real time leaves to the weekly batch, and their base units; 0 where it leaves none."""
        for reason, (rows, amount) in by_reason.items():
            self._families.realtime_rows.labels(self._state(reason)).set(rows)
            self._families.realtime_amount.labels(self._state(reason)).set(amount)

    def sends_paused(self, paused: bool) -> None:
        self._families.sends_paused.set(paused)

    def orders_held(self, held: bool) -> None:
        self._families.orders_held.set(held)

    def unknown_outcomes(self, by_kind: Mapping[str, tuple[int, float]]) -> None:
        """Kind → rows and age of the oldest. A kind that was there before and is not any more becomes 0."""
        found = {self._kind(kind): value for kind, value in by_kind.items()}
        self._unproven |= found.keys()
        for kind in self._unproven:
            rows, seconds = found.get(kind, (0, 0.0))
            self._families.unproven.labels(kind).set(rows)
            self._families.unproven_age.labels(kind).set(seconds)

    def last_done(self, swept_at: float | None, backed_up_at: float | None) -> None:
        """Unix seconds; None = never."""
        _set_or_nan(self._families.swept_at, swept_at)
        _set_or_nan(self._families.backed_up_at, backed_up_at)

    def database(self, size_bytes: int, wal_bytes: int | None, disk_free_bytes: int | None) -> None:
        """None = the database is no file of ours."""
        self._families.database_size.set(size_bytes)
        _set_or_nan(self._families.wal_size, wal_bytes)
        _set_or_nan(self._families.disk_free, disk_free_bytes)

    def alive(self, at_timestamp_seconds: float) -> None:
        """The watchdog's task wrote to the database."""
        self._families.alive_at.set(at_timestamp_seconds)

    def orphan_outflows(self, rows: int) -> None:
        self._families.orphans.set(rows)

    def reconciled(self, at: float | None, findings: Mapping[str, int]) -> None:
        """The latest reconciliation: when it ended (None: never), and its counts by verdict."""
        _set_or_nan(self._families.reconciled_at, at)
        for verdict, count in findings.items():
            self._families.reconciled.labels(verdict).set(count)

    def stripe_health(self, balance_cents: int | None, webhook: int | None) -> None:
        """Stripe's balance, and 1 while it sends us events; None = not looked at yet, or not allowed to."""
        _set_or_nan(self._families.stripe_balance, balance_cents)
        _set_or_nan(self._families.stripe_webhook, webhook)

    def probed(self, at_timestamp_seconds: float) -> None:
        self._families.probe_at.set(at_timestamp_seconds)

    def probe_failed(self) -> None:
        self._families.probe_failures.inc()


def _set_or_nan(gauge: Gauge, value: float | None) -> None:
    gauge.set(math.nan if value is None else value)
