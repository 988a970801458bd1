"""The worker's lanes: which work runs side by side, how much of it at once, and what it waits for."""

from collections.abc import Callable
from typing import Protocol

from agent.worker import Lane
from storage.queues import Queue
from storage.tables import circle_notifications, jobs, stripe_events

EVENT_WIDTH = 32
NOTIFICATION_WIDTH = 16
WALLET_WIDTH = 16
MINT_WIDTH = 64
TRANSFER_WIDTH = 32
"""Widths of the lanes: how many rows are worked on at once. Transfers wait for Circle's 5 calls a second, so 32 of
them wait well below the lease; mints wait mostly for blocks."""
PACKING_WIDTH = 2
UPKEEP_WIDTH = 16
SIGNING_WIDTH = 24
SENDING_WIDTH = 64
SETTLING_WIDTH = 16
"""The packed rail's stages. Ten signatures a second are had with as many in work as a second's reading and signing
takes; more would only wait with an ageing blockhash. Thousands may be in flight: their rows wait, not their workers."""
REALTIME_WIDTH = 1
CONVERSION_WIDTH = 1
"""Orders go one at a time."""
PLAN_WIDTH, BATCH_WIDTH, ALERT_WIDTH = 1, 4, 2
"""What covers and starts payouts, and what tells a person: none of it waits behind calls that Stripe or Circle leave
without an answer, half a minute each."""
CHORE_WIDTH = 16
CHORES = frozenset(
    {
        "fee",
        "mint_listing",
        "mint_look",
        "transfer_look",
        "refund",
        "refunds",
        "session_end",
        "events_sweep",
        "seal",
        "prune",
        "reconcile",
        "stripe_watch",
        "balance_watch",
        "receipts",
        "conversion_listing",
    }
)


class ConversionListing(Protocol):
    """Whether Circle Mint's own list was looked at since the start."""

    @property
    def has_looked(self) -> bool: ...


def lanes_of(is_open: Callable[[], bool], is_on_time: Callable[[], bool], listing: ConversionListing) -> list[Lane]:
    """What signs or sends waits for the gate, and for a clock that can be trusted, and for that alone what plans the
    Mondays: one that was planned before it came is not planned again. The rest works from the start."""

    def may_send() -> bool:
        return is_open() and is_on_time()

    def may_convert() -> bool:
        return may_send() and listing.has_looked

    return [
        Lane("events", Queue(stripe_events), EVENT_WIDTH),
        Lane("notifications", Queue(circle_notifications), NOTIFICATION_WIDTH),
        Lane("wallets", Queue(jobs, frozenset({"wallet", "wallet_listing", "wallet_look"})), WALLET_WIDTH),
        Lane("mints", Queue(jobs, frozenset({"mint"})), MINT_WIDTH, may_send),
        Lane("transfers", Queue(jobs, frozenset({"transfer"})), TRANSFER_WIDTH, may_send),
        Lane("realtime", Queue(jobs, frozenset({"realtime"})), REALTIME_WIDTH, may_send),
        Lane("packing", Queue(jobs, frozenset({"pack"})), PACKING_WIDTH, may_send),
        Lane("upkeep", Queue(jobs, frozenset({"upkeep"})), UPKEEP_WIDTH, may_send),
        Lane("signing", Queue(jobs, frozenset({"packed_sign"})), SIGNING_WIDTH, may_send),
        Lane("sending", Queue(jobs, frozenset({"packed_send"})), SENDING_WIDTH, may_send),
        Lane("settling", Queue(jobs, frozenset({"packed_settle"})), SETTLING_WIDTH),
        Lane("conversions", Queue(jobs, frozenset({"conversion"})), CONVERSION_WIDTH, may_convert),
        Lane("plans", Queue(jobs, frozenset({"plan"})), PLAN_WIDTH, is_on_time),
        Lane("batches", Queue(jobs, frozenset({"fund", "batch"})), BATCH_WIDTH),
        Lane("alerts", Queue(jobs, frozenset({"alert"})), ALERT_WIDTH),
        Lane("chores", Queue(jobs, CHORES), CHORE_WIDTH),
    ]
