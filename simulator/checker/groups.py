"""I5, I8 and I10 of the packed rail: who is in which group, what paid it, and that its receipt stands."""

from collections.abc import Iterator

from simulator.checker.reading import Database
from simulator.checker.records import Records


def membership(db: Database) -> Iterator[str]:
    """A transfer is in one group that it has not left, and a group is worth what its members are."""
    sql = "SELECT transfer_id, COUNT(*) n FROM group_members WHERE released_at IS NULL GROUP BY 1 HAVING n > 1"
    yield from (f"I5: transfer {row['transfer_id']} is in {row['n']} groups" for row in db.rows(sql))
    sql = (
        "SELECT g.id, g.amount, g.state, SUM(m.amount) members, SUM(m.released_at IS NULL) inside, "
        "(SELECT COUNT(*) FROM group_attempts a WHERE a.group_id = g.id AND a.state = 'finalized') paid, "
        "(SELECT COUNT(*) FROM group_attempts a WHERE a.group_id = g.id AND a.state <> 'dead') live "
        "FROM payout_groups g JOIN group_members m ON m.group_id = g.id GROUP BY g.id"
    )
    for row in db.rows(sql):
        if row["amount"] != row["members"]:
            yield f"I5: group {row['id']} of {row['amount']} has members of {row['members']}"
        if row["paid"] != (row["state"] == "paid"):
            yield f"I5: group {row['id']} is {row['state']} and was paid {row['paid']} times"
        if row["state"] == "dissolved" and (row["live"] or row["inside"]):
            yield f"I8: group {row['id']} was dissolved while an attempt of it could land"


def receipts_stand(db: Database, records: Records) -> Iterator[str]:
    """The chain holds exactly the receipts that are not closed."""
    for row in db.rows("SELECT address, state FROM receipts"):
        if records.exists(row["address"]) != (row["state"] == "present"):
            yield f"I10: receipt {row['address']} is {row['state']}, and the chain says otherwise"
