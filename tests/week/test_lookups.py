"""What a week asks the database: nothing that takes longer with each week before it."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import Engine, event

from simulator.scenario import Scenario
from simulator.week import simulate
from storage.sqlite import SqliteStore
from storage.tables import metadata

SHORT = {
    *("alerts", "alert_messages", "chain_facts", "cursors", "installation", "ledger_balances", "readings"),
    *("reconciliations", "switches", "tokens"),
}
"""Tables with a row for each of a handful of things, or for each day. `jobs` is none: a batch makes thousands."""
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
    "LEFT OUTER JOIN seals",
)
"""Parts of statements that may read a table from one end to the other, and why."""

Plans = dict[str, list[str]]


@contextmanager
def plans_kept() -> Iterator[Plans]:
    """How SQLite goes about each statement that runs meanwhile, asked when it comes the first time."""
    found: Plans = {}

    def look(_conn: Any, cursor: Any, statement: str, parameters: Any, _context: Any, many: bool) -> None:
        if statement in found or not statement.startswith(("SELECT", "UPDATE", "DELETE", "WITH")):
            return
        asked = cursor.connection.cursor()
        first = parameters[0] if many else parameters
        found[statement] = [row[3] for row in asked.execute(f"EXPLAIN QUERY PLAN {statement}", first)]
        asked.close()

    event.listen(Engine, "before_cursor_execute", look)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", look)


def reads_whole(statement: str, plan: list[str]) -> list[str]:
    """The steps of a plan that read a growing table from one end to the other."""
    if ("LIMIT" in statement and "WHERE" not in statement) or any(part in statement for part in WHOLE):
        return []
    scans = [re.match(r"SCAN (\w+)(?: USING (?:COVERING )?INDEX (\w+))?", step) for step in plan]
    return [one[0] for one in scans if one is not None and one[1] in GROWING and one[2] not in PARTIAL]


def reads_all_settled(statement: str, plan: list[str]) -> list[str]:
    """Steps that find payouts by their state alone, though the statement knows of which purchase they are, and those
    that go through all that somebody was ever paid."""
    open_only = re.search(r"state (= |IN \()'(pending_|on_hold)", statement)
    by_state = re.compile(r"SEARCH (payouts|purchases) USING .*\((state|status)=\?\)")
    by_recipient = re.compile(r"SEARCH payouts USING .*ix_payouts_recipient \(recipient_id=")
    found = [step for step in plan if by_state.match(step)]
    is_meant = open_only and "purchase_id IN" not in statement
    of_somebody = [step for step in plan if by_recipient.match(step) and not open_only]
    return of_somebody + ([] if is_meant else found)


@pytest.mark.parametrize(("rail", "mode"), [("circle", "realtime"), ("solana", "weekly")])
def test_no_statement_of_a_week_reads_what_all_weeks_before_have_left(
    sqlite_store: SqliteStore, rail: str, mode: str
) -> None:
    settings = (("AGENT_RAIL", rail), ("AGENT_GROUPING", "creator" if rail == "solana" else "purchase"))
    with plans_kept() as plans:
        outcome = simulate(Scenario(7, purchases=4, operators=True, payout_mode=mode, settings=settings))
    assert outcome.violations == []
    assert outcome.purchases > 2
    assert len(plans) > 150
    slow = {statement: found for statement, plan in plans.items() if (found := reads_whole(statement, plan))}
    wide = {statement: found for statement, plan in plans.items() if (found := reads_all_settled(statement, plan))}
    assert slow | wide == {}
