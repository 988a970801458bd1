"""What is for sale, and the Checkout Sessions that sell it."""

from sqlalchemy import CheckConstraint, Column, ForeignKey, Index, Integer, String, Table, Text

from domain import states
from storage.tables.columns import ROW_ID, metadata, moment, money, ref, row_id, state, uuid

contents = Table(
    "contents",
    metadata,
    row_id(),
    uuid(),
    ref("author_id", "users.id"),
    Column("title", String(200), nullable=False),
    Column("description", Text, nullable=False, server_default=""),
    money("price_cents"),
    Column("editions", Integer),
    Column("editions_taken", Integer, nullable=False, server_default="0"),
    Column("editions_numbered", Integer, nullable=False, server_default="0"),
    Column("ipfs_hash", String(128)),
    Column("teaser_link", String(500)),
    moment("taken_down_at", nullable=True),
    moment("created_at"),
    CheckConstraint("price_cents >= 50", name="price"),
    CheckConstraint("editions IS NULL OR editions_taken <= editions", name="editions"),
    CheckConstraint("editions_taken >= 0", name="editions_taken"),
)
"""`editions` NULL = unlimited. `editions_taken` counts those held now, `editions_numbered` numbers ever given."""

content_shares = Table(
    "content_shares",
    metadata,
    Column("content_id", ROW_ID, ForeignKey("contents.id"), primary_key=True),
    Column("user_id", ROW_ID, ForeignKey("users.id"), primary_key=True, index=True),
    Column("share_bps", Integer, nullable=False),
    CheckConstraint("share_bps > 0 AND share_bps <= 10000", name="share_bps"),
)
"""Who gets which part of the creator side, in basis points that sum to 10,000 per content."""

checkouts = Table(
    "checkouts",
    metadata,
    row_id(),
    uuid(),
    ref("content_id", "contents.id"),
    ref("buyer_id", "users.id"),
    Column("idempotency_key", String(36), nullable=False, unique=True),
    Column("params", Text, nullable=False),
    *state("state", states.CheckoutState),
    Column("stripe_session_id", String(255), unique=True),
    Column("url", Text),
    money("price_cents"),
    moment("expires_at"),
    moment("created_at"),
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
