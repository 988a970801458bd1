"""I2, I3 and I4: what was paid, what it was split into, what was minted for it, and that none of it is lost."""

import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.world import STRIPE_EVENTS
from simulator.checker.reading import Database
from simulator.checker.records import Records
from simulator.checker.terms import Terms

UNITS_PER_CENT = 10_000
ALL_BPS = 10_000

TELLING = frozenset(STRIPE_EVENTS) - {"payment_intent.payment_failed"}
"""Events that change something: after a lost database the others are not asked for again."""
CLOSED = frozenset({"won", "lost", "warning_closed", "prevented"})
"""Disputes that will move no money any more."""


def money(db: Database, records: Records, terms: Terms) -> Iterator[str]:
    """I2: gross = Stripe's fee + net, and net = creators' part + platform's part, with Stripe's own figures."""
    charged = {one["payment_intent"]: one for one in records.payments()}
    for row in db.rows("SELECT * FROM purchases WHERE stripe_fee IS NOT NULL"):
        theirs = charged.get(row["stripe_payment_intent_id"])
        ours = (row["gross_amount"], row["stripe_fee"], row["net_after_stripe"])
        if theirs is None or ours != (theirs["gross_cents"], theirs["fee_cents"], theirs["net_cents"]):
            yield f"I2: purchase {row['id']} has {ours}, Stripe has {theirs}"
            continue
        net, part = theirs["net_cents"] * UNITS_PER_CENT, creators_part(theirs["net_cents"], terms)
        if (row["creator_amount"], row["platform_amount"]) != (part, net - part):
            yield f"I2: purchase {row['id']} gives its creators {row['creator_amount']} of {net}, {part} is right"


def creators_part(net_cents: int, terms: Terms) -> int:
    """What of a sale's net is its creators', in base units."""
    net = net_cents * UNITS_PER_CENT
    steps = (2 * net * terms.creator_bps + ALL_BPS * terms.step) // (2 * ALL_BPS * terms.step)
    return min(net, steps * terms.step)


def splits(db: Database) -> Iterator[str]:
    """I3: the payouts of a minted sale sum to what is due after what came back, each within one unit of its share,
    and nothing of one is paid beyond what the whole share was."""
    sums: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in db.rows("SELECT * FROM payouts"):
        sums[row["purchase_id"]].append(row)
    moving = {
        row["payout_id"]
        for row in db.rows(
            "SELECT p.id payout_id FROM payouts p JOIN transfer_attempts a ON a.transfer_id = p.transfer_id "
            "WHERE p.state = 'pending_distribution' AND a.state <> 'dead' "
            "UNION SELECT p.id FROM payouts p JOIN group_members m ON m.transfer_id = p.transfer_id "
            "JOIN group_attempts a ON a.group_id = m.group_id WHERE p.state = 'pending_distribution' "
            "AND m.released_at IS NULL AND a.state <> 'dead'"
        )
    }
    lost: Counter[int] = Counter()
    for row in db.rows("SELECT purchase_id, amount FROM disputes WHERE status = 'lost'"):
        lost[row["purchase_id"]] += row["amount"]
    for sale in db.rows("SELECT * FROM purchases WHERE minted_at IS NOT NULL AND creator_amount IS NOT NULL"):
        mine = sums[sale["id"]]
        gross = sale["gross_amount"]
        left = gross - min(gross, sale["refunded_amount"] + lost[sale["id"]])
        due = (2 * sale["creator_amount"] * left + gross) // (2 * gross)
        settled = not any(row["id"] in moving for row in mine)
        if settled and sum(row["amount"] for row in mine) != due:
            yield f"I3: payouts of purchase {sale['id']} sum to {sum(row['amount'] for row in mine)}, due is {due}"
        for row in mine:
            if settled and abs(row["amount"] * ALL_BPS - due * row["share_bps"]) >= ALL_BPS:
                yield f"I3: payout {row['id']} is a unit or more off its share"
            if (row["paid_amount"] + row["netted_amount"] - 1) * ALL_BPS >= sale["creator_amount"] * row["share_bps"]:
                yield f"I3: payout {row['id']} got {row['paid_amount'] + row['netted_amount']}, more than its share"


def losers(db: Database) -> Iterator[str]:
    """At rest: who paid for a work that was sold out has his money back, or his bank has it or asks for it, or a person
    knows of it."""
    sql = (
        "SELECT p.id FROM purchases p WHERE p.paid_at IS NOT NULL AND NOT p.edition_held AND p.status <> 'refunded' "
        "AND p.hold_reason IS NULL AND NOT EXISTS (SELECT 1 FROM refunds r WHERE r.purchase_id = p.id) "
        "AND NOT EXISTS (SELECT 1 FROM disputes d WHERE d.purchase_id = p.id "
        "AND d.status NOT IN ('won', 'warning_closed', 'prevented')) "
        "AND NOT EXISTS (SELECT 1 FROM jobs j WHERE j.kind = 'refund' AND j.subject = CAST(p.id AS TEXT))"
    )
    yield from (f"I4: purchase {row['id']} lost a sold-out race and keeps its buyer's money" for row in db.rows(sql))


def given_back(db: Database, records: Records) -> Iterator[str]:
    """I7: what we give back, an operator has asked for, or a loser is due; and each of it is given once."""
    sql = "SELECT stripe_payment_intent_id pi FROM purchases WHERE status_reason = 'sold_out'"
    losers = {row["pi"] for row in db.rows(sql)}
    for payment in records.payments():
        ours = Counter(
            one["metadata"]["refund"]
            for one in payment["refunds"]
            if "refund" in one["metadata"] and one["status"] not in ("failed", "canceled")
        )
        for refund, times in ours.items():
            if times > 1:
                yield f"I7: refund {refund} of {payment['payment_intent']} was made {times} times"
        if records.people is not None and not records.restored:  # else another may have lost the race before
            most = records.people.asked_back[payment["payment_intent"]] + (payment["payment_intent"] in losers)
            if ours.total() > most:
                yield f"I7: {payment['payment_intent']} was refunded {ours.total()} times by us and {most} times due"


def given_early(db: Database, records: Records) -> Iterator[str]:
    """I7: what Stripe leaves pending is not called given back, and what it has given up never was."""
    ours = {row["r"]: row["state"] for row in db.rows("SELECT stripe_refund_id r, state FROM refunds")}
    for payment in records.payments():
        for one in payment["refunds"]:
            if ours.get(one["id"]) == "succeeded" and one["status"] in ("pending", "requires_action"):
                yield f"I7: refund {one['id']} is {one['status']} at Stripe and succeeded with us"
        given = _given(payment)
        if given > payment["gross_cents"]:
            yield f"I7: {given} cents went back of {payment['payment_intent']}, {payment['gross_cents']} were paid"


def _given(payment: Mapping[str, Any]) -> int:
    """Cents that Stripe's refunds have brought back to a buyer."""
    return sum(one["amount"] for one in payment["refunds"] if one["status"] == "succeeded")


def taken_for_good(payment: Mapping[str, Any]) -> int:
    """Cents that its disputes have taken for good: also one that was prevented by giving the buyer his money back."""
    return sum(one["withdrawn_cents"] for one in payment["disputes"] if one["status"] in ("lost", "prevented"))


def shelves(db: Database, records: Records) -> Iterator[str]:
    """Editions and NFTs: none beyond the number, none twice, none but for a paid sale, each with its buyer."""
    held = "SELECT content_id, COUNT(*) n FROM purchases WHERE edition_held GROUP BY 1"
    taken = {row["content_id"]: row["n"] for row in db.rows(held)}
    for row in db.rows("SELECT id, editions, editions_taken FROM contents"):
        mine = taken.get(row["id"], 0)
        if row["editions_taken"] != mine:
            yield f"content {row['id']} counts {row['editions_taken']} editions taken, {mine} purchases hold one"
        if row["editions"] is not None and mine > row["editions"]:
            yield f"content {row['id']} has {row['editions']} editions and sold {mine}"
    nfts = records.nfts()
    for address in records.made_twice():
        yield f"NFT {address} was made twice"
    paid = sum(1 for one in records.payments() if one["status"] == "succeeded")
    if len(nfts) > paid:
        yield f"{len(nfts)} NFTs were made for {paid} paid sales"
    sql = (
        "SELECT p.id, p.nft_mint_address, a.buyer_address FROM purchases p JOIN mint_attempts a "
        "ON a.purchase_id = p.id AND a.state = 'finalized' WHERE p.minted_at IS NOT NULL"
    )
    for row in db.rows(sql):
        if nfts.get(row["nft_mint_address"]) != row["buyer_address"]:
            yield f"purchase {row['id']} is said to be minted and its buyer has no NFT at finalized"


def inbox(db: Database, records: Records) -> Iterator[str]:
    """I4: every event that was answered 200 is in the inbox, once."""
    for row in db.rows("SELECT event_id, COUNT(*) n FROM stripe_events GROUP BY 1 HAVING n > 1"):
        yield f"I4: event {row['event_id']} is in the inbox {row['n']} times"
    known = {row["event_id"] for row in db.rows("SELECT event_id FROM stripe_events")}
    for missing in sorted(records.sent.acknowledged - known):
        yield f"I4: event {missing} was answered 200 and is not in the inbox"


def nothing_lost(db: Database, records: Records) -> Iterator[str]:
    """I4, at rest: paid Sessions and paid purchases are one to one, and no event of Stripe is missing; a payment that
    fits no checkout of ours (its database was lost) waits for a person."""
    paid = {one["session"]: one for one in records.payments() if one["status"] == "succeeded"}
    sql = "SELECT stripe_checkout_session_id s FROM purchases WHERE paid_at IS NOT NULL"
    ours = Counter(row["s"] for row in db.rows(sql))
    parked = " ".join(
        row["body"].decode()
        for row in db.rows("SELECT CAST(body AS BLOB) body FROM stripe_events WHERE state = 'parked'")
    )
    lacking = [session for session in paid if session not in ours and paid[session]["payment_intent"] not in parked]
    if lacking or ours.keys() - paid.keys():
        yield f"I4: Stripe has {lacking} that we lack, we have {sorted(ours.keys() - paid.keys())} that it lacks"
    known = {row["event_id"] for row in db.rows("SELECT event_id FROM stripe_events")}
    missing = [event["id"] for event in records.events() if event["id"] not in known and event["type"] in TELLING]
    if missing:
        yield f"I4: events {missing} are not in the inbox"


def came_back(db: Database, records: Records) -> Iterator[str]:
    """At rest: refunds and disputes are what Stripe says of them, and of a sale came back what has succeeded: nothing
    of what failed or is pending. All of it came back if and only if the sale is called refunded."""
    refunds = {row["stripe_refund_id"]: row for row in db.rows("SELECT * FROM refunds")}
    disputes = {row["stripe_dispute_id"]: row for row in db.rows("SELECT * FROM disputes")}
    sales = {row["stripe_payment_intent_id"]: row for row in db.rows("SELECT * FROM purchases")}
    for payment in records.payments():
        if payment["payment_intent"] not in sales:
            continue
        sale, given = sales[payment["payment_intent"]], _given(payment)
        if (sale["refunded_amount"], sale["status"] == "refunded") != (given, given >= sale["gross_amount"]):
            standing = f"{sale['status']} with {sale['refunded_amount']}"
            yield f"I7: {given} cents went back of purchase {sale['id']}, which is {standing}"
        for one in payment["refunds"]:
            ours = refunds.get(one["id"])
            told = {"canceled": "failed", "requires_action": "pending"}.get(one["status"], one["status"])
            if ours is None or (ours["amount"], ours["state"]) != (one["amount"], told):
                yield f"refund {one['id']} is {one['status']} at Stripe and {ours and ours['state']} with us"
        for one in payment["disputes"]:
            ours = disputes.get(one["id"])
            told = "lost" if one["status"] == "prevented" and one["withdrawn_cents"] else one["status"]
            if ours is None or (ours["amount"], ours["status"]) != (one["amount"], told):
                yield f"dispute {one['id']} is {one['status']} at Stripe and {ours and ours['status']} with us"


def due_by_stripe(db: Database, records: Records) -> Iterator[str]:
    """I3, at rest, whatever our rows say of its disputes: what Stripe has taken for good, nobody is due."""
    sql = (
        "SELECT s.id, s.stripe_payment_intent_id pi, s.gross_amount, s.creator_amount, SUM(p.amount) due "
        "FROM purchases s JOIN payouts p ON p.purchase_id = s.id WHERE s.creator_amount IS NOT NULL GROUP BY s.id "
        "HAVING SUM(p.state = 'pending_distribution') = 0"
    )
    charged = {one["payment_intent"]: one for one in records.payments()}
    for sale in db.rows(sql):
        payment = charged.get(sale["pi"])
        if payment is None or not all(one["status"] in CLOSED for one in payment["disputes"]):
            continue
        gross = sale["gross_amount"]
        left = gross - min(gross, _given(payment) + taken_for_good(payment))
        due = (2 * sale["creator_amount"] * left + gross) // (2 * gross)
        if sale["due"] != due:
            yield f"I3: {sale['due']} is due of purchase {sale['id']}, of which Stripe has left {left} cents: {due}"


def all_minted(db: Database, records: Records) -> Iterator[str]:
    """At rest: as many NFTs as minted sales. After an old backup was put back there may be more: the sales that it did
    not know wait for a person."""
    minted = db.number("SELECT COUNT(*) FROM purchases WHERE minted_at IS NOT NULL")
    if len(records.nfts()) != minted and not (records.restored and len(records.nfts()) > minted):
        yield f"{len(records.nfts())} NFTs were made and {minted} purchases say so"
