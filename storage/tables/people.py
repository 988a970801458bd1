"""Who takes part: users, invite codes, bearer tokens."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text

from domain import states
from storage.tables.columns import metadata, moment, money, ref, row_id, state, uuid

users = Table(
    "users",
    metadata,
    row_id(),
    uuid(),
    Column("email", String(320), nullable=False, unique=True),
    Column("username", String(64), nullable=False),
    Column("password_hash", Text, nullable=False),
    Column("wallet_provider", String(16), nullable=False, server_default="circle_w3s"),
    Column("circle_wallet_id", String(64), unique=True),
    Column("circle_wallet_address", String(64), index=True),
    Column("wallet_address", String(64), index=True),
    Column("web3auth_sub", String(255), unique=True),
    Column("wallet_chain", String(16), nullable=False, server_default="SOL"),
    *state("wallet_state", states.WalletState),
    Column("wallet_attempt", Integer, nullable=False, server_default="1"),
    Column("wallet_challenge_id", String(64), unique=True),
    moment("address_changed_at", nullable=True),
    moment("created_at"),
    CheckConstraint("wallet_provider IN ('circle_w3s', 'external', 'web3auth')", name="wallet_provider"),
    CheckConstraint("wallet_chain = 'SOL'", name="wallet_chain"),
)
"""`wallet_address` is the external address of users from before; `address_changed_at` starts the cool-off.
Both addresses are of `wallet_chain`, as each payout is of its `chain`; Solana is the one that is built."""

invites = Table(
    "invites",
    metadata,
    row_id(),
    Column("code_hash", String(64), nullable=False, unique=True),
    Column("uses_left", Integer),
    Column("note", String(200), nullable=False, server_default=""),
    moment("created_at"),
    CheckConstraint("uses_left IS NULL OR uses_left >= 0", name="uses_left"),
)
"""`uses_left` NULL = unlimited."""

tokens = Table(
    "tokens",
    metadata,
    row_id(),
    Column("token_hash", String(64), nullable=False, unique=True),
    ref("user_id", "users.id", nullable=True),
    Column("role", String(16), nullable=False),
    Column("name", String(64), nullable=False, server_default=""),
    Column("created_by", String(64), nullable=False, server_default=""),
    moment("expires_at"),
    moment("revoked_at", nullable=True),
    moment("created_at"),
    CheckConstraint("role IN ('user', 'viewer', 'operator', 'approver')", name="role"),
    CheckConstraint("(role = 'user') = (user_id IS NOT NULL)", name="owner"),
    Index("ix_tokens_expires_at", "expires_at"),
)
"""Bearer tokens, hashed: of users (role `user`) and of the admin port (the other roles). `created_by` is the operator
who made it."""

withdrawals = Table(
    "withdrawals",
    metadata,
    row_id(),
    uuid(),
    ref("user_id", "users.id"),
    Column("wallet_id", String(64), nullable=False),
    Column("destination_address", String(64), nullable=False),
    money("amount"),
    *state("state", states.WithdrawalState),
    Column("challenge_id", String(64), unique=True),
    Column("circle_transaction_id", String(64), unique=True),
    Column("signature", String(128)),
    Column("reason", Text),
    moment("created_at"),
    CheckConstraint("amount > 0", name="amount"),
    Index(
        "uq_withdrawals_open",
        "user_id",
        unique=True,
        sqlite_where=Column("state").in_(["intended", "challenge"]),
        postgresql_where=Column("state").in_(["intended", "challenge"]),
    ),
)
"""USDC (base units) that a user sends out of his own Circle wallet; one at most waits for his PIN. No money of ours."""

sessions = Table(
    "sessions",
    metadata,
    row_id(),
    Column("session_hash", String(64), nullable=False, unique=True),
    ref("token_id", "tokens.id"),
    moment("expires_at"),
    moment("revoked_at", nullable=True),
    moment("created_at"),
    Index("ix_sessions_expires_at", "expires_at"),
)
"""Cookies of people who look at pages, hashed. Each stands for a token: it ends with it, and can do what it can."""
