"""Purchases, the attempts to mint their NFTs, and what came back of their money."""

from sqlalchemy import (
    Boolean,
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
    text,
)

from domain import states
from storage.tables.columns import ROW_ID, metadata, moment, money, ref, row_id, state, uuid

_HELD = text("hold_reason IS NOT NULL")

purchases = Table(
    "purchases",
    metadata,
    row_id(),
    uuid(),
    Column("stripe_payment_intent_id", String(255), unique=True),
    Column("stripe_checkout_session_id", String(255), unique=True),
    Column("stripe_charge_id", String(255), unique=True),
    Column("stripe_balance_transaction_id", String(255), unique=True),
    Column("checkout_id", ROW_ID, ForeignKey("checkouts.id"), nullable=False, unique=True),
    ref("content_id", "contents.id"),
    ref("buyer_id", "users.id"),
    money("gross_amount"),
    money("stripe_fee", nullable=True),
    money("net_after_stripe", nullable=True),
    money("refunded_amount", default=0),
    moment("available_on", nullable=True),
    moment("paid_at", nullable=True),
    *state("status", states.PurchaseStatus),
    Column("status_reason", Text),
    Column("status_before_refund", String(24)),
    Column("edition_held", Boolean, nullable=False),
    Column("edition_number", Integer),
    Column("hold_reason", Text),
    Column("split_rule", Text),
    money("creator_amount", nullable=True),
    money("platform_amount", nullable=True),
    Column("circle_nft_id", String(64)),
    Column("circle_mint_transaction_id", String(64)),
    Column("nft_mint_address", String(64), unique=True),
    Column("mint_signature", String(128), unique=True),
    moment("minted_at", nullable=True),
    moment("released_at", nullable=True),
    Column("nft_transferred", Boolean, nullable=False, server_default="0"),
    money("mint_cost", default=0),
    money("network_cost_lamports", nullable=True),
    moment("created_at"),
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
    Index("ix_purchases_held", "id", sqlite_where=_HELD, postgresql_where=_HELD),
)
"""Cents: gross_amount, stripe_fee, net_after_stripe, refunded_amount, mint_cost (what the buyer paid for the mint).
USDC base units: creator_amount, platform_amount. `usdc_payment_status` is derived from the payouts and `hold_reason`.
A missing fee is NULL, never 0. `released_at`: an operator let the creators be paid though the buyer has no wallet for
the NFT yet. `split_rule` names the terms the split was made under."""

mint_attempts = Table(
    "mint_attempts",
    metadata,
    row_id(),
    uuid(),
    ref("purchase_id", "purchases.id", index=False),
    Column("attempt", Integer, nullable=False),
    *state("state", states.MintState),
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
    money("last_valid_block_height", nullable=True),
    money("cost_lamports", nullable=True),
    Column("proof", Text),
    moment("created_at"),
    moment("signed_at", nullable=True),
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

mint_payouts = Table(
    "mint_payouts",
    metadata,
    row_id(),
    ref("mint_attempt_id", "mint_attempts.id", index=False),
    ref("recipient_id", "users.id"),
    Column("destination_address", String(64), nullable=False),
    money("amount"),
    moment("created_at"),
    moment("ended_at", nullable=True),
    moment("released_at", nullable=True),
    UniqueConstraint("mint_attempt_id", "recipient_id", name="uq_mint_payouts_recipient"),
    CheckConstraint("amount > 0", name="amount"),
    Index(
        "ix_mint_payouts_promised",
        "mint_attempt_id",
        sqlite_where=Column("ended_at").is_(None),
        postgresql_where=Column("ended_at").is_(None),
    ),
)
"""What a mint's transaction pays to whom beside minting (base units), frozen with the attempt. Promised until
`ended_at`: the attempt has landed, and the sale's payouts were born; or it is proven dead; or, `released_at`, nothing
of it was signed and it mints alone, or the NFT was made by a transaction that paid nothing."""

refunds = Table(
    "refunds",
    metadata,
    row_id(),
    uuid(),
    ref("purchase_id", "purchases.id"),
    Column("stripe_refund_id", String(255), unique=True),
    Column("idempotency_key", String(36), unique=True),
    Column("params", Text),
    Column("reason", String(64), nullable=False),
    money("amount"),
    *state("state", states.RefundState),
    moment("created_at"),
    CheckConstraint("(idempotency_key IS NULL) = (params IS NULL)", name="ours"),
    CheckConstraint("amount > 0", name="amount"),
)
"""Every refund of a sale (cents): those we ask for carry key and parameters, those made at Stripe do not."""

_WITHDRAWN = text("withdrawn > 0")

disputes = Table(
    "disputes",
    metadata,
    row_id(),
    ref("purchase_id", "purchases.id"),
    Column("stripe_dispute_id", String(255), nullable=False, unique=True),
    Column("status", String(32), nullable=False),
    Column("rank", Integer, nullable=False),
    moment("event_at"),
    money("amount"),
    money("withdrawn", default=0),
    money("fee", default=0),
    moment("created_at"),
    Index("ix_disputes_withdrawn", "purchase_id", sqlite_where=_WITHDRAWN, postgresql_where=_WITHDRAWN),
)
"""Disputes as Stripe tells them (cents): `withdrawn` and `fee` are what its balance transactions took, net of what
they gave back. `rank` and `event_at` keep old news from overwriting newer."""
