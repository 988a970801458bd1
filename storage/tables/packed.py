"""The `solana` rail: groups of transfers that one transaction pays, their attempts, their receipts, the upkeep."""

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Table,
    Text,
    UniqueConstraint,
)

from domain import states
from storage.tables.columns import ROW_ID, metadata, moment, money, ref, row_id, state, uuid

payout_groups = Table(
    "payout_groups",
    metadata,
    row_id(),
    uuid(),
    ref("batch_id", "batches.id"),
    *state("state", states.GroupState),
    Column("format", String(8), nullable=False),
    Column("memo", String(64), nullable=False),
    Column("seed", String(32), nullable=False),
    Column("receipt_address", String(64), nullable=False, unique=True),
    money("amount"),
    moment("created_at"),
    moment("settled_at", nullable=True),
    CheckConstraint("amount > 0", name="amount"),
)
"""`seed` and `receipt_address` follow from the UUID and the derivation secret, and are the same in all attempts; of an
adopted group they are read from its transaction."""

group_members = Table(
    "group_members",
    metadata,
    Column("group_id", ROW_ID, ForeignKey("payout_groups.id"), primary_key=True),
    Column("transfer_id", ROW_ID, ForeignKey("transfers.id"), primary_key=True),
    Column("destination_address", String(64), nullable=False),
    money("amount"),
    moment("released_at", nullable=True),
    CheckConstraint("amount > 0", name="amount"),
    Index("ix_group_members_transfer_id", "transfer_id"),
    Index(
        "uq_group_members_live",
        "transfer_id",
        unique=True,
        sqlite_where=Column("released_at").is_(None),
        postgresql_where=Column("released_at").is_(None),
    ),
)
"""A transfer is in one group at most; it leaves (`released_at`) only a group of which every attempt is proven dead."""

group_attempts = Table(
    "group_attempts",
    metadata,
    row_id(),
    ref("group_id", "payout_groups.id", index=False),
    Column("attempt", Integer, nullable=False),
    *state("state", states.PackedState),
    Column("wallet_id", String(64), nullable=False),
    Column("platform_address", String(64), nullable=False),
    Column("wire", LargeBinary),
    Column("signature", String(128), unique=True),
    money("last_valid_block_height", nullable=True),
    Column("proof", Text),
    money("cost_lamports", nullable=True),
    money("fee_lamports", nullable=True),
    moment("created_at"),
    moment("signed_at", nullable=True),
    UniqueConstraint("group_id", "attempt", name="uq_group_attempts_attempt"),
    Index("ix_group_attempts_created", "created_at"),
    Index(
        "uq_group_attempts_live",
        "group_id",
        unique=True,
        sqlite_where=Column("state").in_(["intended", "signed", "sent", "finalized"]),
        postgresql_where=Column("state").in_(["intended", "signed", "sent", "finalized"]),
    ),
)
"""`cost_lamports`: fee and the receipt's rent, which comes back; `fee_lamports`: the fee alone."""

receipts = Table(
    "receipts",
    metadata,
    row_id(),
    Column("address", String(64), nullable=False, unique=True),
    ref("group_id", "payout_groups.id", nullable=True),
    *state("state", states.ReceiptState),
    money("lamports"),
    Column("made_by", String(128)),
    money("made_at_slot", nullable=True),
    Column("closed_by", String(128)),
    money("closed_at_slot", nullable=True),
    moment("created_at"),
)
"""Receipts that the chain has shown. One that is closed and has no group was made and closed by a process whose rows
are lost: the chain would let its group be paid again, so the start gate refuses this database."""

upkeep = Table(
    "upkeep",
    metadata,
    row_id(),
    uuid(),
    Column("kind", String(16), nullable=False),
    ref("batch_id", "batches.id", nullable=True),
    *state("state", states.UpkeepState),
    Column("wallet_id", String(64), nullable=False),
    Column("platform_address", String(64), nullable=False),
    Column("wire", LargeBinary),
    Column("signature", String(128), unique=True),
    money("last_valid_block_height", nullable=True),
    Column("proof", Text),
    money("cost_lamports", nullable=True),
    moment("created_at"),
    CheckConstraint("kind IN ('accounts', 'closing')", name="kind"),
    Index("ix_upkeep_state", "state"),
)
"""`accounts`: missing token accounts are made for a batch; `closing`: receipts give their rents back."""

upkeep_items = Table(
    "upkeep_items",
    metadata,
    Column("upkeep_id", ROW_ID, ForeignKey("upkeep.id"), primary_key=True),
    Column("address", String(64), primary_key=True),
    Index("ix_upkeep_items_address", "address"),
    info={"append_only": True},
)
"""`address`: the owner who gets a token account, or the receipt that is closed."""
