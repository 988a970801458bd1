"""Money out: plans, transfers and their attempts, what the chain shows for what was paid, debts, the treasury."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Table, case, func, select

from domain.calendar import BATCH_HOUR_UTC
from domain.keys import transfer_key
from domain.ledger import TREASURY, Asset, debt_of, owed_to
from domain.states import MintState, UsdcStatus
from storage.payouts.approvals import digest_of
from storage.tables import (
    batch_items,
    batches,
    chain_movements,
    group_attempts,
    group_members,
    ledger_balances,
    mint_attempts,
    mint_payouts,
    nettings,
    payout_groups,
    payouts,
    purchases,
    transfer_attempts,
    transfers,
    users,
)
from storage.treasury.funding import promised
from storage.verification.check import Check, Finding, at_once, by_rows

_OUT_OF_A_TRANSFER = (UsdcStatus.CANCELLED, UsdcStatus.ON_HOLD, UsdcStatus.NETTED)


def _plans(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(batches).where(batches.c.id.between(first, last), batches.c.digest.is_not(None)).order_by(batches.c.id)
    )
    for row in rows.all():
        name = f"batches {row.id}"
        items = select(func.count(), func.coalesce(func.sum(batch_items.c.amount), 0))
        count, amount = conn.execute(items.where(batch_items.c.batch_id == row.id)).one()
        if (count, int(amount)) != (row.payout_count, row.planned_amount):
            why = f"{row.payout_count} payouts of {row.planned_amount} were planned, its items are {count} of {amount}"
            yield Finding(name, why)
        elif digest_of(conn, row.id) != row.digest:
            yield Finding(name, "its items are not those of its digest")
        elif row.key.startswith("monday:"):
            yield from _monday(conn, row)


def _monday(conn: Connection, row: Row[Any]) -> Iterator[Finding]:
    at = row.cutoff_at
    if (at.weekday(), at.hour, at.minute, at.second, at.microsecond) != (0, BATCH_HOUR_UTC, 0, 0, 0) or (
        row.key != f"monday:{at.date().isoformat()}"
    ):
        yield Finding(f"batches {row.id}", f"its key {row.key} and its cutoff {at.isoformat()} are no Monday 09:00 UTC")
    late = (
        select(payouts.c.id)
        .select_from(batch_items.join(payouts, payouts.c.id == batch_items.c.payout_id))
        .where(batch_items.c.batch_id == row.id, payouts.c.paid_at >= at)
        .order_by(payouts.c.id)
        .limit(1)
    )
    for payout_id in conn.scalars(late):
        yield Finding(f"payouts {payout_id}", f"it was paid for after the cutoff of batch {row.id}")


def _assigned(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """A payout in a batch is in its plan, to the planned address, with no more than the planned amount."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    sent = case((payouts.c.state == UsdcStatus.DISTRIBUTED, payouts.c.paid_amount), else_=unpaid)
    planned = (batch_items.c.batch_id == payouts.c.batch_id) & (batch_items.c.payout_id == payouts.c.id)
    query = (
        select(
            payouts.c.id,
            payouts.c.batch_id,
            sent.label("sent"),
            transfers.c.destination_address.label("place"),
            batch_items.c.amount,
            batch_items.c.destination_address,
        )
        .select_from(
            payouts.outerjoin(batch_items, planned).outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        )
        .where(payouts.c.id.between(first, last), payouts.c.batch_id.is_not(None))
        .order_by(payouts.c.id)
    )
    for row in conn.execute(query):
        if row.amount is None:
            yield Finding(f"payouts {row.id}", f"it is in batch {row.batch_id} and not in its plan")
        elif row.place != row.destination_address:
            yield Finding(f"payouts {row.id}", f"it goes to {row.place}, planned was {row.destination_address}")
        elif row.sent > row.amount:
            yield Finding(f"payouts {row.id}", f"{row.sent} base units are sent, planned were {row.amount}")


def _transfers(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    done = case((payouts.c.state == UsdcStatus.DISTRIBUTED, 1), else_=0)
    planned = (batch_items.c.batch_id == transfers.c.batch_id) & (batch_items.c.payout_id == payouts.c.id)
    query = (
        select(
            transfers.c.id,
            transfers.c.amount,
            transfers.c.destination_address,
            func.sum(payouts.c.paid_amount).label("paid"),
            func.sum(payouts.c.amount - payouts.c.netted_amount).label("due"),
            func.sum(done).label("done"),
            func.count().label("payouts"),
            func.min(payouts.c.recipient_id).label("recipient"),
            func.max(payouts.c.recipient_id).label("other_recipient"),
            func.min(batch_items.c.destination_address).label("place"),
            func.max(batch_items.c.destination_address).label("other_place"),
        )
        .select_from(transfers.join(payouts, payouts.c.transfer_id == transfers.c.id).outerjoin(batch_items, planned))
        .where(transfers.c.id.between(first, last), payouts.c.state.not_in(_OUT_OF_A_TRANSFER))
        .group_by(transfers.c.id, transfers.c.amount, transfers.c.destination_address)
        .order_by(transfers.c.id)
    )
    for row in conn.execute(query):
        name = f"transfers {row.id}"
        if row.recipient != row.other_recipient:
            yield Finding(name, "it pays several recipients")
        elif not row.place == row.other_place == row.destination_address:
            yield Finding(name, "it goes elsewhere than was planned of its payouts")
        elif row.done not in (0, row.payouts):
            yield Finding(name, f"{row.done} of its {row.payouts} payouts are distributed")
        elif row.amount != (row.paid if row.done else row.due):
            yield Finding(name, f"it moves {row.amount}, its payouts are {row.paid if row.done else row.due}")


def _paid_on_chain(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """Every distributed payout has its finalized outflow, and all that one outflow paid is what it moved."""
    mine = payouts.c.id.between(first, last), payouts.c.state == UsdcStatus.DISTRIBUTED
    rows = conn.execute(
        select(payouts.c.id, payouts.c.signature, transfers.c.destination_address)
        .outerjoin(transfers, transfers.c.id == payouts.c.transfer_id)
        .where(*mine)
        .order_by(payouts.c.id)
    ).all()
    signatures = {row.signature for row in rows}
    moved = {
        row.signature: row
        for row in conn.execute(
            select(chain_movements).where(
                chain_movements.c.signature.in_(signatures), chain_movements.c.asset == Asset.USDC
            )
        )
    }
    sums = select(payouts.c.signature, func.sum(payouts.c.paid_amount)).where(payouts.c.signature.in_(signatures))
    paid = {signature: int(amount) for signature, amount in conn.execute(sums.group_by(payouts.c.signature))}
    for row in rows:
        movement = moved.get(row.signature)
        name = f"payouts {row.id}"
        if movement is None or movement.kind != "payout":
            yield Finding(name, f"it is distributed and no outflow of ours is booked for {row.signature}")
        elif movement.amount != -paid[row.signature]:
            why = f"{row.signature} moved {-movement.amount}, the payouts that it paid are {paid[row.signature]}"
            yield Finding(name, why)
        elif movement.counterparty not in (None, row.destination_address):
            yield Finding(name, f"{row.signature} paid {movement.counterparty}, not {row.destination_address}")


def _claimed_once(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """An outflow that is a transfer's has paid exactly that transfer's payouts, or its outcome is still being read."""
    query = (
        select(
            chain_movements.c.id,
            chain_movements.c.signature,
            payouts.c.id.label("payout_id"),
            payouts.c.signature.label("theirs"),
        )
        .select_from(chain_movements.join(payouts, payouts.c.transfer_id == chain_movements.c.transfer_id))
        .where(
            chain_movements.c.id.between(first, last),
            payouts.c.state == UsdcStatus.DISTRIBUTED,
            payouts.c.signature != chain_movements.c.signature,
        )
        .order_by(chain_movements.c.id)
    )
    for row in conn.execute(query):
        why = f"{row.signature} paid payout {row.payout_id}, which was paid by {row.theirs}"
        yield Finding(f"chain_movements {row.id}", why)


def _attempts(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(transfer_attempts, transfers.c.uuid, transfers.c.key_scope)
        .join(transfers)
        .where(transfer_attempts.c.transfer_id.between(first, last))
        .order_by(transfer_attempts.c.transfer_id, transfer_attempts.c.attempt)
    ).all()
    yield from _succession("transfer_attempts", "transfer_id", rows)
    for row in rows:
        adopted = row.body.startswith('{"adopted"')
        if not adopted and row.idempotency_key != str(transfer_key(row.key_scope, UUID(row.uuid), row.attempt)):
            yield Finding(f"transfer_attempts {row.id}", "its key is not the one of its payment and number")


def _groups(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """A group moves what its members were frozen with, and its tries stand on proofs of death like all others."""
    sums = (
        select(payout_groups.c.id, payout_groups.c.amount, func.sum(group_members.c.amount).label("members"))
        .select_from(payout_groups.outerjoin(group_members, group_members.c.group_id == payout_groups.c.id))
        .where(payout_groups.c.id.between(first, last))
        .group_by(payout_groups.c.id, payout_groups.c.amount)
        .order_by(payout_groups.c.id)
    )
    for row in conn.execute(sums):
        if row.amount != row.members:
            yield Finding(f"payout_groups {row.id}", f"it moves {row.amount}, its members are {row.members}")
    attempts = select(group_attempts).where(group_attempts.c.group_id.between(first, last))
    rows = conn.execute(attempts.order_by(group_attempts.c.group_id, group_attempts.c.attempt)).all()
    yield from _succession("group_attempts", "group_id", rows)


def _mints(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = conn.execute(
        select(mint_attempts)
        .where(mint_attempts.c.purchase_id.between(first, last))
        .order_by(mint_attempts.c.purchase_id, mint_attempts.c.attempt)
    ).all()
    yield from _succession("mint_attempts", "purchase_id", rows)
    for before, row in pairwise(rows):
        if before.purchase_id == row.purchase_id and before.mint_address != row.mint_address:
            yield Finding(f"mint_attempts {row.id}", "it would mint at another address than the one before")


def _mint_payouts(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What a mint is to pay is promised exactly as long as its attempt may still pay it, and goes with it or not at
    all: of a landed attempt's signature, the payouts are what was frozen."""
    rows = conn.execute(
        select(mint_payouts, mint_attempts.c.state, mint_attempts.c.signature, payouts.c.paid_amount)
        .select_from(
            mint_payouts.join(mint_attempts).outerjoin(
                payouts,
                (payouts.c.purchase_id == mint_attempts.c.purchase_id)
                & (payouts.c.recipient_id == mint_payouts.c.recipient_id)
                & (payouts.c.signature == mint_attempts.c.signature),
            )
        )
        .where(mint_payouts.c.id.between(first, last))
        .order_by(mint_payouts.c.id)
    )
    for row in rows:
        name, landed = f"mint_payouts {row.id}", row.state == MintState.FINALIZED
        may_pay = row.released_at is None and not landed and row.state != MintState.DEAD
        if may_pay != (row.ended_at is None):
            still = "not promised" if may_pay else "still promised"
            yield Finding(name, f"its mint is {row.state}, and what it is to pay is {still}")
        elif landed and row.released_at is None and row.paid_amount != row.amount:
            yield Finding(name, f"{row.signature} minted and was to pay {row.amount}, paid was {row.paid_amount}")


def _succession(table: str, owner: str, rows: list[Row[Any]] | Any) -> Iterator[Finding]:
    """Attempts are numbered from 1, and the next one exists only beside the proof that the one before is dead."""
    chains: dict[int, list[Row[Any]]] = defaultdict(list)
    for row in rows:
        chains[row._mapping[owner]].append(row)  # noqa: SLF001 (SQLAlchemy's public name for a row by column)
    for chain in chains.values():
        for number, row in enumerate(chain, start=1):
            if row.attempt != number:
                yield Finding(f"{table} {row.id}", f"it is attempt {row.attempt}, attempt {number} is missing")
        for row in chain[:-1]:
            if row.state != "dead" or row.proof is None:
                yield Finding(f"{table} {row.id}", "it has a successor and no proof of its death")


def _accounts(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What the ledger owes each recipient, and what he owes, is what his payouts say."""
    taken = payouts.c.paid_amount + payouts.c.netted_amount
    owed = case((payouts.c.amount > taken, payouts.c.amount - taken), else_=0)
    over = case(((payouts.c.paid_amount > 0) & (taken > payouts.c.amount), taken - payouts.c.amount), else_=0)
    of_user = payouts.c.recipient_id.between(first, last)
    rows = conn.execute(
        select(payouts.c.recipient_id, func.sum(owed).label("owed"), func.sum(over).label("over"))
        .where(of_user)
        .group_by(payouts.c.recipient_id)
        .order_by(payouts.c.recipient_id)
    ).all()
    active = nettings.c.undone_at.is_(None), nettings.c.recipient_id.between(first, last)
    used = select(nettings.c.recipient_id, func.sum(nettings.c.amount)).where(*active)
    netted = {user: int(amount) for user, amount in conn.execute(used.group_by(nettings.c.recipient_id))}
    names = [account for row in rows for account in (owed_to(row.recipient_id), debt_of(row.recipient_id))]
    booked: dict[str, int] = {}
    for start in range(0, len(names), 400):
        found = select(ledger_balances.c.account, ledger_balances.c.amount).where(
            ledger_balances.c.account.in_(names[start : start + 400]), ledger_balances.c.asset == Asset.USDC
        )
        booked |= {account: amount for account, amount in conn.execute(found)}
    for row in rows:
        debt = int(row.over) - netted.get(row.recipient_id, 0)
        for account, amount in ((owed_to(row.recipient_id), -int(row.owed)), (debt_of(row.recipient_id), debt)):
            if booked.get(account, 0) != amount:
                why = f"the ledger has {booked.get(account, 0)} on {account}, the payouts make it {amount}"
                yield Finding(f"users {row.recipient_id}", why)


def _treasury(conn: Connection) -> Iterator[Finding]:
    """The ledger's treasury is the sum of the movements on chain; no more is promised than it holds."""
    sums = select(chain_movements.c.asset, func.sum(chain_movements.c.amount)).group_by(chain_movements.c.asset)
    moved = {asset: int(amount) for asset, amount in conn.execute(sums)}
    for asset in (Asset.USDC, Asset.SOL):
        kept = conn.scalar(
            select(ledger_balances.c.amount).where(
                ledger_balances.c.account == TREASURY, ledger_balances.c.asset == asset
            )
        )
        if (kept or 0) != moved.get(asset, 0):
            yield Finding(
                f"ledger_balances {TREASURY}",
                f"the books hold {kept or 0} {asset}, movements sum to {moved.get(asset, 0)}",
            )
    owed = promised(conn)
    if owed > moved.get(Asset.USDC, 0):
        yield Finding(
            f"ledger_balances {TREASURY}", f"{owed} base units are promised, {moved.get(Asset.USDC, 0)} are there"
        )


def _attempts_of(table: Table, owner: Table) -> str:
    return f"every next try of {owner.name} stands on the proof that the last is dead ({table.name})"


MONEY_OUT = (
    Check(
        "plans",
        ("I5", "I15"),
        "every batch is what its digest covers, and a Monday's takes what was paid before it",
        by_rows(batches, _plans),
    ),
    Check(
        "mints-that-pay",
        ("I5", "I6"),
        "a mint pays all that was frozen with it, or nothing, and promises it no longer than it may land",
        by_rows(mint_payouts, _mint_payouts),
    ),
    Check("assignments", ("I5",), "what a batch pays is in its plan: there, and no more", by_rows(payouts, _assigned)),
    Check(
        "transfers",
        ("I5",),
        "every transfer moves the sum of its payouts to one address",
        by_rows(transfers, _transfers),
    ),
    Check(
        "paid-on-chain",
        ("I6",),
        "every distributed payout has its finalized outflow of the same amount and owner",
        by_rows(payouts, _paid_on_chain),
    ),
    Check(
        "claimed-once",
        ("I6", "I7"),
        "no outflow pays for a transfer that another one has paid",
        by_rows(chain_movements, _claimed_once),
    ),
    Check("transfer-attempts", ("I8",), _attempts_of(transfer_attempts, transfers), by_rows(transfers, _attempts)),
    Check(
        "packed-attempts",
        ("I5", "I7", "I8"),
        "every group moves the sum of its members, and every next try stands on the proof that the last is dead",
        by_rows(payout_groups, _groups),
    ),
    Check("mint-attempts", ("I8",), _attempts_of(mint_attempts, purchases), by_rows(purchases, _mints)),
    Check(
        "accounts-of-recipients",
        ("I2", "I11"),
        "what is owed to each recipient, and his debt, is what his payouts say",
        by_rows(users, _accounts),
    ),
    Check("treasury", ("I11",), "the books hold what the chain has moved, and promise no more", at_once(_treasury)),
)
