"""This installation and its operator's switches."""

from sqlalchemy import Boolean, Column, String, Table, Text

from storage.tables.columns import metadata, moment

installation = Table(
    "installation",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", Text, nullable=False),
    moment("set_at"),
)
"""Facts of this installation that must never change: fingerprint, wallet address, genesis hash, first start."""

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
