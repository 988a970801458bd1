"""I5 to I8 and I15: what was planned, sent and paid, against the chain."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import UTC, datetime

from simulator.checker.reading import Database
from simulator.checker.records import Records
from simulator.checker.sales import UNITS_PER_CENT

SECOND_US = 1_000_000
EVENTS_DATED_SECONDS = 60
"""So much earlier than it happened an event of the sandbox's Stripe may be dated: several bear the same time."""
EARLY_US = 180 * SECOND_US
"""A clock may be two minutes ahead of the others' and still be trusted."""


def assignment(db: Database) -> Iterator[str]:
    """I5: a transfer's amount is the sum of what its payouts are paid, and all of them go to one place."""
    sql = (
        "SELECT t.id, t.amount, SUM(p.paid_amount) paid, SUM(p.amount - p.netted_amount) due, "
        "SUM(p.state = 'distributed') done, COUNT(*) n, COUNT(DISTINCT p.recipient_id) recipients, "
        "COUNT(DISTINCT i.destination_address) places, MAX(i.destination_address) place, t.destination_address, "
        "MAX(p.state = 'pending_distribution' AND EXISTS (SELECT 1 FROM transfer_attempts a "
        "WHERE a.transfer_id = t.id AND a.state <> 'dead' UNION ALL SELECT 1 FROM group_attempts a "
        "JOIN group_members m ON m.group_id = a.group_id "
        "WHERE m.transfer_id = t.id AND m.released_at IS NULL AND a.state <> 'dead')) moving "
        "FROM transfers t JOIN payouts p ON p.transfer_id = t.id "
        "LEFT JOIN batch_items i ON i.payout_id = p.id AND i.batch_id = p.batch_id "
        "WHERE p.state NOT IN ('cancelled', 'on_hold') "
        "GROUP BY t.id"
    )
    for row in db.rows(sql):
        if row["done"] not in (0, row["n"]) or row["recipients"] != 1 or row["places"] != 1:
            yield f"I5: the payouts of transfer {row['id']} are not of one mind"
        if not row["moving"] and row["amount"] != (row["paid"] if row["done"] else row["due"]):
            yield f"I5: transfer {row['id']} is not the sum of its payouts"
        if row["place"] != row["destination_address"]:
            yield f"I5: transfer {row['id']} goes elsewhere than its payouts"


def weeks(db: Database, records: Records) -> Iterator[str]:
    """I15: a sale bears the time at which Stripe took its money, and a scheduled batch takes what was paid strictly
    before 09:00 UTC of the Monday that it is named after, and says so."""
    took = {one["payment_intent"]: one["created"] for one in records.payments()}
    sql = "SELECT id, paid_at, stripe_payment_intent_id pi FROM purchases WHERE paid_at IS NOT NULL"
    for row in db.rows(sql):
        if abs(row["paid_at"] // SECOND_US - took.get(row["pi"], 0)) > EVENTS_DATED_SECONDS:
            yield f"I15: purchase {row['id']} was paid at {took.get(row['pi'])} and says {row['paid_at'] // SECOND_US}"
    sql = (
        "SELECT b.key, b.cutoff_at, p.id, p.paid_at FROM batch_items i JOIN batches b ON b.id = i.batch_id "
        "JOIN payouts p ON p.id = i.payout_id WHERE b.key LIKE 'monday:%'"
    )
    for row in db.rows(sql):
        monday = _monday(row["key"])
        if row["cutoff_at"] != monday.timestamp() * SECOND_US or monday.weekday():
            yield f"I15: the cut-off of {row['key']} is said to be {row['cutoff_at'] // SECOND_US}"
        if row["paid_at"] >= monday.timestamp() * SECOND_US:
            yield f"I15: payout {row['id']} was paid for after the cut-off of {row['key']}"


def early(db: Database, now_us: int) -> Iterator[str]:
    """I15: nobody plans a Monday before it has come, whatever the daemon's own clock says."""
    for row in db.rows("SELECT key FROM batches WHERE key LIKE 'monday:%'"):
        if _monday(row["key"]).timestamp() * SECOND_US > now_us + EARLY_US:
            yield f"I15: {row['key']} was planned before it came"


def _monday(key: str) -> datetime:
    """Of a scheduled batch: the moment before which its sales were paid."""
    return datetime.fromisoformat(key.removeprefix("monday:")).replace(hour=9, tzinfo=UTC)


def frozen(db: Database) -> Iterator[str]:
    """What is sent is what was planned, or less, and goes where the plan said."""
    sql = (
        "SELECT p.id, p.paid_amount, t.destination_address, i.amount, i.destination_address planned FROM payouts p "
        "JOIN transfers t ON t.id = p.transfer_id "
        "JOIN batch_items i ON i.payout_id = p.id AND i.batch_id = p.batch_id WHERE p.state = 'distributed'"
    )
    for row in db.rows(sql):
        if row["paid_amount"] > row["amount"] or row["destination_address"] != row["planned"]:
            yield f"payout {row['id']} was paid {row['paid_amount']}, {row['amount']} was planned"


def paid_on_chain(db: Database, records: Records) -> Iterator[str]:
    """I6: what we call distributed is a finalized outflow of that amount to that owner, and none is claimed twice."""
    said: dict[str, Counter[str]] = defaultdict(Counter)
    sql = (
        "SELECT p.signature, t.destination_address, p.paid_amount FROM payouts p "
        "LEFT JOIN transfers t ON t.id = p.transfer_id WHERE p.state = 'distributed'"
    )
    for row in db.rows(sql):
        said[row["signature"]][row["destination_address"]] += row["paid_amount"]
    left = records.outflows()
    for signature, told in said.items():
        if left.get(signature) != dict(told):
            yield f"I6: we say {dict(told)}, the chain says {left.get(signature)} of {signature}"


def nothing_else_left(db: Database, records: Records, accepted: frozenset[str]) -> Iterator[str]:
    """I6, at rest: every outflow is a payout that says so, or one that a person declared his own."""
    said = {row["signature"] for row in db.rows("SELECT DISTINCT signature FROM payouts WHERE state = 'distributed'")}
    left = records.outflows()
    for signature in left.keys() - said - accepted:
        yield f"I6: {left[signature]} left by {signature} and no payout says so"


def to_strangers(records: Records) -> Iterator[str]:
    """I6: nothing is paid into an account that its owner had given away before."""
    for signature, to in records.outflows().items():
        if signature not in records.in_hand:
            for owner in records.strangers & to.keys():
                yield f"I6: {owner} got {to[owner]} by {signature}, by an account that was given to him"


def landed_once(records: Records) -> Iterator[str]:
    """I7: of all that Circle ever made for one reference, at most one landed without an error."""
    left = records.outflows()
    signed = records.out_of_sight
    landed = Counter(one.ref_id for one in records.orders() if one.ref_id and signed.get(one.id, one.tx_hash) in left)
    yield from (f"I7: {reference} landed {times} times" for reference, times in landed.items() if times > 1)


def paid_once(db: Database, records: Records) -> Iterator[str]:
    """I7, whatever the rows say: no owner got more from the platform wallet than all his shares of sales together."""
    got: Counter[str] = Counter()
    for to in records.outflows().values():
        got.update(to)
    sql = (
        "SELECT p.recipient_id, p.share_bps, s.creator_amount, COALESCE((SELECT i.destination_address "
        "FROM batch_items i WHERE i.payout_id = p.id ORDER BY i.batch_id DESC LIMIT 1), "
        "u.circle_wallet_address, u.wallet_address) place FROM payouts p JOIN purchases s ON s.id = p.purchase_id "
        "JOIN users u ON u.id = p.recipient_id WHERE s.creator_amount IS NOT NULL"
    )
    due: Counter[str] = Counter()
    for row in db.rows(sql):
        due[row["place"]] += row["creator_amount"] * row["share_bps"] // 10_000 + 1
    lost = _lost_with_a_backup(db, records)
    for owner in sorted(got.keys() & due.keys()):
        if got[owner] > due[owner] + lost:
            yield f"I7: {owner} got {got[owner]}, all his shares together are at most {due[owner] + lost}"


def _lost_with_a_backup(db: Database, records: Records) -> int:
    """What sales may have been due that are in Stripe only: their works are younger than the backup that was put back,
    so that nobody can say whose they were. They may have been paid before."""
    if not records.restored:
        return 0
    known = {row["pi"] for row in db.rows("SELECT stripe_payment_intent_id pi FROM purchases")}
    paid = [one for one in records.payments() if one["status"] == "succeeded"]
    gross = sum(one["gross_cents"] for one in paid if one["payment_intent"] not in known)
    return int(gross) * UNITS_PER_CENT


def keys(db: Database, records: Records) -> Iterator[str]:
    """I8: one key is one attempt with one body; a next attempt exists only beside the proof that the last is dead."""
    for key, bodies in (*records.sent.keys.items(), *records.sent.mint_keys.items()):
        if len(bodies) > 1:
            yield f"I8: key {key} was sent with {len(bodies)} bodies"
    yield from _successors(db.rows("SELECT 't' || transfer_id subject, attempt, state, proof FROM transfer_attempts"))
    yield from _successors(db.rows("SELECT 'g' || group_id subject, attempt, state, proof FROM group_attempts"))
    yield from _successors(db.rows("SELECT 'm' || purchase_id subject, attempt, state, proof FROM mint_attempts"))


def dead_is_dead(db: Database, records: Records) -> Iterator[str]:
    """I8: what was proven dead never takes effect afterwards."""
    landed = records.landed()
    for table in ("transfer_attempts", "mint_attempts", "group_attempts"):
        for row in db.rows(f"SELECT id, signature FROM {table} WHERE state = 'dead' AND signature IS NOT NULL"):
            if row["signature"] in landed:
                yield f"I8: attempt {row['id']} of {table} is called dead and took effect by {row['signature']}"
    for row in db.rows("SELECT id, circle_transaction_id c FROM transfer_attempts WHERE state = 'dead'"):
        if records.out_of_sight.get(row["c"]) in landed:
            yield f"I8: transfer attempt {row['id']} is called dead and took effect, of which Circle has lost sight"


def _successors(rows: list[sqlite3.Row]) -> Iterator[str]:
    last: dict[str, int] = {}
    for row in rows:
        last[row["subject"]] = max(last.get(row["subject"], 0), row["attempt"])
    for row in rows:
        if row["attempt"] < last[row["subject"]] and (row["state"] != "dead" or not row["proof"]):
            yield f"I8: attempt {row['attempt']} of {row['subject']} has a successor and no proof of its death"
