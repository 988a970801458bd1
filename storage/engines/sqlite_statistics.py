"""What SQLite's planner is told of indexes that tell few rows apart.

It has no figures of its own unless somebody counts, and takes every index for one that finds ten rows; by a state it
finds a large part of all that ever was. Counted figures would make a plan depend on the day of the counting, so these
are fixed ones, of a platform that is some years old.
"""

from sqlalchemy import Connection

_FIGURES = {
    "ix_payouts_state_paid": ("payouts", "1000000 50000 10 1"),
    "ix_payouts_recipient": ("payouts", "1000000 16 8 1"),
    "ix_payouts_in_debt": ("payouts", "1000 2"),
    "ix_transfers_batch": ("transfers", "1000000 50000 1"),
    "ix_purchases_status_paid": ("purchases", "1000000 50000 10"),
}
"""By index: its table, how many rows it has, and how many share the first, the first two and all of its columns (SQLite
file format, section 2.6.3)."""


def tell(conn: Connection) -> None:
    """Write the figures down in the database and have this connection use them. Idempotent; others read them when they
    open the file. PostgreSQL counts by itself."""
    if conn.dialect.name != "sqlite":
        return
    conn.exec_driver_sql("ANALYZE sqlite_schema")  # makes the table of figures where there is none
    conn.exec_driver_sql("DELETE FROM sqlite_stat1")
    for index, (table, figures) in _FIGURES.items():
        conn.exec_driver_sql("INSERT INTO sqlite_stat1 (tbl, idx, stat) VALUES (?, ?, ?)", (table, index, figures))
    conn.exec_driver_sql("ANALYZE sqlite_schema")
