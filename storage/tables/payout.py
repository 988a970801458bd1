"""Money out: what is owed, planned, approved, moved, netted, screened and announced."""

from sqlalchemy import (
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from domain import states
from storage.tables.columns import ROW_ID, metadata, moment, money, ref, row_id, state, uuid

_IN_DEBT = text("state = 'distributed' AND paid_amount + netted_amount + settled_amount - amount > 0")

payouts = Table(
    "payouts",
    metadata,
    row_id(),
    uuid(),
    ref("purchase_id", "purchases.id", index=False),
    ref("recipient_id", "users.id", index=False),
    Column("recipient_number", Integer, nullable=False),
    Column("share_bps", Integer, nullable=False),
    money("amount"),
    money("netted_amount", default=0),
    money("paid_amount", default=0),
    money("settled_amount", default=0),
    *state("state", states.UsdcStatus),
    Column("state_before_hold", String(24)),
    Column("reason", Text),
    moment("paid_at"),
    Column("batch_id", ROW_ID, ForeignKey("batches.id")),
    Column("transfer_id", ROW_ID, ForeignKey("transfers.id")),
    Column("chain", String(16), nullable=False, server_default="SOL"),
    Column("signature", String(128)),
    moment("distributed_at", nullable=True),
    moment("created_at"),
    UniqueConstraint("purchase_id", "recipient_id", name="uq_payouts_recipient"),
    UniqueConstraint("purchase_id", "recipient_number", name="uq_payouts_number"),
    CheckConstraint("amount >= 0 AND netted_amount >= 0 AND paid_amount >= 0", name="amount"),
    CheckConstraint("state = 'distributed' OR netted_amount <= amount", name="netted_amount"),
    CheckConstraint("(state = 'distributed') = (paid_amount > 0)", name="distributed"),
    CheckConstraint("paid_amount = 0 OR signature IS NOT NULL", name="paid"),
    CheckConstraint("settled_amount = 0 OR state = 'distributed'", name="settled"),
    Index("ix_payouts_state_paid", "state", "paid_at", "purchase_id"),
    Index(
        "ix_payouts_batch_state",
        "batch_id",
        "state",
        sqlite_where=Column("batch_id").is_not(None),
        postgresql_where=Column("batch_id").is_not(None),
    ),
    Index(
        "ix_payouts_transfer_id",
        "transfer_id",
        sqlite_where=Column("transfer_id").is_not(None),
        postgresql_where=Column("transfer_id").is_not(None),
    ),
    Index("ix_payouts_recipient", "recipient_id", "state", "paid_at"),
    Index("ix_payouts_in_debt", "recipient_id", sqlite_where=_IN_DEBT, postgresql_where=_IN_DEBT),
    Index("ix_payouts_signature", "signature"),
    Index(
        "ix_payouts_distributed",
        "distributed_at",
        sqlite_where=Column("distributed_at").is_not(None),
        postgresql_where=Column("distributed_at").is_not(None),
    ),
)
"""One per recipient of a purchase, ever: the unique constraint over all rails, modes and batches. `paid_at` is the
purchase's, repeated for the order of funding and planning; planning a hundred thousand of them only adds to the indexes
of batches and transfers, which hold none that is in neither. Where one goes stands in its transfer. Base units:
`amount` is what is due after what came back, `paid_amount` what the chain moved, `netted_amount` what debts used up,
`settled_amount` what people settled by hand of one that was paid (`settlements`)."""

batches = Table(
    "batches",
    metadata,
    row_id(),
    uuid(),
    Column("key", String(64), nullable=False, unique=True),
    moment("cutoff_at"),
    *state("status", states.BatchStatus),
    Column("paused", Boolean, nullable=False, server_default="0"),
    Column("grouping", String(16), nullable=False),
    Column("rail", String(16), nullable=False),
    Column("payout_count", Integer, nullable=False),
    money("planned_amount"),
    money("fee_ceiling_lamports", default=0),
    Column("digest", String(64)),
    Column("pause_reason", Text),
    moment("settled_at", nullable=True),
    moment("created_at"),
    Index("ix_batches_status", "status"),
)
"""Frozen when planned; `digest` is over its items. `key`: `monday:<date>` for the scheduled batch, `offcycle:<uuid>`
for others."""

batch_items = Table(
    "batch_items",
    metadata,
    Column("batch_id", ROW_ID, ForeignKey("batches.id"), primary_key=True),
    Column("payout_id", ROW_ID, ForeignKey("payouts.id"), primary_key=True),
    Column("destination_address", String(64), nullable=False),
    money("amount"),
    info={"append_only": True},
)
"""What was planned, payout by payout: what is sent may be less, never more and never elsewhere."""

batch_approvals = Table(
    "batch_approvals",
    metadata,
    row_id(),
    ref("batch_id", "batches.id", index=False),
    Column("digest", String(64), nullable=False),
    Column("approver", String(64), nullable=False),
    moment("created_at"),
    UniqueConstraint("batch_id", "approver", name="uq_batch_approvals_approver"),
    info={"append_only": True},
)

transfers = Table(
    "transfers",
    metadata,
    row_id(),
    uuid(),
    ref("batch_id", "batches.id", index=False),
    ref("recipient_id", "users.id"),
    Column("reference", String(400), nullable=False, unique=True),
    Column("key_scope", String(300), nullable=False),
    money("amount"),
    Column("destination_address", String(64), nullable=False),
    moment("created_at"),
    CheckConstraint("amount > 0", name="amount"),
    Index("ix_transfers_batch", "batch_id", "recipient_id"),
)
"""One USDC movement to one recipient: of one payout, or of several with `grouping = "creator"`. A plan finds the one of
each payout by batch and recipient, whatever the recipient got in the weeks before."""

transfer_attempts = Table(
    "transfer_attempts",
    metadata,
    row_id(),
    ref("transfer_id", "transfers.id", index=False),
    Column("attempt", Integer, nullable=False),
    *state("state", states.TransferState),
    Column("idempotency_key", String(36), nullable=False, unique=True),
    Column("wallet_id", String(64), nullable=False),
    Column("source_address", String(64), nullable=False),
    Column("body", Text, nullable=False),
    Column("circle_transaction_id", String(64), unique=True),
    Column("circle_state", String(states.STATE_CHARS)),
    moment("circle_updated_at", nullable=True),
    Column("signature", String(128), index=True),
    Column("error_reason", Text),
    Column("proof", Text),
    money("cost_lamports", nullable=True),
    moment("created_at"),
    moment("first_sent_at", nullable=True),
    UniqueConstraint("transfer_id", "attempt", name="uq_transfer_attempts_attempt"),
    Index("ix_transfer_attempts_created", "created_at"),
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

nettings = Table(
    "nettings",
    metadata,
    row_id(),
    ref("debtor_payout_id", "payouts.id"),
    ref("payout_id", "payouts.id"),
    ref("recipient_id", "users.id"),
    money("amount"),
    Column("ledger_key", String(300), nullable=False, unique=True),
    moment("created_at"),
    moment("undone_at", nullable=True),
    CheckConstraint("amount > 0", name="amount"),
)
"""Debt of one payout (base units) that used up part of another's due. `ledger_key` names its entry."""

settlements = Table(
    "settlements",
    metadata,
    row_id(),
    ref("payout_id", "payouts.id"),
    ref("recipient_id", "users.id"),
    Column("kind", String(12), nullable=False),
    money("amount"),
    money("owed_amount", default=0),
    ref("movement_id", "chain_movements.id", nullable=True),
    Column("ledger_key", String(300), nullable=False, unique=True),
    moment("created_at"),
    CheckConstraint("amount > 0 AND owed_amount BETWEEN 0 AND amount", name="amount"),
    CheckConstraint("kind IN ('paid', 'repaid', 'forgiven', 'unforgiven')", name="kind"),
    info={"append_only": True},
)
"""What people settled by hand (base units): `paid` to a recipient beside a payout, `owed_amount` of it being due on
that; what he has `repaid` of a debt, by a deposit (`movement_id`) or elsewhere; what was `forgiven` of one, and has
ended with it (`unforgiven`). `ledger_key` names its entry; who and why stand in the history and the audit log."""

screenings = Table(
    "screenings",
    metadata,
    row_id(),
    Column("address", String(64), nullable=False),
    Column("screener", String(32), nullable=False),
    Column("allowed", Boolean, nullable=False),
    Column("reason", Text),
    moment("created_at"),
)

conversions = Table(
    "conversions",
    metadata,
    row_id(),
    uuid(),
    money("usd_cents"),
    money("expected_usdc"),
    money("received", default=0),
    Column("note", String(200), nullable=False, server_default=""),
    moment("created_at"),
    moment("settled_at", nullable=True),
    moment("withdrawn_at", nullable=True),
    Column("signature", String(128)),
    CheckConstraint("withdrawn_at IS NULL OR (received = 0 AND settled_at IS NULL)", name="withdrawn"),
    Index("uq_conversions_signature", "signature", unique=True),
)
"""What the operator announced, or what an order at Circle Mint became: then `signature` names the one transaction that
explains it. It explains deposits; only the chain releases money. Base units: `expected_usdc`, and
`received` by the deposits it explains; `settled_at`: nothing more of it is to come; `withdrawn_at`: it was announced by
mistake, and nothing has come for it."""
