"""The ledger, and the history of every state."""

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, String, Table, Text, UniqueConstraint

from domain.states import STATE_CHARS
from storage.tables.columns import metadata, moment, money, ref, row_id

ledger_entries = Table(
    "ledger_entries",
    metadata,
    row_id(),
    Column("key", String(300), nullable=False, unique=True),
    Column("kind", String(32), nullable=False),
    Column("subject", String(300), nullable=False, index=True),
    moment("created_at"),
    info={"append_only": True},
)

ledger_postings = Table(
    "ledger_postings",
    metadata,
    row_id(),
    ref("entry_id", "ledger_entries.id"),
    Column("account", String(64), nullable=False),
    Column("asset", String(24), nullable=False),
    money("amount"),
    CheckConstraint("amount <> 0", name="amount"),
    info={"append_only": True},
)

ledger_balances = Table(
    "ledger_balances",
    metadata,
    Column("account", String(64), primary_key=True),
    Column("asset", String(24), primary_key=True),
    money("amount"),
)
"""Running sums of the postings, moved in the same transaction."""

seals = Table(
    "seals",
    metadata,
    Column("chain", String(24), primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("row_id", BigInteger, nullable=False),
    Column("digest", String(64), nullable=False),
    moment("sealed_at"),
    UniqueConstraint("chain", "row_id", name="uq_seals_row"),
    info={"append_only": True},
)
"""The hash chains over append-only tables (`domain/hash_chain.py`), one row for each row sealed."""

state_history = Table(
    "state_history",
    metadata,
    row_id(),
    Column("machine", String(24), nullable=False),
    Column("subject", String(64), nullable=False),
    Column("before", String(STATE_CHARS)),
    Column("after", String(STATE_CHARS), nullable=False),
    Column("reason", Text),
    moment("at"),
    Index("ix_state_history_subject", "machine", "subject"),
    info={"append_only": True},
)
"""One row for each state change, in the transaction that makes it."""
