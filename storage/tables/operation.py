"""This installation, its operator's switches, its alerts and its backups."""

from sqlalchemy import BigInteger, Boolean, Column, Index, String, Table, Text

from storage.tables.columns import metadata, moment, row_id, uuid

installation = Table(
    "installation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    moment("set_at"),
)
"""Facts of this installation that must never change: fingerprint, wallet address, genesis hash, first start. And where
these rows were last used, and when a copy of them was put in place of others (`storage/recovery/restoring.py`)."""

switches = Table(
    "switches",
    metadata,
    Column("name", String(32), primary_key=True),
    Column("is_on", Boolean, nullable=False),
    Column("reason", Text, nullable=False, server_default=""),
    Column("set_by", String(64), nullable=False),
    moment("set_at"),
)
"""Switches of the operator that survive a restart: `sends_paused`."""

alerts = Table(
    "alerts",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("is_firing", Boolean, nullable=False),
    moment("changed_at"),
)
"""How each alert that goes out directly stands; its changes are in the state history."""

alert_messages = Table(
    "alert_messages",
    metadata,
    row_id(),
    uuid(),
    Column("name", String(64), nullable=False),
    Column("is_firing", Boolean, nullable=False),
    Column("text", Text, nullable=False),
    moment("created_at"),
    moment("delivered_at", nullable=True),
    Index("ix_alert_messages_name", "name", "id"),
)
"""One for each change of an alert, made with it; delivered in their order."""

backups = Table(
    "backups",
    metadata,
    row_id(),
    uuid(),
    Column("kind", String(16), nullable=False),
    Column("name", Text, nullable=False),
    moment("started_at"),
    moment("finished_at"),
    Column("size_bytes", BigInteger),
    Column("sha256", String(64)),
    Column("taken_by", String(64), nullable=False),
    Index("ix_backups_started", "started_at"),
    info={"append_only": True},
)
"""Backups that succeeded. What was committed before `started_at` is in it. `kind`: `sqlite` or `postgresql` (made by
`backup`), `external` (taken by other means, and told to us)."""
