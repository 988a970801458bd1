"""USDC ordered from Circle Mint: what is wanted, who agreed, what was sent, and the deposits seen there."""

from sqlalchemy import CheckConstraint, Column, Index, String, Table, Text, UniqueConstraint, and_

from domain import states
from storage.tables.columns import metadata, moment, money, ref, row_id, state, uuid

_OPEN = and_(Column("state", String).in_(["proposed", "approved", "sending"]), Column("origin", String) == "order")

conversion_orders = Table(
    "conversion_orders",
    metadata,
    row_id(),
    uuid(),
    Column("origin", String(8), nullable=False),
    *state("state", states.ConversionState),
    money("amount"),
    Column("destination_address", String(64), nullable=False),
    Column("digest", String(64), nullable=False),
    Column("note", String(200), nullable=False, server_default=""),
    Column("proposed_by", String(64), nullable=False),
    money("available_base_units", nullable=True),
    moment("looked_at", nullable=True),
    Column("idempotency_key", String(36), unique=True),
    Column("body", Text),
    moment("sent_at", nullable=True),
    Column("circle_transfer_id", String(64), unique=True),
    Column("circle_status", String(states.STATE_CHARS)),
    moment("circle_status_since", nullable=True),
    Column("signature", String(128), unique=True),
    Column("proof", Text),
    ref("conversion_id", "conversions.id", nullable=True),
    moment("created_at"),
    CheckConstraint("amount > 0", name="amount"),
    CheckConstraint("origin IN ('order', 'adopted')", name="origin"),
    CheckConstraint("sent_at IS NULL OR idempotency_key IS NOT NULL", name="sent"),
    CheckConstraint("state NOT IN ('arriving', 'done') OR conversion_id IS NOT NULL", name="announced"),
    Index("uq_conversion_orders_open", "origin", unique=True, sqlite_where=_OPEN, postgresql_where=_OPEN),
)
"""One transfer of USDC from the Circle Mint account to the platform wallet, at most one of them under way. `origin`
`adopted`: made at Circle Mint, unknown to this database until it was found there. `body` is the exact business body,
saved with its key before the first send (`sent_at`). `available_base_units`: what Circle Mint held when last looked at.
`conversion_id`: the announced conversion that it became, which its deposit explains."""

conversion_approvals = Table(
    "conversion_approvals",
    metadata,
    row_id(),
    ref("order_id", "conversion_orders.id"),
    Column("digest", String(64), nullable=False),
    Column("approver", String(64), nullable=False),
    moment("created_at"),
    UniqueConstraint("order_id", "approver", name="uq_conversion_approvals_approver"),
    info={"append_only": True},
)

mint_deposits = Table(
    "mint_deposits",
    metadata,
    row_id(),
    Column("circle_deposit_id", String(64), nullable=False, unique=True),
    money("amount"),
    Column("status", String(states.STATE_CHARS), nullable=False),
    moment("circle_created_at"),
    moment("seen_at"),
)
"""Dollars that arrived in the Circle Mint account, as Circle lists them (base units). They release no money."""
