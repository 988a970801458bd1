"""I13 and I14: who did what is written down, and no secret is."""

from collections.abc import Iterator

from simulator.checker.reading import Database
from simulator.checker.records import Records


def acts(db: Database, records: Records) -> Iterator[str]:
    """I13: every act of an operator that was answered as done stands in the audit log, with its actor."""
    if records.sent.acts:
        written = {row["request_id"] for row in db.rows("SELECT DISTINCT request_id FROM audit_log")}
        for missing in records.sent.acts.keys() - written:
            yield f"I13: {records.sent.acts[missing]} was done and does not stand in the audit log"
    for row in db.rows("SELECT id, action FROM audit_log WHERE TRIM(actor) = ''"):
        yield f"I13: act {row['id']} ({row['action']}) has no actor"


def secrets(db: Database, records: Records) -> Iterator[str]:
    """I14: keys, passwords and tokens stand nowhere in the database's files in the clear."""
    told = db.raw().translate(None, b"\0")  # most of it is empty space, and no secret has a zero in it
    for secret in sorted(records.secrets):
        if secret.encode() in told:
            yield f"I14: the database holds a secret in the clear: {secret[:6]}..."
