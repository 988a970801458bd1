"""I12: once the faults are over everything comes to rest; what does not waits for a person, and says why."""

import sqlite3
from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta

from simulator.checker.reading import Database
from simulator.checker.records import Records
from simulator.checker.terms import Terms

BY_HAND = frozenset({"underpaid", "overnetted"})
"""What only a person can settle, outside of the daemon."""
INBOXES = ("stripe_events", "circle_notifications")
LATEST_US = 60_000_000
NOTICED_US = 600_000_000
PLANNED_US = 600_000_000
SECOND_US = 1_000_000
A_DAY_US = 86_400 * SECOND_US


def settled(db: Database, now_us: int) -> Iterator[str]:
    """No inbox row and no job has been due for long; every paid sale is minted or waits visibly."""
    for table in INBOXES:
        for row in db.rows(f"SELECT id, last_error FROM {table} WHERE state = 'due'"):
            yield f"I12: {table} {row['id']} is still to be worked on: {row['last_error']}"
    sql = "SELECT kind, subject, due_at, last_error FROM jobs WHERE state = 'due' AND due_at < ?"
    for row in db.rows(sql, now_us - LATEST_US):
        yield f"I12: job {row['kind']} {row['subject']} has been due since {row['due_at']}: {row['last_error']}"


def punctual(db: Database, now_us: int) -> Iterator[str]:
    """Where no process dies and nothing is slow, what is due is worked on at once: nobody needs to look for it."""
    for table, named in (("jobs", "kind || ' ' || subject"), *((inbox, "id") for inbox in INBOXES)):
        sql = (
            f"SELECT {named} named, due_at, last_error FROM {table} WHERE state = 'due' AND due_at < ? "
            "AND (lease_until IS NULL OR lease_until < ?)"
        )
        for row in db.rows(sql, now_us - LATEST_US, now_us - LATEST_US):
            yield f"I12: {row['named']} of {table} is due since {row['due_at']}, nobody wakes: {row['last_error']}"


def mondays(db: Database, terms: Terms, now_us: int) -> Iterator[str]:
    """Where nothing goes wrong, a Monday's batch is planned at its time, and takes what has long been payable."""
    if not terms.plans_mondays:
        return
    monday = _last_monday_us(now_us - PLANNED_US)
    key = f"monday:{datetime.fromtimestamp(monday // SECOND_US, UTC).date().isoformat()}"
    sql = (
        "SELECT p.id, p.state FROM payouts p JOIN users u ON u.id = p.recipient_id WHERE p.batch_id IS NULL "
        "AND p.state IN ('pending_conversion', 'pending_distribution') AND p.amount - p.netted_amount >= ? "
        "AND p.created_at < ? AND u.circle_wallet_address IS NOT NULL AND COALESCE(u.address_changed_at, 0) < ? "
        "AND NOT EXISTS (SELECT 1 FROM state_history h WHERE h.machine = 'payout' AND h.subject = CAST(p.id AS TEXT) "
        "AND h.at > ?) AND NOT EXISTS (SELECT 1 FROM batches b WHERE b.key = ?)"
    )
    long_since = monday - A_DAY_US
    worth = max(terms.minimum, terms.account_worth)
    for row in db.rows(sql, worth, long_since, monday - 3 * A_DAY_US, long_since, key):
        yield f"I15: payout {row['id']} is {row['state']} since before {key}, which nobody has planned"


def _last_monday_us(now_us: int) -> int:
    """The last Monday, 09:00 UTC."""
    now = datetime.fromtimestamp(now_us // SECOND_US, UTC)
    monday = (now - timedelta(days=now.weekday())).replace(hour=9, minute=0, second=0, microsecond=0)
    return int((monday if monday <= now else monday - timedelta(days=7)).timestamp()) * SECOND_US


def unnoticed(db: Database, records: Records) -> Iterator[str]:
    """Finalized on the chain and in no row: outflows by their signatures, NFTs by their addresses."""
    paid = {row["signature"] for row in db.rows("SELECT DISTINCT signature FROM payouts WHERE state = 'distributed'")}
    minted = {row["a"] for row in db.rows("SELECT nft_mint_address a FROM purchases WHERE minted_at IS NOT NULL")}
    yield from records.outflows().keys() - paid
    yield from records.nfts().keys() - minted


def late(since: Mapping[str, int], now_us: int) -> Iterator[str]:
    """What has been unnoticed for longer than anybody needs to look."""
    for what, at in since.items():
        if now_us - at > NOTICED_US:
            yield f"I6: {what} is finalized and no row says so, {(now_us - at) // 1_000_000} seconds later"


def nothing_waits(db: Database, records: Records, terms: Terms, now_us: int) -> Iterator[str]:
    """With people at work, enough money and no faults: nothing is parked, every payout has its end, but dust waits, and
    what goes to an address that was changed by a clock that was ahead."""
    for row in db.rows("SELECT kind, subject, error_code, last_error FROM jobs WHERE state = 'parked'"):
        if row["kind"] in BY_HAND and _is_unsettled(db, row["kind"], row["subject"]):
            continue
        yield f"I12: {row['kind']} {row['subject']} is parked ({row['error_code']}): {row['last_error']}"
    yield from _unpaid(db, records, terms, now_us)
    unminted = (
        "SELECT p.id, p.status, p.status_reason FROM purchases p JOIN users u ON u.id = p.buyer_id "
        "WHERE p.paid_at IS NOT NULL AND p.edition_held AND p.minted_at IS NULL AND p.status <> 'refunded'"
    )
    for row in db.rows(unminted):
        yield f"I12: purchase {row['id']} is paid and not minted: {row['status']} {row['status_reason']}"
    for row in db.rows("SELECT id FROM purchases WHERE paid_at IS NOT NULL AND stripe_fee IS NULL"):
        yield f"I12: the fee of purchase {row['id']} was never fetched"


def _is_unsettled(db: Database, kind: str, payout: str) -> bool:
    """Whether there is a reason for what waits for a person's hand: less was paid than is due, or a debt took more."""
    sql = {
        "underpaid": "SELECT 1 FROM payouts WHERE id = ? AND state = 'distributed' "
        "AND amount > paid_amount + netted_amount + settled_amount",
        "overnetted": "SELECT 1 FROM payouts WHERE id = ? "
        "AND MAX(0, paid_amount + netted_amount + settled_amount - amount) < (SELECT "
        "SUM(n.amount) FROM nettings n WHERE n.debtor_payout_id = payouts.id AND n.undone_at IS NULL)",
    }
    return bool(db.rows(sql[kind], int(payout)))


def _unpaid(db: Database, records: Records, terms: Terms, now_us: int) -> Iterator[str]:
    """Payouts that wait, but for those that are dust, and for all of an owner's together that are worth less than the
    account that he lacks."""
    owner = "COALESCE(u.circle_wallet_address, u.wallet_address)"
    sql = (
        f"SELECT p.id, p.state, p.reason, p.batch_id, p.amount - p.netted_amount due, {owner} owner "
        "FROM payouts p JOIN users u ON u.id = p.recipient_id "
        "WHERE p.state IN ('pending_conversion', 'pending_distribution', 'failed') "
        f"AND {owner} IS NOT NULL AND p.amount - p.netted_amount >= ? AND COALESCE(u.address_changed_at, 0) <= ?"
    )
    waiting: dict[str, list[sqlite3.Row]] = defaultdict(list)
    for row in db.rows(sql, terms.minimum, now_us):
        waiting[row["owner"]].append(row)
    for owner, rows in waiting.items():
        if sum(row["due"] for row in rows) < terms.account_worth and not records.has_account(owner):
            continue
        for row in rows:
            standing = f"{row['state']} (batch {row['batch_id']}): {row['reason']}"
            yield f"I12: payout {row['id']} of {row['due']} is {standing}"
