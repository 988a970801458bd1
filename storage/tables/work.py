"""What a worker claims: jobs and the two inboxes."""

from sqlalchemy import Column, Index, LargeBinary, String, Table, UniqueConstraint

from storage.tables.columns import metadata, moment, row_id, work

jobs = Table(
    "jobs",
    metadata,
    row_id(),
    Column("kind", String(32), nullable=False),
    Column("subject", String(64), nullable=False),
    *work(),
    UniqueConstraint("kind", "subject", name="uq_jobs_subject"),
    Index("ix_jobs_due", "state", "kind", "due_at"),
)
"""One row moves one subject one step. A finished job's row is deleted; its effects are in the subject's history.
One that a person has closed stays, `done`."""

stripe_events = Table(
    "stripe_events",
    metadata,
    row_id(),
    Column("event_id", String(255), nullable=False, unique=True),
    Column("type", String(100), nullable=False),
    moment("stripe_created_at"),
    Column("body", LargeBinary, nullable=False),
    Column("waits_for", String(255), index=True),
    *work(),
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
    row_id(),
    Column("notification_id", String(64), nullable=False, unique=True),
    Column("type", String(100), nullable=False),
    Column("body", LargeBinary, nullable=False),
    *work(),
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
