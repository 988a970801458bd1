"""All tables, by subject; every foreign id is UNIQUE.

States get a CHECK made from the enums of `domain.states`. Tables marked `append_only` refuse UPDATE and DELETE by
trigger. Nothing that leaves the system is derived from an `id`; `uuid` columns are random at the row's birth.
"""

from storage.tables.audit import audit_log
from storage.tables.books import ledger_balances, ledger_entries, ledger_postings, seals, state_history
from storage.tables.chain import (
    chain_facts,
    chain_movements,
    cursors,
    deposit_matches,
    nft_holdings,
    readings,
    watched_signatures,
)
from storage.tables.columns import ROW_ID, Moment, metadata, moment_read
from storage.tables.conversion import conversion_approvals, conversion_orders, mint_deposits
from storage.tables.operation import alert_messages, alerts, backups, installation, switches
from storage.tables.packed import (
    group_attempts,
    group_members,
    payout_groups,
    receipts,
    upkeep,
    upkeep_items,
)
from storage.tables.payout import (
    batch_approvals,
    batch_items,
    batches,
    conversions,
    nettings,
    payouts,
    screenings,
    settlements,
    transfer_attempts,
    transfers,
)
from storage.tables.people import invites, sessions, tokens, users, withdrawals
from storage.tables.reconciliation import (
    balance_transactions,
    circle_transactions,
    reconciliation_findings,
    reconciliations,
)
from storage.tables.sales import disputes, mint_attempts, mint_payouts, purchases, refunds
from storage.tables.shop import checkouts, content_shares, contents
from storage.tables.work import circle_notifications, jobs, stripe_events

__all__ = [
    "ROW_ID",
    "Moment",
    "alert_messages",
    "alerts",
    "audit_log",
    "backups",
    "balance_transactions",
    "batch_approvals",
    "batch_items",
    "batches",
    "chain_facts",
    "chain_movements",
    "checkouts",
    "circle_notifications",
    "circle_transactions",
    "content_shares",
    "contents",
    "conversion_approvals",
    "conversion_orders",
    "conversions",
    "cursors",
    "deposit_matches",
    "disputes",
    "group_attempts",
    "group_members",
    "installation",
    "invites",
    "jobs",
    "ledger_balances",
    "ledger_entries",
    "ledger_postings",
    "metadata",
    "mint_attempts",
    "mint_deposits",
    "mint_payouts",
    "moment_read",
    "nettings",
    "nft_holdings",
    "payout_groups",
    "payouts",
    "purchases",
    "readings",
    "receipts",
    "reconciliation_findings",
    "reconciliations",
    "refunds",
    "screenings",
    "seals",
    "sessions",
    "settlements",
    "state_history",
    "stripe_events",
    "switches",
    "tokens",
    "transfer_attempts",
    "transfers",
    "upkeep",
    "upkeep_items",
    "users",
    "watched_signatures",
    "withdrawals",
]
