"""I17: what creators are shown of their money is what the books say, and at rest what Stripe and the chain say."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from simulator.checker.reading import Database
from simulator.checker.records import People, Records
from simulator.checker.sales import ALL_BPS, creators_part, taken_for_good
from simulator.checker.terms import Terms

USDC_DECIMALS = 6


@dataclass(slots=True)
class Figures:
    """Of one creator, named as on his dashboard (base units)."""

    total_sales_usd: int = 0
    pending_distribution: int = 0
    pending_sales: int = 0
    paid_out: int = 0
    debt: int = 0
    held: int = 0


@dataclass(frozen=True, slots=True)
class Shown:
    """What the API has answered one creator: his profile, his dashboard, all of his sales."""

    profile: Mapping[str, Any]
    dashboard: Mapping[str, Any]
    sales: Sequence[Mapping[str, Any]]


def by_the_books(db: Database, creator: int) -> Figures:
    """From what is owed, paid, held and netted, and from sales that are not minted yet."""
    found = _by_hand(db, creator)
    found.paid_out += _paid_by_hand(db, creator)
    for row in db.rows("SELECT * FROM payouts WHERE recipient_id = ?", creator):
        found.total_sales_usd += row["amount"]
        if row["state"] == "distributed":
            found.paid_out += row["paid_amount"]
        elif row["state"] == "on_hold":
            found.held += row["amount"] - row["netted_amount"]
        elif row["state"] not in ("cancelled", "netted"):
            found.pending_distribution += row["amount"] - row["netted_amount"]
            found.pending_sales += 1
    sql = (
        "SELECT p.*, COALESCE((SELECT SUM(amount) FROM disputes WHERE purchase_id = p.id AND status = 'lost'), 0) lost "
        "FROM purchases p WHERE p.creator_amount IS NOT NULL AND p.minted_at IS NULL AND p.status <> 'refunded' "
        "AND COALESCE(p.status_reason, '') <> 'sold_out' AND p.id NOT IN (SELECT purchase_id FROM payouts)"
    )
    for row in db.rows(sql):
        due = _due(row["creator_amount"], row["gross_amount"], row["refunded_amount"] + row["lost"])
        mine = _shared_out(due, _shares(db, row["content_id"])).get(creator, 0)
        found.total_sales_usd += mine
        if row["hold_reason"] is not None:
            found.held += mine
        elif mine:
            found.pending_distribution += mine
            found.pending_sales += 1
    return found


def _by_hand(db: Database, creator: int) -> Figures:
    """What he owes, and what a person is asked to pay him."""
    booked = db.number("SELECT amount FROM ledger_balances WHERE account = ?", f"debt:{creator}")
    found, in_vain = Figures(), 0
    sql = (
        "SELECT j.kind, p.amount - p.paid_amount - p.netted_amount - p.settled_amount rest, "
        "COALESCE((SELECT SUM(amount) FROM nettings WHERE debtor_payout_id = p.id AND undone_at IS NULL), 0) used "
        "FROM jobs j JOIN payouts p "
        "ON j.subject = CAST(p.id AS TEXT) WHERE j.state = 'parked' AND j.kind IN ('underpaid', 'overnetted') "
        "AND p.recipient_id = ?"
    )
    for row in db.rows(sql, creator):
        if row["kind"] == "underpaid":
            found.pending_sales += 1
            found.pending_distribution += max(0, row["rest"])
        else:
            in_vain += max(0, row["used"] - max(0, -row["rest"]))
    found.pending_distribution += in_vain
    found.debt = max(0, booked + in_vain)
    return found


def _paid_by_hand(db: Database, creator: int) -> int:
    return db.number("SELECT SUM(amount) FROM settlements WHERE recipient_id = ? AND kind = 'paid'", creator)


def unlike_the_books(creator: int, dashboard: Mapping[str, Any], books: Figures) -> Iterator[str]:
    """At any instant at which the books have not changed while the creator was answered."""
    for name, said in asdict(books).items():
        shown = dashboard[name] if name == "pending_sales" else units(dashboard[name])
        if shown != said:
            yield f"I17: creator {creator} is shown {name} of {shown}, the books say {said}"


def unlike_the_world(
    db: Database, records: Records, terms: Terms, shown: Shown, accepted: frozenset[str]
) -> Iterator[str]:
    """At rest: what his sales were by Stripe, what came to him by the chain, and what lies in his wallet."""
    creator, dashboard = shown.profile["user_id"], shown.dashboard
    places = _places(db, records, creator)
    yield from _wallet(records, shown, places)
    yield from _lines(records, shown, places)
    if records.restored or records.people is None:
        return  # what the backup had lost may have been paid before, or be nobody's
    got = sum(
        to[owner]
        for signature, to in records.outflows().items()
        if signature not in accepted
        for owner in places & to.keys()
    )
    got += _paid_by_hand(db, creator)  # from another wallet
    if units(dashboard["paid_out"]) != got:
        yield f"I17: creator {creator} is shown {dashboard['paid_out']} as paid out, the chain says {got}"
    due, shared = _earned(db, records, records.people, terms, creator)
    moving = "SELECT COUNT(*) FROM payouts WHERE recipient_id = ? AND state = 'pending_distribution'"
    if abs(units(dashboard["total_sales_usd"]) - due) > shared and not db.number(moving, creator):
        yield f"I17: creator {creator} is shown sales of {dashboard['total_sales_usd']}, by Stripe they are {due}"


def _wallet(records: Records, shown: Shown, places: frozenset[str]) -> Iterator[str]:
    creator, balance = shown.profile["user_id"], shown.dashboard["available_balance"]
    place = shown.profile["circle_wallet_address"] or shown.profile["wallet_address"]
    if place is not None and place not in places:
        yield f"I17: creator {creator} is shown the address {place}, which is not his"
    held = None if place is None else records.usdc_of(place)
    if (None if balance is None else units(balance)) != held:
        yield f"I17: creator {creator} is shown a balance of {balance}, the chain says {held}"


def _lines(records: Records, shown: Shown, places: frozenset[str]) -> Iterator[str]:
    """His sales one by one: they sum up, and what is called paid left for him in that very transaction."""
    creator, left = shown.profile["user_id"], records.outflows()
    if len({line["payout_id"] for line in shown.sales}) != len(shown.sales):
        yield f"I17: creator {creator} is shown a sale twice"
    for line in shown.sales:
        if line["status"] == "distributed" and not places & left.get(line["usdc_transfer_signature"], {}).keys():
            yield f"I17: creator {creator} is shown payout {line['payout_id']} as paid, and it is not on the chain"
    # at rest each sale with a final fee is minted, refunded or a person's: it has its line, or is worth nothing
    waiting = units(shown.dashboard["pending_distribution"]) + units(shown.dashboard["held"])
    summed, said = sum(units(line["amount"]) for line in shown.sales), units(shown.dashboard["total_sales_usd"])
    if not said - waiting <= summed <= said:
        yield f"I17: creator {creator} is shown sales of {said} that sum to {summed}"


def _places(db: Database, records: Records, creator: int) -> frozenset[str]:
    """Where somebody may be paid, by Circle and by his own word."""
    (who,) = db.rows("SELECT uuid, email FROM users WHERE id = ?", creator)
    named = set() if records.people is None else records.people.addresses.get(who["email"], set())
    return frozenset(named | {address for address, owner in records.wallets().items() if owner == who["uuid"]})


def _earned(db: Database, records: Records, people: People, terms: Terms, creator: int) -> tuple[int, int]:
    """What is due to him of all that Stripe has taken and not given back, and by how many units it may be off: one for
    each sale that he shares. Losers of a race have bought nothing."""
    due, shared = 0, 0
    sold = {
        row["s"]
        for row in db.rows(
            "SELECT stripe_checkout_session_id s FROM purchases WHERE COALESCE(status_reason, '') <> 'sold_out' "
            "AND stripe_fee IS NOT NULL AND (minted_at IS NOT NULL OR status <> 'refunded')"
        )
    }
    for payment in records.payments():
        wish = people.wishes.get(payment["session"])
        if wish is None or creator not in wish.shares or payment["session"] not in sold:
            continue
        back = sum(one["amount"] for one in payment["refunds"] if one["status"] == "succeeded")
        whole = _due(creators_part(payment["net_cents"], terms), payment["gross_cents"], back + taken_for_good(payment))
        due += whole * wish.shares[creator] // ALL_BPS
        shared += len(wish.shares) > 1
    return due, shared


def _due(part: int, gross: int, back: int) -> int:
    """Half-up, what is left of the creators' part of a sale of which so much went back."""
    return (2 * part * (gross - min(gross, back)) + gross) // (2 * gross)


def _shares(db: Database, content: int) -> Mapping[int, int]:
    rows = db.rows("SELECT user_id, share_bps FROM content_shares WHERE content_id = ?", content)
    author = db.number("SELECT author_id FROM contents WHERE id = ?", content)
    return {row["user_id"]: row["share_bps"] for row in rows} or {author: ALL_BPS}


def _shared_out(amount: int, shares: Mapping[int, int]) -> Mapping[int, int]:
    """By the largest remainder, the lower id first among equals."""
    parts = {who: amount * bps // ALL_BPS for who, bps in shares.items()}
    by_remainder = sorted(shares, key=lambda who: (-(amount * shares[who] % ALL_BPS), who))
    for who in by_remainder[: amount - sum(parts.values())]:
        parts[who] += 1
    return parts


def units(text: str) -> int:
    """A decimal amount of the API in base units."""
    whole, _, rest = text.partition(".")
    return int(whole + rest.ljust(USDC_DECIMALS, "0"))
