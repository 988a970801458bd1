"""What the operators did."""

from sqlalchemy import Column, Index, String, Table, Text

from storage.tables.columns import metadata, moment, row_id

audit_log = Table(
    "audit_log",
    metadata,
    row_id(),
    moment("at"),
    Column("actor", String(64), nullable=False),
    Column("remote", String(64), nullable=False, server_default=""),
    Column("request_id", String(64), nullable=False, server_default=""),
    Column("action", String(32), nullable=False),
    Column("kind", String(32), nullable=False),
    Column("subject", String(128), nullable=False),
    Column("reason", Text),
    Column("before", Text),
    Column("after", Text),
    Index("ix_audit_log_subject", "kind", "subject"),
    Index("ix_audit_log_actor", "actor"),
    info={"append_only": True},
)
"""One row for each change that an operator makes, in the transaction that makes it. `before` and `after` are the
subject's facts as JSON; NULL where it did not exist, or has none."""
