"""I1 and I11: the ledger sums up, and says of the platform wallet what the chain says, of dollars what Stripe says."""

from collections.abc import Iterator

from simulator.checker.reading import Database
from simulator.checker.records import Records

UNTOLD = """
    SELECT id, amount, unexplained + own_amount
    + COALESCE((SELECT SUM(d.amount) FROM deposit_matches d WHERE d.movement_id = m.id AND d.undone_at IS NULL), 0)
    + COALESCE((SELECT SUM(s.amount) FROM settlements s WHERE s.movement_id = m.id), 0) told
    FROM chain_movements m WHERE kind = 'deposit' AND amount <> told
"""
"""Deposits of which more or less is explained than they brought."""


def ledger(db: Database) -> Iterator[str]:
    """I1: every entry and all accounts sum to zero per asset; the running balances are the sums of the postings."""
    off = "SELECT entry_id, asset, SUM(amount) s FROM ledger_postings GROUP BY 1, 2 HAVING s <> 0"
    for row in db.rows(off):
        yield f"I1: entry {row['entry_id']} is off by {row['s']} {row['asset']}"
    for row in db.rows("SELECT id, key FROM ledger_entries WHERE id NOT IN (SELECT entry_id FROM ledger_postings)"):
        yield f"I1: entry {row['id']} ({row['key']}) has no posting"
    kept = {(row["account"], row["asset"]): row["amount"] for row in db.rows("SELECT * FROM ledger_balances")}
    posted = {
        (row["account"], row["asset"]): row["s"]
        for row in db.rows("SELECT account, asset, SUM(amount) s FROM ledger_postings GROUP BY 1, 2")
    }
    for account, asset in sorted(kept.keys() | posted.keys()):
        if kept.get((account, asset), 0) != posted.get((account, asset), 0):
            yield f"I1: balance of {account} differs from its postings"


def promised(db: Database, records: Records) -> Iterator[str]:
    """I11: what is promised or paid never passes what has come in."""
    said = db.number(
        "SELECT SUM(CASE state WHEN 'distributed' THEN paid_amount ELSE amount - netted_amount END) FROM payouts "
        "WHERE state IN ('pending_distribution', 'distributed')"
    )
    if said > records.inflow():
        yield f"I11: {said} is promised or paid and {records.inflow()} has come in"


def owed(db: Database) -> Iterator[str]:
    """I2: the ledger owes each recipient what his payouts say, the rest of one that a failed refund made larger after
    it was paid included, and he owes what he got beyond his due."""
    balance = {
        row["account"]: row["amount"] for row in db.rows("SELECT * FROM ledger_balances WHERE asset LIKE 'usdc%'")
    }
    unpaid = (
        "SELECT recipient_id r, SUM(CASE WHEN state = 'distributed' "
        "THEN MAX(0, amount - netted_amount - paid_amount - settled_amount) "
        "ELSE amount - netted_amount END) s FROM payouts GROUP BY 1"
    )
    for row in db.rows(unpaid):
        said = -balance.get(f"owed:{row['r']}", 0)
        if said != row["s"]:
            yield f"I2: {row['s']} is owed to {row['r']} and the ledger says {said}"
    debts = (
        "SELECT p.recipient_id r, SUM(MAX(0, p.paid_amount + p.netted_amount + p.settled_amount - p.amount)) "
        "- COALESCE((SELECT SUM(n.amount) FROM nettings n WHERE n.recipient_id = p.recipient_id "
        "AND n.undone_at IS NULL), 0) s FROM payouts p WHERE p.state = 'distributed' GROUP BY 1"
    )
    for row in db.rows(debts):
        said = balance.get(f"debt:{row['r']}", 0)
        if said != row["s"]:
            yield f"I2: {row['r']} owes {row['s']} and the ledger says {said}"


def nettings(db: Database) -> Iterator[str]:
    """I2: what debts used up of a payout is the sum of its nettings, and no debt is used up twice."""
    sql = (
        "SELECT id, netted_amount n, COALESCE((SELECT SUM(amount) FROM nettings "
        "WHERE payout_id = payouts.id AND undone_at IS NULL), 0) s FROM payouts"
    )
    for row in db.rows(sql):
        if row["n"] != row["s"]:
            yield f"I2: payout {row['id']} is netted by {row['n']}, its nettings sum to {row['s']}"


def settled(db: Database, records: Records) -> Iterator[str]:
    """I2: what was settled by hand of a payout is what people did, one by one; they said so; and what was forgiven is
    written off."""
    sign = "CASE kind WHEN 'paid' THEN amount WHEN 'unforgiven' THEN amount ELSE -amount END"
    sql = f"SELECT id, settled_amount n, COALESCE((SELECT SUM({sign}) FROM settlements WHERE payout_id = p.id), 0) s "
    for row in db.rows(f"{sql} FROM payouts p WHERE n <> s"):
        yield f"I2: {row['n']} of payout {row['id']} is settled by hand, people settled {row['s']}"
    sign = "CASE kind WHEN 'forgiven' THEN amount WHEN 'unforgiven' THEN -amount ELSE 0 END"
    forgiven = db.number(f"SELECT SUM({sign}) FROM settlements")
    for row in db.rows(UNTOLD):
        yield f"I2: deposit {row['id']} brought {row['amount']}, and {row['told']} of it is told of"
    off = db.number("SELECT amount FROM ledger_balances WHERE account = 'written:off'")
    if off != forgiven:
        yield f"I2: {forgiven} is forgiven, and {off} is written off"
    if records.people is None:
        return
    booked_as = {
        kind: db.number("SELECT SUM(amount) FROM settlements WHERE kind = ?", kind)
        for kind in ("paid", "repaid", "forgiven")
    }
    booked_as["own"] = db.number("SELECT SUM(own_amount) FROM chain_movements")
    for kind, booked in booked_as.items():
        if booked > records.people.said_settled[kind]:
            yield f"I2: {booked} is booked as {kind} by hand, people said {records.people.said_settled[kind]}"


def dollars(db: Database, records: Records) -> Iterator[str]:
    """I11, at rest: what the ledger says is at Stripe is there, but for sales whose fee is not known to us."""
    sql = "SELECT SUM(amount) FROM ledger_balances WHERE asset = 'usd_cents' AND account IN ('stripe:balance', ?)"
    said = db.number(sql, "conversion:clearing")
    priced = {
        row["pi"] for row in db.rows("SELECT stripe_payment_intent_id pi FROM purchases WHERE stripe_fee IS NOT NULL")
    }
    unknown = sum(one["net_cents"] or 0 for one in records.payments() if one["payment_intent"] not in priced)
    held = records.stripe_cents() - unknown
    if said != held:
        yield f"I11: Stripe holds {held} cents of known sales and the ledger says {said}"


def treasury(db: Database, records: Records) -> Iterator[str]:
    """I11, at rest: wallet, booked movements and ledger are one number, in USDC and in lamports."""
    for asset, held in (("usdc_base_units", records.treasury_usdc()), ("lamports", records.lamports())):
        booked = db.number("SELECT SUM(amount) FROM chain_movements WHERE asset = ?", asset)
        said = db.number("SELECT amount FROM ledger_balances WHERE account = 'treasury' AND asset = ?", asset)
        if (booked, said) != (held, held):
            yield f"I11: the chain holds {held} {asset}, booked are {booked}, the ledger says {said}"
    waiting = db.number("SELECT SUM(amount - netted_amount) FROM payouts WHERE state = 'pending_distribution'")
    if waiting > records.treasury_usdc():
        yield f"I11: {waiting} is promised and {records.treasury_usdc()} is there"
