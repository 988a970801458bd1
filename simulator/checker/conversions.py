"""I6 to I8, I11 and I12 of dollars that become USDC at Circle Mint: what we say of each order, against the account's
own records and the deposits on the chain."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from simulator.checker.reading import Database
from simulator.checker.records import Records

UNITS_PER_CENT = 10_000
COMPLETE, FAILED = "complete", "failed"
BY_TRANSACTION = "SELECT COALESCE(SUM({}), 0) FROM conversions WHERE signature IS NOT NULL"
TAKEN_BEFORE = """
    SELECT SUM(d.amount) FROM deposit_matches d JOIN chain_movements m ON m.id = d.movement_id
    JOIN conversions c ON c.id = d.conversion_id WHERE m.signature = ? AND c.signature IS NULL
    AND d.undone_at IS NULL
"""
"""What conversions that somebody had announced took of a deposit, before it was known whose it is."""
COME_FOR = "SELECT COUNT(*) FROM deposit_matches WHERE conversion_id = ? AND undone_at IS NULL"


def ordered(records: Records) -> Iterator[str]:
    """At any instant: one key orders once, nothing is ordered that nobody agreed to, and none of what is not there."""
    if records.mint is None:
        return
    theirs = [one for one in records.mint.transfers if not records.is_by_hand(one.id)]
    if records.restored:  # what failed moved nothing: a forgotten key may be used again by who knows of no use of it
        theirs = [one for one in theirs if one.status != FAILED]
    for key, times in Counter(one.key for one in theirs).items():
        if times > 1:
            yield f"I7: key {key} ordered {times} transfers at Circle Mint"
    agreed = Counter() if records.people is None else Counter(records.people.agreed.values())
    for units, times in Counter(one.units for one in theirs).items():
        if times > agreed[units]:
            yield f"I7: {times} transfers of {units} were ordered at Circle Mint, {agreed[units]} were agreed to"
    for one in theirs:
        taken_by_hand = len(theirs) < len(records.mint.transfers)  # between the look at the balance and the order
        if one.error_code == "insufficient_funds" and not taken_by_hand:
            yield f"I11: transfer {one.id} of {one.units} was ordered, and Circle Mint did not hold as much"


def said(db: Database, records: Records) -> Iterator[str]:
    """At any instant: what we say has happened has, and what we call failed never does."""
    if records.mint is None:
        return
    theirs = {one.id: one for one in records.mint.transfers}
    live = {one.key: one for one in records.mint.transfers if one.status != FAILED}
    for row in db.rows("SELECT * FROM conversion_orders"):
        one = theirs.get(row["circle_transfer_id"])
        named = f"order {row['id']} ({row['state']})"
        if row["circle_transfer_id"] is not None and (
            one is None or (one.units, one.address) != (row["amount"], row["destination_address"])
        ):
            yield f"I6: {named} is of {row['amount']}, and {row['circle_transfer_id']} at Circle Mint is {one}"
        came = records.inflows().get(row["signature"] or "")
        if row["state"] == "arriving" and came is None and (one is None or one.status != COMPLETE):
            yield f"I6: {named}: nothing came by {row['signature']}, and Circle Mint says {one and one.status}"
        if row["state"] == "done" and came != row["amount"]:
            yield f"I6: {named} is of {row['amount']}, and {came} came by {row['signature']}"
        if row["state"] == "failed" and row["idempotency_key"] in live:
            yield f"I8: {named} is called failed, and at Circle Mint it is {live[row['idempotency_key']].status}"


def withdrawn(db: Database, records: Records) -> Iterator[str]:
    """At any instant: an announcement is withdrawn only if somebody wanted that, nothing has come for it, and its
    dollars are booked as never sent."""
    for row in db.rows("SELECT * FROM conversions WHERE withdrawn_at IS NOT NULL"):
        named = f"conversion {row['id']}"
        if records.people is not None and row["id"] not in records.people.withdrawn:
            yield f"I2: {named} is withdrawn, and nobody asked for it"
        if row["signature"] or db.number(COME_FOR, row["id"]):
            yield f"I6: {named} is withdrawn, and something came for it"
        booked = (
            "SELECT SUM(p.amount) FROM ledger_postings p JOIN ledger_entries e ON e.id = p.entry_id "
            "WHERE e.subject = ? AND p.account = 'conversion:clearing'"
        )
        if db.number(booked, row["uuid"]):
            yield f"I11: {named} is withdrawn, and {db.number(booked, row['uuid'])} cents of it are booked as sent"


def at_rest(db: Database, records: Records) -> Iterator[str]:
    """Every order is what Circle Mint says of it, and the ledger has what left the account there and what came here."""
    if records.mint is None:
        return
    rows = db.rows("SELECT * FROM conversion_orders")
    by_id = {row["circle_transfer_id"]: row for row in rows}
    by_key = {row["idempotency_key"]: row for row in rows}
    explained_by_hand = elsewhere = in_part = 0
    for one in records.mint.transfers:
        row = by_id.get(one.id) or by_key.get(one.key)
        state = None if row is None else row["state"]
        if row is not None and records.is_by_hand(one.id):
            in_part += db.number(TAKEN_BEFORE, one.tx_hash)
        if not records.is_platform(one.address):
            elsewhere += one.units if one.status == COMPLETE else 0
        elif row is None and (records.restored or records.is_by_hand(one.id)) and _is_explained(db, one):
            explained_by_hand += one.units
        elif one.status == COMPLETE and state != "done":
            yield f"I6: transfer {one.id} is complete at Circle Mint, and with us it is {state}"
        elif one.status == FAILED and one.id in by_id and state != "failed":
            yield f"I6: transfer {one.id} failed at Circle Mint, and with us it is {state}"
    wired = sum(one.units for one in records.mint.deposits if one.status == COMPLETE)
    left = wired - records.mint.available - explained_by_hand - elsewhere
    sent = db.number(BY_TRANSACTION.format("usd_cents")) * UNITS_PER_CENT
    came = db.number(BY_TRANSACTION.format("received"))
    if (sent, came + in_part) != (left, left):
        yield f"I11: {left} left the account at Circle Mint, {sent} are booked as sent and {came} as come"
    yield from _clearing(db, records)


def _is_explained(db: Database, one: Any) -> bool:
    """Whether a conversion that somebody announced by hand took its deposit, while a lost database knew of no order."""
    sql = "SELECT COUNT(*) FROM chain_movements WHERE signature = ? AND kind = 'deposit' AND unexplained = 0"
    return db.number(sql, one.tx_hash) > 0


def _clearing(db: Database, records: Records) -> Iterator[str]:
    """Between the dollars and the USDC the ledger holds what was announced, and what has come of it and beside it."""
    sql = "SELECT SUM(amount) FROM ledger_balances WHERE account = 'conversion:clearing' AND asset = ?"
    dollars, usdc = db.number(sql, "usd_cents"), db.number(sql, "usdc_base_units")
    announced = db.number("SELECT SUM(usd_cents) FROM conversions WHERE withdrawn_at IS NULL")
    beside = db.number("SELECT SUM(amount) FROM settlements WHERE movement_id IS NOT NULL")
    beside += db.number("SELECT SUM(own_amount) FROM chain_movements")
    if (dollars, -usdc) != (announced, records.inflow() - beside):
        yield (
            f"I11: {announced} cents were announced and {records.inflow()} base units came, the ledger has {dollars} "
            f"and {-usdc} in clearing"
        )


def open_orders(db: Database) -> Iterator[str]:
    """With people at work who approve and wire, no order is left open."""
    for row in db.rows("SELECT id, state FROM conversion_orders WHERE state NOT IN ('done', 'failed', 'cancelled')"):
        yield f"I12: order {row['id']} at Circle Mint is {row['state']}"
