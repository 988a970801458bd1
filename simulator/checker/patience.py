"""I12: what no block takes goes on by itself; a person is asked when that has lasted for long, not before."""

from collections.abc import Iterator

from simulator.checker.reading import Database

PATIENCE_US = 40 * 3_600 * 1_000_000
_EXPIRED = "'%\"expiry\"%'"
_GIVEN_UP = f"""
    SELECT h.subject, h.at - MIN(a.created_at) lasted, COUNT(*) attempts FROM state_history h
    {{attempts}} AND a.created_at <= h.at WHERE h.machine = '{{machine}}' AND h.after = 'failed'
    AND h.reason LIKE '{{reason}}' GROUP BY h.id
    HAVING SUM(COALESCE(a.proof, '') NOT LIKE {_EXPIRED}) = 0 AND h.at - MIN(a.created_at) < ?
"""
"""What was given up though each of its attempts had only expired."""
_MINTS = _GIVEN_UP.format(
    attempts="JOIN mint_attempts a ON a.purchase_id = CAST(h.subject AS INTEGER)",
    machine="purchase",
    reason="attempts_used_up: expired%",
)
_OF_PAYOUT = "JOIN payouts p ON p.id = CAST(h.subject AS INTEGER) JOIN transfers t ON t.id = p.transfer_id"
_GROUPS = _GIVEN_UP.format(
    attempts=f"{_OF_PAYOUT} JOIN group_members m ON m.transfer_id = t.id "
    "JOIN group_attempts a ON a.group_id = m.group_id",
    machine="payout",
    reason="expired",
)
_ACCOUNTS = _GIVEN_UP.format(
    attempts=f"{_OF_PAYOUT} JOIN upkeep_items i ON i.address = t.destination_address "
    "JOIN upkeep a ON a.id = i.upkeep_id AND a.kind = 'accounts' AND a.batch_id = t.batch_id",
    machine="payout",
    reason="the recipient''s USDC account could not be made",
)


def given_up_early(db: Database) -> Iterator[str]:
    for what, sql in (("sale", _MINTS), ("packed payout", _GROUPS), ("payout without an account", _ACCOUNTS)):
        for row in db.rows(sql, PATIENCE_US):
            seconds = row["lasted"] // 1_000_000
            yield f"I12: {what} {row['subject']} was given up after {seconds} s: {row['attempts']} attempts had expired"
