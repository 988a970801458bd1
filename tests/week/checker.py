"""The invariants of money at rest, checked from outside: rows of the database file against the sandbox's own records.

Nothing here calls the daemon's code. Invariants are numbered as in the reliability reference, section 3.
"""

import json
import sqlite3
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import closing
from typing import Any

from solders.pubkey import Pubkey

from sandbox.circle_service.transactions import OUTBOUND
from sandbox.service import Request
from sandbox.solana_node import Commitment
from sandbox.solana_node.node import USDC_DEVNET
from sandbox.solana_node.token_layouts import associated_token_address, token_amount
from tests.week.virtual_world import CIRCLE_URL, VirtualWorld

Rows = list[sqlite3.Row]
TRANSFER_URL = f"{CIRCLE_URL}/v1/w3s/developer/transactions/transfer"


def rows_of(world: VirtualWorld, sql: str) -> Rows:
    """Rows of the daemon's database, read through a connection of its own."""
    with closing(sqlite3.connect(world.folder / "agent.db")) as connection:
        connection.row_factory = sqlite3.Row
        return connection.execute(sql).fetchall()


def violations(world: VirtualWorld, accepted: Iterable[str] = ()) -> list[str]:
    """Every broken invariant, in words; `accepted` are signatures of outflows that a person declared his own."""
    parts = (_ledger, _sales, _splits, _losses, _assignment, _keys)
    found = [problem for part in parts for problem in part(world)]
    return [*found, *_chain(world, frozenset(accepted)), *_landed_twice(world), *_treasury(world)]


def _ledger(world: VirtualWorld) -> Iterator[str]:
    """I1: every entry and all accounts sum to zero per asset; the running balances are the sums of the postings."""
    for row in rows_of(world, "SELECT entry_id, asset, SUM(amount) s FROM ledger_postings GROUP BY 1, 2 HAVING s <> 0"):
        yield f"I1: entry {row['entry_id']} is off by {row['s']} {row['asset']}"
    kept = {(r["account"], r["asset"]): r["amount"] for r in rows_of(world, "SELECT * FROM ledger_balances")}
    summed = rows_of(world, "SELECT account, asset, SUM(amount) s FROM ledger_postings GROUP BY 1, 2")
    for row in summed:
        if kept.get((row["account"], row["asset"]), 0) != row["s"]:
            yield f"I1: balance of {row['account']} differs from its postings"


def _sales(world: VirtualWorld) -> Iterator[str]:
    """I2: gross = Stripe's fee + net, and net = creators' part + platform's part, with Stripe's own figures."""
    ledger: Any = world.stripe.controls.ledger()
    charged = {one["payment_intent"]: one for one in ledger["payments"]}
    for row in rows_of(world, "SELECT * FROM purchases WHERE stripe_fee IS NOT NULL"):
        theirs = charged[row["stripe_payment_intent_id"]]
        ours = (row["gross_amount"], row["stripe_fee"], row["net_after_stripe"])
        if ours != (theirs["gross_cents"], theirs["fee_cents"], theirs["net_cents"]):
            yield f"I2: purchase {row['id']} has {ours}, Stripe has {theirs}"
        if row["creator_amount"] + row["platform_amount"] != row["net_after_stripe"] * 10_000:
            yield f"I2: purchase {row['id']} does not split its net"


def _splits(world: VirtualWorld) -> Iterator[str]:
    """I3: the payouts of a minted sale sum to what is due after refunds, each within one unit of its share."""
    sums: dict[int, list[sqlite3.Row]] = defaultdict(list)
    for row in rows_of(world, "SELECT * FROM payouts"):
        sums[row["purchase_id"]].append(row)
    for sale in rows_of(world, "SELECT * FROM purchases WHERE minted_at IS NOT NULL AND creator_amount IS NOT NULL"):
        gross, left = sale["gross_amount"], sale["gross_amount"] - sale["refunded_amount"]
        due = (2 * sale["creator_amount"] * left + gross) // (2 * gross)
        mine = sums[sale["id"]]
        if sum(row["amount"] for row in mine) != due:
            yield f"I3: payouts of purchase {sale['id']} do not sum to {due}"
        for row in mine:
            if abs(row["amount"] * 10_000 - due * row["share_bps"]) >= 10_000:
                yield f"I3: payout {row['id']} is a unit or more off its share"


def _losses(world: VirtualWorld) -> Iterator[str]:
    """I4: paid Sessions and paid purchases are one to one, and no event of Stripe is missing in the inbox."""
    ledger: Any = world.stripe.controls.ledger()
    paid = Counter(one["session"] for one in ledger["payments"] if one["status"] == "succeeded")
    ours = Counter(
        row["stripe_checkout_session_id"] for row in rows_of(world, "SELECT * FROM purchases WHERE paid_at IS NOT NULL")
    )
    if paid != ours:
        yield f"I4: Stripe has {paid - ours} that we lack, we have {ours - paid} that it lacks"
    known = {row["event_id"] for row in rows_of(world, "SELECT event_id FROM stripe_events")}
    missing = [event for event in _events(world) if event not in known]
    if missing:
        yield f"I4: events {missing} are not in the inbox"


def _events(world: VirtualWorld) -> Iterator[str]:
    """Ids of all events, by Stripe's own list."""
    after = ""
    while True:
        headers = {"authorization": "Bearer sk_test_virtual"}
        answer = world.stripe.handle(Request("GET", "/v1/events", f"limit=100{after}", headers, b""))
        page = json.loads(answer.body)
        yield from (event["id"] for event in page["data"])
        if not page["has_more"]:
            return
        after = f"&starting_after={page['data'][-1]['id']}"


def _assignment(world: VirtualWorld) -> Iterator[str]:
    """I5: a transfer's amount is the sum of what its payouts are paid; one scheduled batch per Monday."""
    sql = (
        "SELECT t.id, t.amount, SUM(p.paid_amount) paid, SUM(p.amount - p.netted_amount) due, "
        "SUM(p.state = 'distributed') done, COUNT(*) n, COUNT(DISTINCT p.recipient_id) recipients, "
        "COUNT(DISTINCT p.destination_address) places, MAX(p.destination_address) place, t.destination_address "
        "FROM transfers t JOIN payouts p ON p.transfer_id = t.id WHERE p.state NOT IN ('cancelled', 'on_hold') "
        "GROUP BY t.id"
    )
    for row in rows_of(world, sql):
        if row["done"] not in (0, row["n"]) or row["recipients"] != 1 or row["places"] != 1:
            yield f"I5: the payouts of transfer {row['id']} are not of one mind"
        if row["amount"] != (row["paid"] if row["done"] else row["due"]):
            yield f"I5: transfer {row['id']} is not the sum of its payouts"
        if row["place"] != row["destination_address"]:
            yield f"I5: transfer {row['id']} goes elsewhere than its payouts"


def _keys(world: VirtualWorld) -> Iterator[str]:
    """I8: one key is one attempt with one body; a next attempt exists only beside the proof that the last is dead."""
    bodies: dict[str, str] = {}
    for request in world.transport.sent:
        if request.url == TRANSFER_URL:
            body = json.loads(request.body)
            key, _ = body.pop("idempotencyKey"), body.pop("entitySecretCiphertext")
            if bodies.setdefault(key, json.dumps(body, sort_keys=True)) != json.dumps(body, sort_keys=True):
                yield f"I8: key {key} was sent with two bodies"
    for row in rows_of(world, "SELECT * FROM transfer_attempts WHERE state <> 'dead' OR proof IS NULL"):
        later = rows_of(
            world,
            f"SELECT id FROM transfer_attempts WHERE transfer_id = {row['transfer_id']} AND attempt > {row['attempt']}",
        )
        if later:
            yield f"I8: attempt {row['id']} has a successor and no proof of its death"


def outflows(world: VirtualWorld) -> dict[str, tuple[str, int]]:
    """Every finalized movement of USDC out of the platform wallet: signature → (owner that got it, base units)."""
    treasury = str(treasury_account(world))
    bank = world.node.bank(Commitment.FINALIZED)
    found = {}
    for landed in world.node.history.landed:
        if landed.err is not None or landed.slot > bank:
            continue
        changes = [change for change in landed.token_changes() if change.mint == str(USDC_DEVNET)]
        spent = -sum(change.delta for change in changes if change.account == treasury)
        if spent > 0:
            owners = [change.owner for change in changes if change.account != treasury]
            found[landed.signature] = (owners[0] if len(owners) == 1 else "several", spent)
    return found


def _chain(world: VirtualWorld, accepted: frozenset[str]) -> Iterator[str]:
    """I6: distributed transfers and finalized outflows are one to one, with equal amount and owner."""
    left = outflows(world)
    said: dict[str, tuple[str, int]] = {}
    sql = (
        "SELECT transfer_id, signature, destination_address, SUM(paid_amount) paid FROM payouts "
        "WHERE state = 'distributed' GROUP BY 1, 2, 3"
    )
    for row in rows_of(world, sql):
        if row["signature"] in said:
            yield f"I6: {row['signature']} is claimed twice"
        said[row["signature"]] = (row["destination_address"], row["paid"])
    for signature, told in said.items():
        if left.get(signature) != told:
            yield f"I6: we say {told}, the chain says {left.get(signature)} of {signature}"
    for signature in left.keys() - said.keys() - accepted:
        yield f"I6: {left[signature]} left by {signature} and no payout says so"


def _landed_twice(world: VirtualWorld) -> Iterator[str]:
    """I7: of all that Circle ever made for one reference, at most one landed without an error."""
    left = outflows(world)
    ordered = [one for one in world.circle.custody.transactions.all() if one.kind == OUTBOUND]
    landed = Counter(one.ref_id for one in ordered if one.tx_hash in left)
    yield from (f"I7: {reference} landed {times} times" for reference, times in landed.items() if times > 1)


def _treasury(world: VirtualWorld) -> Iterator[str]:
    """I11: the wallet holds what the booked movements and the ledger say, and at least what is promised."""
    held = treasury_usdc(world)
    booked = rows_of(world, "SELECT COALESCE(SUM(amount), 0) s FROM chain_movements WHERE asset = 'usdc_base_units'")
    ledger = rows_of(
        world, "SELECT amount s FROM ledger_balances WHERE account = 'treasury' AND asset = 'usdc_base_units'"
    )
    promised = rows_of(
        world,
        "SELECT COALESCE(SUM(amount - netted_amount), 0) s FROM payouts WHERE state = 'pending_distribution'",
    )
    if booked[0]["s"] != held or (ledger[0]["s"] if ledger else 0) != held:
        yield f"I11: the chain holds {held}, booked are {booked[0]['s']}, the ledger says {[r['s'] for r in ledger]}"
    if promised[0]["s"] > held:
        yield f"I11: {promised[0]['s']} is promised and {held} is there"


def treasury_account(world: VirtualWorld) -> Pubkey:
    return associated_token_address(Pubkey.from_string(world.platform.address), USDC_DEVNET)


def treasury_usdc(world: VirtualWorld) -> int:
    """Finalized base units of the platform wallet."""
    account = world.node.account(treasury_account(world), Commitment.FINALIZED)
    return 0 if account is None else token_amount(account)


def usdc_of(world: VirtualWorld, owner: str) -> int:
    """Finalized base units of any owner's associated account."""
    account = world.node.account(associated_token_address(Pubkey.from_string(owner), USDC_DEVNET), Commitment.FINALIZED)
    return 0 if account is None else token_amount(account)
