"""What the chain says, and how far it has been read."""

from sqlalchemy import BigInteger, CheckConstraint, Column, ForeignKey, Index, String, Table, Text, UniqueConstraint

from domain import states
from storage.tables.columns import ROW_ID, metadata, moment, money, ref, row_id, state

watched_signatures = Table(
    "watched_signatures",
    metadata,
    Column("signature", String(128), primary_key=True),
    Column("purpose", String(16), nullable=False),
    Column("subject", String(64), nullable=False),
    money("last_valid_block_height", nullable=True),
    *state("state", states.WatchState),
    money("slot", nullable=True),
    Column("err", Text),
    Column("proof", Text),
    moment("created_at"),
    moment("changed_at"),
    Index("ix_watched_signatures_state", "state"),
)
"""Signatures whose fate somebody waits for. The indexer writes the state and makes job (purpose, subject) due."""

chain_movements = Table(
    "chain_movements",
    metadata,
    row_id(),
    Column("signature", String(128), nullable=False),
    Column("account", String(64), nullable=False),
    Column("asset", String(24), nullable=False),
    money("amount"),
    money("slot"),
    moment("block_time", nullable=True),
    Column("kind", String(16), nullable=False),
    Column("counterparty", String(64)),
    Column("transfer_id", ROW_ID, ForeignKey("transfers.id"), unique=True),
    money("unexplained", nullable=True),
    money("own_amount", default=0),
    moment("created_at"),
    UniqueConstraint("signature", "account", "asset", name="uq_chain_movements_movement"),
    CheckConstraint("kind IN ('deposit', 'payout', 'orphan', 'mint', 'other')", name="kind"),
    Index("ix_chain_movements_balance", "account", "asset", "slot", "amount"),
    Index(
        "ix_chain_movements_orphan",
        "id",
        sqlite_where=Column("kind") == "orphan",
        postgresql_where=Column("kind") == "orphan",
    ),
    Index(
        "ix_chain_movements_sender",
        "counterparty",
        sqlite_where=Column("kind") == "deposit",
        postgresql_where=Column("kind") == "deposit",
    ),
    Index(
        "ix_chain_movements_unexplained",
        *("slot", "id"),
        sqlite_where=Column("unexplained", BigInteger) > 0,
        postgresql_where=Column("unexplained", BigInteger) > 0,
    ),
)
"""Finalized changes of the platform wallet's USDC account and SOL, one row a transaction; their sum, up to any slot, is
its balance, read off an index alone. `unexplained`: of a deposit, the base units that no announced conversion explains,
nor a debt that was repaid by it, nor a person's word that they were his own (`own_amount`)."""

deposit_matches = Table(
    "deposit_matches",
    metadata,
    row_id(),
    ref("movement_id", "chain_movements.id", index=False),
    ref("conversion_id", "conversions.id"),
    money("amount"),
    moment("created_at"),
    moment("undone_at", nullable=True),
    UniqueConstraint("movement_id", "conversion_id", name="uq_deposit_matches_share"),
    CheckConstraint("amount > 0", name="amount"),
)
"""Which part of a deposit is which announced conversion's, in base units. `undone_at`: a person has said that it was
not, and it never is again."""

cursors = Table(
    "cursors",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    money("position", nullable=True),
    moment("moved_at"),
)
"""How far a follower has read: last signature stored (position = slot), last Stripe event time, and so on."""

readings = Table(
    "readings",
    metadata,
    Column("name", String(64), primary_key=True),
    money("amount"),
    money("slot"),
    moment("read_at"),
)
"""Latest finalized balances read from the chain: `treasury_usdc` (base units), `treasury_sol` (lamports). Beside them
what was read of Stripe (`storage/reading/vitals.py`), with the second of the look in place of the slot."""

chain_facts = Table(
    "chain_facts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    moment("seen_at"),
    moment("changed_at"),
)
"""What the chain was last seen to be like: genesis hash, rent, fee, transaction version, the USDC mint, slot time."""

nft_holdings = Table(
    "nft_holdings",
    metadata,
    Column("purchase_id", ROW_ID, ForeignKey("purchases.id"), primary_key=True),
    Column("mint_address", String(64), nullable=False, unique=True),
    Column("buyer_address", String(64), nullable=False),
    Column("holder", String(64)),
    Column("account", String(64)),
    money("slot", nullable=True),
    moment("moved_at", nullable=True),
    moment("due_at", index=True),
)
"""Who holds each NFT that was minted, as last seen at finalized `slot`, NULL once it was burned; `account` is the token
account, NULL for the buyer's associated one. `due_at`: when to look again."""
