"""What Stripe and Circle list, copied; and the reports that hold it against the books."""

from sqlalchemy import CheckConstraint, Column, Index, Integer, String, Table, Text

from storage.tables.columns import metadata, moment, money, ref, row_id

balance_transactions = Table(
    "balance_transactions",
    metadata,
    row_id(),
    Column("stripe_id", String(255), nullable=False, unique=True),
    Column("type", String(64), nullable=False),
    Column("source", String(255), index=True),
    money("amount"),
    money("fee"),
    Column("currency", String(8), nullable=False),
    moment("stripe_created_at"),
    moment("created_at"),
    info={"append_only": True},
)
"""Every movement of Stripe's balance (cents), as Stripe's list has it; such a row never changes at Stripe."""

circle_transactions = Table(
    "circle_transactions",
    metadata,
    row_id(),
    Column("circle_id", String(64), nullable=False, unique=True),
    Column("state", String(32), nullable=False),
    Column("reference", String(400)),
    Column("token_id", String(64)),
    money("amount", nullable=True),
    Column("destination", String(64)),
    Column("signature", String(128)),
    moment("circle_created_at"),
    moment("circle_updated_at"),
    Index("ix_circle_transactions_created", "circle_created_at"),
)
"""Outbound transactions of the platform wallet as Circle lists them; `amount` in base units where it is one of USDC."""

reconciliations = Table(
    "reconciliations",
    metadata,
    row_id(),
    Column("asked_by", String(64), nullable=False),
    moment("started_at"),
    moment("listed_at", nullable=True),
    moment("finished_at", nullable=True),
    Column("phase", String(24), nullable=False),
    Column("done", Integer, nullable=False, server_default="0"),
    Column("green", Integer, nullable=False, server_default="0"),
    Column("explained", Integer, nullable=False, server_default="0"),
    Column("red", Integer, nullable=False, server_default="0"),
    Column("heads", Text, nullable=False, server_default="{}"),
    Column("figures", Text, nullable=False, server_default="{}"),
)
"""One report. Counts are of sales; `red` also counts what belongs to no sale. `heads`: chain → [number, digest] when it
began, which anchors the hash chains. `figures`: sums in JSON, cents and base units."""

reconciliation_findings = Table(
    "reconciliation_findings",
    metadata,
    row_id(),
    ref("reconciliation_id", "reconciliations.id"),
    Column("colour", String(16), nullable=False),
    Column("book", String(16), nullable=False),
    Column("subject", String(255), nullable=False),
    Column("code", String(32), nullable=False),
    Column("why", Text, nullable=False),
    CheckConstraint("colour IN ('explained', 'red')", name="colour"),
    CheckConstraint("book IN ('sale', 'stripe', 'circle', 'chain', 'rule')", name="book"),
    Index("ix_reconciliation_findings_colour", "reconciliation_id", "colour", "id"),
)
"""What is not green. Those explained are kept for the latest report only."""
