"""All tables. Money is BIGINT in the smallest unit, times are aware UTC, every foreign id is UNIQUE.

States get a CHECK made from the enums of `domain.states`. Tables marked `append_only` refuse UPDATE and DELETE by
trigger. Nothing that leaves the system is derived from an `id`; `uuid` columns are random at the row's birth.
"""

from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from sqlalchemy import (
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    UniqueConstraint,
)

from domain import states

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

ROW_ID = BigInteger().with_variant(Integer(), "sqlite")
"""SQLite numbers rows by itself only for a column declared INTEGER PRIMARY KEY; its integers have 64 bits anyway."""


class Moment(TypeDecorator[datetime]):
    """An instant as integer microseconds since 1970: sorts, compares and indexes alike on both databases."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:
        if value is None:
            return None
        if value.tzinfo is None:
            raise ValueError("times are aware UTC")
        seconds = value - _EPOCH
        return (seconds.days * 86_400 + seconds.seconds) * 1_000_000 + seconds.microseconds

    def process_result_value(self, value: int | None, dialect: Dialect) -> datetime | None:
        if value is None:
            return None
        return datetime.fromtimestamp(value // 1_000_000, UTC).replace(microsecond=value % 1_000_000)


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def _id() -> Column[int]:
    return Column("id", ROW_ID, primary_key=True, autoincrement=True)


def _uuid() -> Column[str]:
    return Column("uuid", String(36), nullable=False, unique=True)


def _money(name: str, *, nullable: bool = False, default: int | None = None) -> Column[int]:
    server_default = None if default is None else str(default)
    return Column(name, BigInteger, nullable=nullable, server_default=server_default)


def _moment(name: str, *, nullable: bool = False) -> Column[datetime]:
    return Column(name, Moment, nullable=nullable)


def _ref(name: str, target: str, *, nullable: bool = False) -> Column[int]:
    return Column(name, ROW_ID, ForeignKey(target), nullable=nullable, index=True)


def _state(name: str, enum: type[StrEnum]) -> tuple[Column[str], CheckConstraint]:
    values = ", ".join(f"'{member.value}'" for member in enum)
    return Column(name, String(24), nullable=False), CheckConstraint(f"{name} IN ({values})", name=name)


def _work() -> list[Any]:
    """The columns of everything a worker claims: jobs and the two inboxes."""
    return [
        *_state("state", states.WorkState),
        _moment("due_at"),
        Column("attempts", Integer, nullable=False, server_default="0"),
        Column("lease_holder", String(64)),
        _moment("lease_until", nullable=True),
        Column("lease_epoch", BigInteger, nullable=False, server_default="0"),
        Column("wakes", BigInteger, nullable=False, server_default="0"),
        Column("last_error", Text),
        Column("error_code", String(64)),
        _moment("created_at"),
    ]


installation = Table(
    "installation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    _moment("set_at"),
)
"""Facts of this installation that must never change: fingerprint, wallet address, genesis hash, first start."""

users = Table(
    "users",
    metadata,
    _id(),
    _uuid(),
    Column("email", String(320), nullable=False, unique=True),
    Column("username", String(64), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("wallet_provider", String(16), nullable=False, server_default="circle_w3s"),
    Column("circle_wallet_id", String(64), unique=True),
    Column("circle_wallet_address", String(64), index=True),
    Column("wallet_address", String(64)),
    Column("web3auth_sub", String(255), unique=True),
    *_state("wallet_state", states.WalletState),
    Column("wallet_attempt", Integer, nullable=False, server_default="1"),
    Column("wallet_challenge_id", String(64), unique=True),
    _moment("address_changed_at", nullable=True),
    _moment("created_at"),
    CheckConstraint("wallet_provider IN ('circle_w3s', 'external', 'web3auth')", name="wallet_provider"),
)
"""`wallet_address` is the external address of users from before; `address_changed_at` starts the cool-off."""

invites = Table(
    "invites",
    metadata,
    _id(),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("uses_left", Integer),
    Column("note", String(200), nullable=False, server_default=""),
    _moment("created_at"),
    CheckConstraint("uses_left IS NULL OR uses_left >= 0", name="uses_left"),
)
"""`uses_left` NULL = unlimited."""

tokens = Table(
    "tokens",
    metadata,
    _id(),
    Column("token_hash", String(64), nullable=False, unique=True),
    _ref("user_id", "users.id", nullable=True),
    Column("role", String(16), nullable=False),
    Column("name", String(64), nullable=False, server_default=""),
    _moment("expires_at"),
    _moment("revoked_at", nullable=True),
    _moment("created_at"),
    CheckConstraint("role IN ('user', 'viewer', 'operator', 'approver')", name="role"),
    CheckConstraint("(role = 'user') = (user_id IS NOT NULL)", name="owner"),
)
"""Bearer tokens, hashed: of users (role `user`) and of the admin port (the other roles)."""

contents = Table(
    "contents",
    metadata,
    _id(),
    _uuid(),
    _ref("author_id", "users.id"),
    Column("title", String(200), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    _money("price_cents"),
    Column("editions", Integer),
    Column("editions_taken", Integer, nullable=False, server_default="0"),
    Column("editions_numbered", Integer, nullable=False, server_default="0"),
    Column("ipfs_hash", String(128)),
    Column("teaser_link", String(500)),
    _moment("taken_down_at", nullable=True),
    _moment("created_at"),
    CheckConstraint("price_cents >= 50", name="price"),
    CheckConstraint("editions IS NULL OR editions_taken <= editions", name="editions"),
    CheckConstraint("editions_taken >= 0", name="editions_taken"),
)
"""`editions` NULL = unlimited. `editions_taken` counts those held now, `editions_numbered` numbers ever given."""

content_shares = Table(
    "content_shares",
    metadata,
    Column("content_id", ROW_ID, ForeignKey("contents.id"), primary_key=True),
    Column("user_id", ROW_ID, ForeignKey("users.id"), primary_key=True),
    Column("share_bps", Integer, nullable=False),
    CheckConstraint("share_bps > 0 AND share_bps <= 10000", name="share_bps"),
)
"""Who gets which part of the creator side, in basis points that sum to 10,000 per content."""

checkouts = Table(
    "checkouts",
    metadata,
    _id(),
    _uuid(),
    _ref("content_id", "contents.id"),
    _ref("buyer_id", "users.id"),
    Column("idempotency_key", String(36), nullable=False, unique=True),
    Column("params", Text, nullable=False),
    *_state("state", states.CheckoutState),
    Column("stripe_session_id", String(255), unique=True),
    Column("url", Text),
    _money("price_cents"),
    _moment("expires_at"),
    _moment("created_at"),
    Index(
        "uq_checkouts_open",
        "content_id",
        "buyer_id",
        unique=True,
        sqlite_where=Column("state").in_(["creating", "open"]),
        postgresql_where=Column("state").in_(["creating", "open"]),
    ),
)
"""One Stripe Checkout Session each. `params` is the exact JSON sent, saved with its key before the call."""

purchases = Table(
    "purchases",
    metadata,
    _id(),
    _uuid(),
    Column("stripe_payment_intent_id", String(255), unique=True),
    Column("stripe_checkout_session_id", String(255), unique=True),
    Column("stripe_charge_id", String(255), unique=True),
    Column("stripe_balance_transaction_id", String(255), unique=True),
    Column("checkout_id", ROW_ID, ForeignKey("checkouts.id"), nullable=False, unique=True),
    _ref("content_id", "contents.id"),
    _ref("buyer_id", "users.id"),
    _money("gross_amount"),
    _money("stripe_fee", nullable=True),
    _money("net_after_stripe", nullable=True),
    _money("refunded_amount", default=0),
    _moment("available_on", nullable=True),
    _moment("paid_at", nullable=True),
    *_state("status", states.PurchaseStatus),
    Column("status_reason", Text),
    Column("status_before_refund", String(24)),
    Column("edition_held", Boolean, nullable=False),
    Column("edition_number", Integer),
    Column("hold_reason", Text),
    Column("split_rule", Text),
    _money("creator_amount", nullable=True),
    _money("platform_amount", nullable=True),
    Column("circle_nft_id", String(64)),
    Column("circle_mint_transaction_id", String(64)),
    Column("nft_mint_address", String(64), unique=True),
    Column("mint_signature", String(128), unique=True),
    _moment("minted_at", nullable=True),
    Column("nft_transferred", Boolean, nullable=False, server_default="0"),
    _money("mint_cost", default=0),
    _money("network_cost_lamports", nullable=True),
    _moment("created_at"),
    UniqueConstraint("content_id", "edition_number", name="uq_purchases_edition"),
    CheckConstraint("gross_amount > 0", name="gross_amount"),
    CheckConstraint("stripe_fee IS NULL OR stripe_fee >= 0", name="stripe_fee"),
    CheckConstraint(
        "net_after_stripe IS NULL OR net_after_stripe = gross_amount - stripe_fee", name="net_after_stripe"
    ),
    CheckConstraint(
        "creator_amount IS NULL OR creator_amount + platform_amount = net_after_stripe * 10000", name="split"
    ),
    CheckConstraint("refunded_amount >= 0 AND refunded_amount <= gross_amount", name="refunded_amount"),
    Index("ix_purchases_status_paid", "status", "paid_at"),
)
"""Cents: gross_amount, stripe_fee, net_after_stripe, refunded_amount, mint_cost (what the buyer paid for the mint).
USDC base units: creator_amount, platform_amount. `usdc_payment_status` is derived from the payouts and `hold_reason`.
A missing fee is NULL, never 0. `split_rule` names the terms the split was made under."""

mint_attempts = Table(
    "mint_attempts",
    metadata,
    _id(),
    _uuid(),
    _ref("purchase_id", "purchases.id"),
    Column("attempt", Integer, nullable=False),
    *_state("state", states.MintState),
    Column("wallet_id", String(64), nullable=False),
    Column("platform_address", String(64), nullable=False),
    Column("buyer_address", String(64), nullable=False),
    Column("seed", String(32), nullable=False),
    Column("mint_address", String(64), nullable=False),
    Column("name", String(64), nullable=False),
    Column("symbol", String(16), nullable=False),
    Column("uri", String(255), nullable=False),
    Column("wire", LargeBinary),
    Column("signature", String(128), unique=True),
    _money("last_valid_block_height", nullable=True),
    _money("cost_lamports", nullable=True),
    Column("proof", Text),
    _moment("created_at"),
    _moment("signed_at", nullable=True),
    UniqueConstraint("purchase_id", "attempt", name="uq_mint_attempts_attempt"),
    Index(
        "uq_mint_attempts_live",
        "purchase_id",
        unique=True,
        sqlite_where=Column("state").in_(["intended", "signed", "sent", "finalized"]),
        postgresql_where=Column("state").in_(["intended", "signed", "sent", "finalized"]),
    ),
)
"""`wire` is the signed transaction, stored before it is sent. One attempt at most is not dead."""

payouts = Table(
    "payouts",
    metadata,
    _id(),
    _uuid(),
    _ref("purchase_id", "purchases.id"),
    _ref("recipient_id", "users.id"),
    Column("recipient_number", Integer, nullable=False),
    Column("share_bps", Integer, nullable=False),
    _money("amount"),
    _money("netted_amount", default=0),
    _money("paid_amount", default=0),
    *_state("state", states.UsdcStatus),
    Column("state_before_hold", String(24)),
    Column("reason", Text),
    _moment("paid_at"),
    _ref("batch_id", "batches.id", nullable=True),
    _ref("transfer_id", "transfers.id", nullable=True),
    Column("chain", String(16), nullable=False, server_default="SOL"),
    Column("destination_address", String(64)),
    Column("signature", String(128)),
    _moment("distributed_at", nullable=True),
    _moment("created_at"),
    UniqueConstraint("purchase_id", "recipient_id", name="uq_payouts_recipient"),
    UniqueConstraint("purchase_id", "recipient_number", name="uq_payouts_number"),
    CheckConstraint("amount >= 0 AND netted_amount >= 0 AND paid_amount >= 0", name="amount"),
    CheckConstraint("state = 'distributed' OR netted_amount <= amount", name="netted_amount"),
    CheckConstraint("(state = 'distributed') = (paid_amount > 0)", name="distributed"),
    CheckConstraint("paid_amount = 0 OR signature IS NOT NULL", name="paid"),
    Index("ix_payouts_state_paid", "state", "paid_at", "purchase_id"),
)
"""One per recipient of a purchase, ever: the unique constraint over all rails, modes and batches. `paid_at` is the
purchase's, repeated for the order of funding and planning. Base units: `amount` is what is due after what came back,
`paid_amount` what the chain moved, `netted_amount` what debts used up."""

batches = Table(
    "batches",
    metadata,
    _id(),
    _uuid(),
    Column("key", String(64), nullable=False, unique=True),
    _moment("cutoff_at"),
    *_state("status", states.BatchStatus),
    Column("paused", Boolean, nullable=False, server_default="0"),
    Column("grouping", String(16), nullable=False),
    Column("rail", String(16), nullable=False),
    Column("payout_count", Integer, nullable=False),
    _money("planned_amount"),
    Column("digest", String(64)),
    Column("pause_reason", Text),
    _moment("settled_at", nullable=True),
    _moment("created_at"),
)
"""Frozen when planned; `digest` is over its items. `key`: `monday:<date>` for the scheduled batch, `offcycle:<uuid>`
for others."""

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", ROW_ID, ForeignKey("batches.id"), primary_key=True),
    Column("payout_id", ROW_ID, ForeignKey("payouts.id"), primary_key=True),
    Column("destination_address", String(64), nullable=False),
    _money("amount"),
    info={"append_only": True},
)
"""What was planned, payout by payout: what is sent may be less, never more and never elsewhere."""

batch_approvals = Table(
    "batch_approvals",
    metadata,
    _id(),
    _ref("batch_id", "batches.id"),
    Column("digest", String(64), nullable=False),
    Column("approver", String(64), nullable=False),
    _moment("created_at"),
    UniqueConstraint("batch_id", "approver", name="uq_batch_approvals_approver"),
    info={"append_only": True},
)

switches = Table(
    "switches",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("is_on", Boolean, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("set_by", String(64), nullable=False),
    _moment("set_at"),
)
"""Switches of the operator that survive a restart: `sends_paused`."""

transfers = Table(
    "transfers",
    metadata,
    _id(),
    _uuid(),
    _ref("batch_id", "batches.id"),
    _ref("recipient_id", "users.id"),
    Column("reference", String(400), nullable=False, unique=True),
    Column("key_scope", String(300), nullable=False),
    _money("amount"),
    Column("destination_address", String(64), nullable=False),
    _moment("created_at"),
    CheckConstraint("amount > 0", name="amount"),
)
"""One USDC movement to one recipient: of one payout, or of several with `grouping = "creator"`."""

transfer_attempts = Table(
    "transfer_attempts",
    metadata,
    _id(),
    _ref("transfer_id", "transfers.id"),
    Column("attempt", Integer, nullable=False),
    *_state("state", states.TransferState),
    Column("idempotency_key", String(36), nullable=False, unique=True),
    Column("wallet_id", String(64), nullable=False),
    Column("source_address", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("circle_transaction_id", String(64), unique=True),
    Column("circle_state", String(24)),
    _moment("circle_updated_at", nullable=True),
    Column("signature", String(128)),
    Column("error_reason", Text),
    Column("proof", Text),
    _money("cost_lamports", nullable=True),
    _moment("created_at"),
    _moment("first_sent_at", nullable=True),
    UniqueConstraint("transfer_id", "attempt", name="uq_transfer_attempts_attempt"),
    Index(
        "uq_transfer_attempts_live",
        "transfer_id",
        unique=True,
        sqlite_where=Column("state").in_(["intended", "submitted", "finalized"]),
        postgresql_where=Column("state").in_(["intended", "submitted", "finalized"]),
    ),
)
"""`body` is the exact business body without the ciphertext, saved before the first send. One attempt at most is not
dead; a dead one cites its proof."""

refunds = Table(
    "refunds",
    metadata,
    _id(),
    _uuid(),
    _ref("purchase_id", "purchases.id"),
    Column("stripe_refund_id", String(255), unique=True),
    Column("idempotency_key", String(36), unique=True),
    Column("params", Text),
    Column("reason", String(64), nullable=False),
    _money("amount"),
    *_state("state", states.RefundState),
    _moment("created_at"),
    CheckConstraint("(idempotency_key IS NULL) = (params IS NULL)", name="ours"),
    CheckConstraint("amount > 0", name="amount"),
)
"""Every refund of a sale (cents): those we ask for carry key and parameters, those made at Stripe do not."""

disputes = Table(
    "disputes",
    metadata,
    _id(),
    _ref("purchase_id", "purchases.id"),
    Column("stripe_dispute_id", String(255), nullable=False, unique=True),
    Column("status", String(32), nullable=False),
    Column("rank", Integer, nullable=False),
    _moment("event_at"),
    _money("amount"),
    _money("withdrawn", default=0),
    _money("fee", default=0),
    _moment("created_at"),
)
"""Disputes as Stripe tells them (cents): `withdrawn` and `fee` are what its balance transactions took, net of what
they gave back. `rank` and `event_at` keep old news from overwriting newer."""

nettings = Table(
    "nettings",
    metadata,
    _id(),
    _ref("debtor_payout_id", "payouts.id"),
    _ref("payout_id", "payouts.id"),
    _ref("recipient_id", "users.id"),
    _money("amount"),
    Column("ledger_key", String(300), nullable=False, unique=True),
    _moment("created_at"),
    _moment("undone_at", nullable=True),
    CheckConstraint("amount > 0", name="amount"),
)
"""Debt of one payout (base units) that used up part of another's due. `ledger_key` names its entry."""

watched_signatures = Table(
    "watched_signatures",
    metadata,
    Column("signature", String(128), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    _money("last_valid_block_height", nullable=True),
    *_state("state", states.WatchState),
    _money("slot", nullable=True),
    Column("err", Text),
    Column("proof", Text),
    _moment("created_at"),
    _moment("changed_at"),
    Index("ix_watched_signatures_state", "state"),
)
"""Signatures whose fate somebody waits for. The indexer writes the state and makes job (purpose, subject) due."""

chain_movements = Table(
    "chain_movements",
    metadata,
    _id(),
    Column("signature", String(128), nullable=False),
    Column("account", String(64), nullable=False),
    Column("asset", String(24), nullable=False),
    _money("amount"),
    _money("slot"),
    _moment("block_time", nullable=True),
    Column("kind", String(16), nullable=False),
    Column("counterparty", String(64)),
    Column("transfer_id", ROW_ID, ForeignKey("transfers.id"), unique=True),
    _moment("created_at"),
    UniqueConstraint("signature", "account", "asset", name="uq_chain_movements_movement"),
    CheckConstraint("kind IN ('deposit', 'payout', 'orphan', 'mint', 'other')", name="kind"),
    Index("ix_chain_movements_account", "account", "asset"),
    Index(
        "ix_chain_movements_orphan",
        "id",
        sqlite_where=Column("kind") == "orphan",
        postgresql_where=Column("kind") == "orphan",
    ),
)
"""Finalized changes of the platform wallet's USDC account and SOL, one row a transaction; their sum is its balance."""

cursors = Table(
    "cursors",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    _money("position", nullable=True),
    _moment("moved_at"),
)
"""How far a follower has read: last signature stored (position = slot), last Stripe event time, and so on."""

readings = Table(
    "readings",
    metadata,
    Column("name", String(64), primary_key=True),
    _money("amount"),
    _money("slot"),
    _moment("read_at"),
)
"""Latest finalized balances read from the chain: `treasury_usdc` (base units), `treasury_sol` (lamports)."""

screenings = Table(
    "screenings",
    metadata,
    _id(),
    Column("address", String(64), nullable=False, index=True),
    Column("screener", String(32), nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text),
    _moment("created_at"),
)

conversions = Table(
    "conversions",
    metadata,
    _id(),
    _uuid(),
    _money("usd_cents"),
    _money("expected_usdc"),
    Column("note", String(200), nullable=False, server_default=""),
    _moment("created_at"),
)
"""What the operator announced. It explains a deposit; only the chain releases money."""

ledger_entries = Table(
    "ledger_entries",
    metadata,
    _id(),
    Column("key", String(300), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(300), nullable=False, index=True),
    _moment("created_at"),
    info={"append_only": True},
)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    _id(),
    _ref("entry_id", "ledger_entries.id"),
    Column("account", String(64), nullable=False),
    Column("asset", String(24), nullable=False),
    _money("amount"),
    CheckConstraint("amount <> 0", name="amount"),
    info={"append_only": True},
)

ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("asset", String(24), primary_key=True),
    _money("amount"),
)
"""Running sums of the postings, moved in the same transaction."""

state_history = Table(
    "state_history",
    metadata,
    _id(),
    Column("machine", String(24), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("before", String(24)),
    Column("after", String(24), nullable=False),
    Column("reason", Text),
    _moment("at"),
    Index("ix_state_history_subject", "machine", "subject"),
    info={"append_only": True},
)
"""One row for each state change, in the transaction that makes it."""

jobs = Table(
    "jobs",
    metadata,
    _id(),
    Column("kind", String(32), nullable=False),
    Column("subject", String(64), nullable=False),
    *_work(),
    UniqueConstraint("kind", "subject", name="uq_jobs_subject"),
    Index("ix_jobs_due", "state", "due_at"),
)
"""One row moves one subject one step. A finished job's row is deleted; its effects are in the subject's history."""

stripe_events = Table(
    "stripe_events",
    metadata,
    _id(),
    Column("event_id", String(255), nullable=False, unique=True),
    Column("type", String(100), nullable=False),
    _moment("stripe_created_at"),
    Column("body", LargeBinary, nullable=False),
    Column("waits_for", String(255), index=True),
    *_work(),
    Index(
        "ix_stripe_events_due",
        "due_at",
        sqlite_where=Column("state") == "due",
        postgresql_where=Column("state") == "due",
    ),
    Index(
        "ix_stripe_events_parked",
        "created_at",
        sqlite_where=Column("state") == "parked",
        postgresql_where=Column("state") == "parked",
    ),
)
"""The inbox: each row is its own work item. `body` is what Stripe signed, or the event as its API lists it.
`waits_for`: the payment_intent of a reversal that came before its sale."""

circle_notifications = Table(
    "circle_notifications",
    metadata,
    _id(),
    Column("notification_id", String(64), nullable=False, unique=True),
    Column("type", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
    *_work(),
    Index(
        "ix_circle_notifications_due",
        "due_at",
        sqlite_where=Column("state") == "due",
        postgresql_where=Column("state") == "due",
    ),
    Index(
        "ix_circle_notifications_parked",
        "created_at",
        sqlite_where=Column("state") == "parked",
        postgresql_where=Column("state") == "parked",
    ),
)
