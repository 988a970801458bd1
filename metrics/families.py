"""All metric families. Units are the last word of a name; money is in the smallest unit: USDC base units (1 USDC =
1,000,000), lamports (1 SOL = 1,000,000,000).

What is counted by the daemon itself (steps, HTTP, RPC, webhooks) starts at 0 with the process. What is read from the
database (`state_changes` and what follows from it, all gauges) is the same on every replica: use `max`, not `sum`.
"""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

NAMESPACE = "payment_agent"
"""Begins every name: several programs share one Prometheus."""
HOUR, DAY = 3_600.0, 86_400.0
STEP_SECONDS = (0.005, 0.02, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0)
CALL_SECONDS = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
STORE_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 5.0)
LAG_SECONDS = (60.0, HOUR, 6 * HOUR, DAY, 2 * DAY, 3 * DAY, 5 * DAY, 7 * DAY, 8 * DAY, 10 * DAY, 14 * DAY, 28 * DAY)
"""Up to four weeks, with an edge at the target of seven days."""
COST_LAMPORTS = (5_000, 10_000, 100_000, 1_000_000, 2_500_000, 5_000_000, 7_500_000, 10_000_000, 20_000_000)
"""From a bare signature (5,000) past an NFT's rents (about 5 million) to the ceiling of a mint."""


class EdgeFamilies:
    """What every process tells that takes requests and has a database."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.webhooks = self._counter(
            "webhook_deliveries", "Deliveries by source and what became of them.", "source", "outcome"
        )
        self.answers = self._counter("http_answers", "HTTP requests answered.", "method", "status")
        self.store_seconds = self._histogram(
            "store_transaction_seconds", "Duration of database work, waiting included.", STORE_SECONDS, "operation"
        )
        self.store_failures = self._counter(
            "store_failures", "Database work refused because the database could not be used.", "operation"
        )
        self.loop_lag = self._histogram(
            "event_loop_lag_seconds", "How late the event loop comes to what is due; asked each second.", CALL_SECONDS
        )
        self.build = self._gauge("build_info", "Always 1.", "schema", "database", "mode")

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(name, text, labels, NAMESPACE, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(name, text, labels, NAMESPACE, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
        return Histogram(name, text, labels, NAMESPACE, buckets=buckets, registry=self.registry)


class IntakeFamilies(EdgeFamilies):
    """Of the process that takes Stripe's webhooks alone."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self.delivery_seconds = self._histogram(
            "webhook_answer_seconds", "From a whole delivery to its answer, the commit included.", STORE_SECONDS
        )


class Families(EdgeFamilies):
    """Of the daemon."""

    def __init__(self, registry: CollectorRegistry) -> None:
        super().__init__(registry)
        self._declare_work()
        self._declare_outside()
        self._declare_chain()
        self._declare_money()
        self._declare_health()

    def _declare_work(self) -> None:
        self.step_runs = self._counter("step_runs", "Finished runs of steps by outcome.", "kind", "outcome")
        self.step_seconds = self._histogram("step_seconds", "Duration of one run of a step.", STEP_SECONDS, "kind")
        self.queue_rows = self._gauge("queue_rows", "Jobs and inbox rows, due or parked.", "kind", "state")
        self.queue_age = self._gauge("queue_oldest_age_seconds", "Age of the oldest job or inbox row.", "kind", "state")
        self.queue_overdue = self._gauge(
            "queue_overdue_seconds", "How long ago the most overdue row should have run; 0 when none is.", "kind"
        )
        self.state_changes = self._counter(
            "state_changes", "State changes recorded in the database.", "machine", "state"
        )
        self.wallets = self._counter("wallet_creations", "Circle wallets made, or given up.", "outcome")
        self.mints = self._counter("mints", "NFTs finalized and read back, or given up.", "outcome")
        self.mint_age = self._gauge(
            "mint_oldest_age_seconds", "How long a sale has been minting, the longest; 0 without any."
        )
        self.payouts = self._counter("payouts", "Payouts finalized and read back, or given up.", "outcome")
        self.waiting_for_wallet = self._gauge(
            "purchases_waiting_for_wallet", "Paid purchases whose buyer has no wallet yet."
        )
        self.waiting_too_long = self._gauge(
            "purchases_waiting_for_wallet_too_long", "Of these, how many wait longer than the settings allow."
        )

    def _declare_outside(self) -> None:
        self.calls = self._counter("outgoing_requests", "HTTP calls to other services.", "service", "outcome")
        self.call_seconds = self._histogram(
            "outgoing_request_seconds", "Duration of HTTP calls to other services.", CALL_SECONDS, "service"
        )
        self.key_refused = self._gauge(
            "key_refused", "1 while the service refuses our key and is not asked.", "service"
        )
        self.clock_skew = self._gauge(
            "clock_skew_seconds",
            "How far our clock is ahead of what Stripe, Circle and the RPC providers date their answers with.",
        )
        self.rpc_calls = self._counter("rpc_calls", "Solana JSON-RPC calls.", "endpoint", "method", "outcome")
        self.rpc_seconds = self._histogram(
            "rpc_call_seconds", "Duration of Solana JSON-RPC calls.", CALL_SECONDS, "endpoint"
        )

    def _declare_chain(self) -> None:
        self.socket_connected = self._gauge("chain_websocket_connected", "1 while the node's WebSocket tells of slots.")
        self.socket_connections = self._gauge("chain_websocket_connections", "WebSocket connections since the start.")
        self.endpoint_lag = self._gauge(
            "rpc_endpoint_lag_slots", "Finalized slots an RPC endpoint lies behind the newest.", "endpoint"
        )
        self.endpoint_errors = self._gauge(
            "rpc_endpoint_error_ratio", "Share of an RPC endpoint's last calls that failed, 0 to 1.", "endpoint"
        )
        self.endpoint_well = self._gauge("rpc_endpoint_well", "1 while an RPC endpoint's answers count.", "endpoint")
        self.rpc_disbelieved = self._counter(
            "rpc_disbelieved_answers", "Answers from slots where the chain can't have been, not believed.", "endpoint"
        )
        self.chain_trouble = self._gauge(
            "chain_trouble", "Reasons why the chain can't be read, proven or trusted now; 0 when all is well."
        )
        self.slot_seconds = self._gauge("chain_slot_seconds", "The cluster's slot time as measured.")
        self.rent = self._gauge("chain_token_account_rent_lamports", "What keeps a token account alive.")
        self.fee = self._gauge("chain_signature_fee_lamports", "What a transaction with one signature pays.")
        self.transaction_version = self._gauge("chain_transaction_version", "Newest transaction version that runs.")
        self.usdc_decimals = self._gauge("chain_usdc_decimals", "Decimals of the USDC mint.")
        self.usdc_frozen = self._gauge("chain_usdc_frozen", "1 while the platform wallet's USDC account is frozen.")
        self.chain_checked = self._gauge("chain_checked_timestamp_seconds", "When these were last read.")
        self.nfts_moved = self._counter("nfts_moved", "NFTs found with another holder than before.")
        self.fact_changes = self._counter(
            "chain_fact_changes", "Times the chain was found to be other than before.", "fact"
        )

    def _declare_money(self) -> None:
        self.lag = self._histogram(
            "distribution_lag_seconds", "From the card payment to the finalized payout.", LAG_SECONDS
        )
        self.undistributed_age = self._gauge(
            "undistributed_oldest_age_seconds", "Age of the oldest payment whose creator's money is not paid out."
        )
        self.late_age = self._gauge(
            "undistributed_late_age_seconds",
            "Age of the oldest of these that could have been paid out more than a week ago; 0 when there is none.",
        )
        self.owed_rows = self._gauge("payout_rows", "Payouts that are not paid, by state.", "state")
        self.owed = self._gauge("payout_unpaid_base_units", "USDC base units not paid out, by state.", "state")
        self.batches = self._gauge("batch_rows", "Batches by status.", "status")
        self.usdc = self._gauge("platform_usdc_base_units", "USDC of the platform wallet, finalized; NaN = unread.")
        self.sol = self._gauge("platform_sol_lamports", "SOL of the platform wallet, finalized; NaN = unread.")
        self.balance_age = self._gauge(
            "platform_balance_age_seconds", "Seconds since the balance was last read from the chain.", "asset"
        )
        self.batch_age = self._gauge(
            "batch_oldest_age_seconds", "How long a batch has been in a status, the longest; 0 without any.", "status"
        )
        self.batch_short = self._gauge(
            "batch_short_base_units", "USDC base units that the batches that wait for funds lack."
        )
        self.realtime_rows = self._gauge(
            "realtime_waiting_rows", "Payable payouts that real time leaves to the weekly batch, by reason.", "reason"
        )
        self.realtime_amount = self._gauge(
            "realtime_waiting_base_units", "USDC base units of these payouts, by reason.", "reason"
        )
        self.sol_threshold = self._gauge(
            "platform_sol_threshold_lamports", "Below this the platform wallet's SOL alerts."
        )
        self.usdc_threshold = self._gauge(
            "platform_usdc_threshold_base_units", "Below this the platform wallet's USDC alerts."
        )
        self.usdc_low = self._gauge("platform_usdc_below_threshold", "1 when the USDC is below; NaN = unread.")
        self.costs = self._histogram(
            "network_cost_lamports",
            "What one transaction cost on chain. Per sale: sum / mints.",
            COST_LAMPORTS,
            "purpose",
        )
        self.imbalance = self._gauge(
            "ledger_imbalance_units", "Sum of all accounts of an asset in its smallest unit; 0 when it holds.", "asset"
        )
        self.treasury_gap = self._gauge(
            "treasury_gap_units",
            "What the platform wallet held at a slot minus what is booked up to it, in the asset's smallest unit.",
            "asset",
        )
        self.reconciled_at = self._gauge(
            "reconciliation_timestamp_seconds", "When the books were last reconciled to the end; NaN = never."
        )
        self.reconciled = self._gauge(
            "reconciliation_findings",
            "The latest reconciliation by verdict: sales, and under red all findings.",
            "verdict",
        )
        self.stripe_balance = self._gauge(
            "stripe_balance_cents", "Stripe's balance, available and pending; NaN = not looked at."
        )
        self.stripe_webhook = self._gauge(
            "stripe_webhook_enabled", "1 while Stripe sends events to our address, 0 = disabled; NaN = not known."
        )
        self.orphans = self._gauge("orphan_outflows", "USDC outflows that nothing of ours explains.")

    def _declare_health(self) -> None:
        self.gate = self._gauge("start_gate_open", "1 when signing and sending is allowed.")
        self.sends_paused = self._gauge("sends_paused", "1 while the operator's switch stops all sends.")
        self.orders_held = self._gauge("orders_held", "1 while Circle takes no orders, and one asks for all.")
        self.unproven = self._gauge("unknown_outcome_rows", "Work whose effect outside is not known yet.", "kind")
        self.unproven_age = self._gauge(
            "unknown_outcome_oldest_age_seconds", "How long an effect has been unknown, the longest.", "kind"
        )
        self.swept_at = self._gauge(
            "stripe_sweep_timestamp_seconds", "When Stripe's events were last listed for missed ones; NaN = never."
        )
        self.backed_up_at = self._gauge(
            "backup_timestamp_seconds", "What was committed before this is in a backup; NaN = there is none."
        )
        self.database_size = self._gauge("database_size_bytes", "Size of the database.")
        self.wal_size = self._gauge("database_wal_bytes", "Size of SQLite's write-ahead log; NaN = not SQLite.")
        self.disk_free = self._gauge("database_disk_free_bytes", "Free on SQLite's disk; NaN = not SQLite.")
        self.alive_at = self._gauge(
            "heartbeat_timestamp_seconds", "When this process last wrote to the database for the watchdog."
        )
        self.probe_at = self._gauge("probe_success_timestamp_seconds", "When the database was last read for metrics.")
        self.probe_failures = self._counter("probe_failures", "Times the database could not be read for metrics.")
