"""How SQLite goes about what it is asked, and which of that takes longer with each week that was."""

import contextlib
import re
import sqlite3
from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, event

from storage.tables import metadata

SHORT = {
    *("alerts", "alert_messages", "chain_facts", "cursors", "installation", "jobs", "ledger_balances", "readings"),
    *("conversion_orders", "conversions", "reconciliations", "switches"),
}
"""Tables with a row for each of a handful of things, for what is open, or for each day at most."""
GROWING = {table.name for table in metadata.sorted_tables} - SHORT
PARTIAL = {
    index.name
    for table in metadata.sorted_tables
    for index in table.indexes
    if index.dialect_options["sqlite"].get("where") is not None
}
"""Indexes of what is still open: reading one whole is reading little."""
WHOLE = (
    "SET lease_holder=?, lease_until=?",  # once, at the start of a process that has the file to itself
    'batches."key" LIKE',  # from the newest on, and the first few are enough
    "GROUP BY chain_movements.asset",  # `verify` and the nightly books read everything: that is what they are for
    "GROUP BY balance_transactions.type",
    "FROM batches GROUP BY batches.status",  # off the index alone, for the metrics
    "GROUP BY payouts.recipient_id, payouts.state",  # a page of creators, and what each of them was ever paid
    "LEFT OUTER JOIN seals",
    # a creator's look at his own: what he was ever paid, a page of it off the index
    "WHERE payouts.recipient_id = ? GROUP BY payouts.state",
    "WHERE payouts.recipient_id = ? ORDER BY payouts.id DESC",
    # once for each outflow that nothing explains, which stops all sends until a person has looked: with an index of
    # addresses each plan of 100,000 payouts would take twice as long on PostgreSQL, and ten times on SQLite
    "WHERE batch_items.destination_address = ?",
    "payouts.recipient_id IN (SELECT 1 FROM (SELECT 1) WHERE 1!=1)",
    "contents.author_id IN (SELECT 1 FROM (SELECT 1) WHERE 1!=1)",
)
"""Parts of statements that may read a table from one end to the other, and why."""

Plans = dict[str, list[str]]


@contextlib.contextmanager
def plans_kept() -> Iterator[Plans]:
    """How SQLite goes about each statement that runs meanwhile, asked when it comes the first time."""
    found: Plans = {}

    def look(conn: Connection, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement in found or not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            return
        first = [getattr(value, "value", value) for value in (parameters[0] if many else parameters)]
        with _asking(conn, cursor) as asked:
            found[statement] = [row[3] for row in asked.execute(f"EXPLAIN QUERY PLAN {statement}", first)]

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


@contextlib.contextmanager
def _asking(conn: Connection, cursor: Any) -> Iterator[Any]:
    """A cursor of the statement's own connection, which alone sees the tables of a migration; where that one can't be
    used beside it, one to the same file."""
    own = getattr(cursor, "connection", None)
    with contextlib.closing(own.cursor() if own else sqlite3.connect(str(conn.engine.url.database))) as asked:
        yield asked


def growing(plans: Plans) -> Plans:
    """The statements that get slower with what was, and the steps of their plans that do."""
    steps = {
        statement: _reads_whole(statement, plan) + _reads_settled(statement, plan) for statement, plan in plans.items()
    }
    return {statement: found for statement, found in steps.items() if found}


def _reads_whole(statement: str, plan: list[str]) -> list[str]:
    """The steps of a plan that read a growing table from one end to the other."""
    if ("LIMIT" in statement and "WHERE" not in statement) or any(part in statement for part in WHOLE):
        return []
    scans = [re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step) for step in plan]
    return [one[0] for one in scans if one is not None and one[1] in GROWING and one[2] not in PARTIAL]


def _reads_settled(statement: str, plan: list[str]) -> list[str]:
    """Steps that find payouts by their state alone, though the statement knows of which purchase they are, and those
    that go through all that somebody was ever paid."""
    open_only = re.search(r"(state|status) (= |IN \()'(pending_|on_hold|failed|payment_completed|minting)", statement)
    by_state = re.compile(r"SEARCH (payouts|purchases) USING .*\((state|status)=\?\)")
    by_recipient = re.compile(r"SEARCH payouts USING .*ix_payouts_recipient \(recipient_id=")
    found = [step for step in plan if by_state.match(step)]
    is_meant = open_only and "purchase_id IN" not in statement
    of_somebody = [step for step in plan if by_recipient.match(step) and not open_only]
    return [] if any(part in statement for part in WHOLE) else of_somebody + ([] if is_meant else found)
