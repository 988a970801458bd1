"""A mint that paid its sale's recipients in the same transaction: what becomes of rows and ledger once it is final.

The transaction is read back, and what it paid is booked as the chain tells it: the sale's payouts are born, put into a
plan and a group of their own and are `distributed`, in the transaction that completes the purchase. Both or neither.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Table, bindparam, insert, select, update

from domain.evidence import Evidence, MintOutflow
from domain.fitting import Paid
from domain.keys import purchase_reference, uuid4_shaped
from domain.nft_texts import edition_in
from domain.realtime import Part
from domain.split import share_out
from domain.states import BatchStatus, MintState, PurchaseStatus
from storage.history import advance, note
from storage.mints import mint_payouts
from storage.operation.switches import SENDS_PAUSED, why_on
from storage.payouts import groups, membership
from storage.payouts.approvals import approve, digest_of
from storage.payouts.debts import open_debt
from storage.payouts.groups import NewGroup
from storage.payouts.planning import lock_plans
from storage.payouts.reserves import risk
from storage.payouts.upkeep import Payer
from storage.recovery import mint_adoption
from storage.recovery.dues_paid import UNPAID, new_transfer, promise, recipients_at
from storage.sales import purchases as sales
from storage.tables import batches, contents, disputes, mint_attempts, payouts, purchases, refunds
from storage.treasury import chain_rows
from storage.treasury.movements import book_adopted
from storage.treasury.outflows import orphans
from storage.work import revive

APPROVER = "atomic_settlement"
"""Choosing the mode is the approval, within the caps."""
Legs = Sequence[tuple[str, int]]


def no_longer(conn: Connection, purchase_id: int) -> str | None:
    """Why a sale that was to be paid with its mint must not be any more: asked in the transaction that stores the
    signed bytes, so that nothing can come between."""
    held = conn.scalar(select(purchases.c.hold_reason).where(purchases.c.id == purchase_id))
    if held is not None:
        return f"it is held: {held}"
    if any(_has(conn, table, purchase_id) for table in (refunds, disputes)):
        return "money of it came back"
    if _has(conn, payouts, purchase_id):
        return "its payouts are on a way of their own"
    if any(open_debt(conn, one) or risk(conn, one) for one in mint_payouts.promised_to(conn, purchase_id)):
        return "a recipient owes meanwhile, or may come to"
    if why_on(conn, SENDS_PAUSED) is not None:
        return "all sends are paused"
    return "USDC left the platform wallet unexplained" if orphans(conn, limit=1) else None


def _has(conn: Connection, table: Table, purchase_id: int) -> bool:
    return conn.scalar(select(table.c.id).where(table.c.purchase_id == purchase_id).limit(1)) is not None


def place(conn: Connection, purchase_id: int, legs: Legs) -> list[Part] | None:
    """Whose parts of the sale a transaction of its mint paid: as one of its attempts has it, else by the shares that
    were due at birth, all of them. None when that is not certain, or a part of it is paid or on its way otherwise.
    """
    if _otherwise_paid(conn, purchase_id):
        return None
    for planned in mint_payouts.of_purchase(conn, purchase_id):
        if sorted((part.address, part.amount) for part in planned) == sorted(legs):
            return planned
    return _by_shares(conn, purchase_id, legs)


def _otherwise_paid(conn: Connection, purchase_id: int) -> bool:
    found = conn.execute(select(payouts).where(payouts.c.purchase_id == purchase_id)).all()
    return any(row.state not in UNPAID or membership.has_begun(conn, row.transfer_id) for row in found)


def _by_shares(conn: Connection, purchase_id: int, legs: Legs) -> list[Part] | None:
    """The mint's address says which sale it is; so who got how much is certain, unless two of equal part have changed
    their addresses."""
    row = sales.by_id(conn, purchase_id)
    if row is None or row.creator_amount is None:
        return None
    shares = share_out(row.creator_amount, sales.shares_of(conn, row.content_id))
    left = {recipient_id: amount for recipient_id, amount in shares.items() if amount}
    found: list[Part] = []
    for owner, amount in legs:
        equal = [recipient_id for recipient_id, due in left.items() if due == amount]
        if len(equal) > 1:
            equal = [recipient_id for recipient_id in equal if recipient_id in recipients_at(conn, owner)]
        if len(equal) != 1:
            return None
        found.append(Part(equal[0], owner, amount))
        del left[equal[0]]
    return None if left else found


def book(
    conn: Connection, attempt: Row[Any], parts: Sequence[Part], evidence: Evidence, account: str, now: datetime
) -> None:
    """The payouts that the mint's transaction made are `distributed`. `attempt`: a row of `mint_attempts`, finalized;
    `parts` from `place`; `account`: the platform's USDC account. The sale's payouts exist."""
    purchase = sales.required(conn, attempt.purchase_id)
    numbers = select(payouts.c.recipient_id, payouts.c.id, payouts.c.recipient_number)
    mine = {row.recipient_id: row for row in conn.execute(numbers.where(payouts.c.purchase_id == purchase.id))}
    batch_id = _plan(conn, purchase, now)
    members = []
    for part in parts:
        payout = mine[part.recipient_id]
        named = {
            "uuid": _uuid(purchase, f"transfer-{payout.recipient_number}"),
            "reference": purchase_reference(purchase.stripe_payment_intent_id, payout.recipient_number),
            "key_scope": f"{purchase.stripe_payment_intent_id}/{payout.recipient_number}",
        }
        transfer = new_transfer(conn, batch_id, part.recipient_id, named, part.amount, part.address, now)
        promise(conn, transfer, [Paid(payout.id, part.amount)], f"mint {attempt.mint_address}", now)
        members.append((transfer.id, part.address, part.amount))
    _freeze(conn, batch_id, parts, now)
    group = NewGroup(_uuid(purchase, "group"), groups.MINTED, "", attempt.seed, attempt.mint_address, members)
    group_id = groups.file(conn, batch_id, group, now, "paid by its mint")
    groups.begun(conn, group_id, attempt.wallet_id, attempt.platform_address, attempt.created_at, now)
    # What the transaction cost is the mint's, and booked there.
    groups.paid(conn, group_id, replace(evidence, cost_lamports=0, fee_lamports=0), account, now)


def _plan(conn: Connection, purchase: Row[Any], now: datetime) -> int:
    batch_id: int | None = conn.scalar(
        insert(batches)
        .values(
            uuid=_uuid(purchase, "batch"),
            key=f"atomic:{uuid4_shaped('atomic', purchase.stripe_payment_intent_id)}",
            cutoff_at=now,
            status=BatchStatus.SETTLED,
            grouping="purchase",
            rail="solana",
            payout_count=0,
            planned_amount=0,
            settled_at=now,
            created_at=now,
        )
        .returning(batches.c.id)
    )
    assert batch_id is not None
    note(conn, "batch", batch_id, None, BatchStatus.SETTLED, now, "paid with its mint")
    return batch_id


def _freeze(conn: Connection, batch_id: int, parts: Sequence[Part], now: datetime) -> None:
    """The plan as it was carried out, for whoever checks plans."""
    digest = digest_of(conn, batch_id)
    planned = {"payout_count": len(parts), "planned_amount": sum(part.amount for part in parts)}
    conn.execute(update(batches).where(batches.c.id == batch_id).values(digest=digest, **planned))
    approve(conn, batch_id, digest, APPROVER, now)


def _uuid(purchase: Row[Any], what: str) -> str:
    return str(uuid4_shaped("atomic", purchase.uuid, what))


def unminted(conn: Connection) -> list[tuple[int, str]]:
    """Paid sales without an NFT: (id, payment_intent)."""
    asked = select(purchases.c.id, purchases.c.stripe_payment_intent_id)
    rows = conn.execute(asked.where(purchases.c.paid_at.is_not(None), purchases.c.minted_at.is_(None)))
    return [(row.id, row.stripe_payment_intent_id) for row in rows]


def adopt(
    conn: Connection,
    purchase_id: int,
    outflow: MintOutflow,
    payer: Payer,
    new_uuid: Callable[[], UUID],
    now: datetime,
) -> bool:
    """Give an outflow that nothing here explains to the sale whose mint it is, the mark of a restored backup; False
    when it can't be placed. The mint's step then reads it back like any other, and signs nothing for this sale."""
    lock_plans(conn)  # the gates of several replicas read one history
    purchase, parts = sales.required(conn, purchase_id), place(conn, purchase_id, outflow.legs)
    if parts is None or purchase.minted_at is not None or conn.scalar(_FOLLOWED, {"of": outflow.signature}) is not None:
        return False
    if not purchase.edition_held and not sales.hold_edition(conn, purchase_id, now):
        return False
    mint_adoption.bury_others(conn, purchase_id, outflow.signature, now)
    attempt_id = _attempt(conn, purchase_id, outflow, payer, new_uuid(), now)
    mint_payouts.reserve(conn, attempt_id, parts, now)
    advance(conn, attempt_id, MintState.SIGNED, now, "adopted", signature=outflow.signature)
    advance(conn, attempt_id, MintState.SENT, now, "adopted")
    if purchase.status != PurchaseStatus.MINTING:
        columns = {"status_reason": None, "status_before_refund": None}
        advance(conn, purchase_id, PurchaseStatus.MINTING, now, f"adopted {outflow.signature}", **columns)
    chain_rows.watch(conn, outflow.signature, "mint", purchase_id, None, now)
    book_adopted(conn, outflow.signature, now)
    revive(conn, "mint", purchase_id, now)
    return True


_FOLLOWED = select(mint_attempts.c.id).where(
    mint_attempts.c.signature == bindparam("of"), mint_attempts.c.state != MintState.DEAD
)


def _attempt(conn: Connection, purchase_id: int, outflow: MintOutflow, payer: Payer, uuid: UUID, now: datetime) -> int:
    number = edition_in(outflow.name, conn.scalar(_TITLE, {"of": purchase_id}) or "")
    if number is None:
        sales.edition_number(conn, purchase_id)
    else:
        mint_adoption.take_number(conn, purchase_id, number, outflow.signature, now)
    numbered = select(mint_attempts.c.attempt).where(mint_attempts.c.purchase_id == purchase_id)
    attempt_id: int | None = conn.scalar(
        insert(mint_attempts)
        .values(
            uuid=str(uuid),
            purchase_id=purchase_id,
            attempt=max(conn.scalars(numbered), default=0) + 1,
            state=MintState.INTENDED,
            wallet_id=payer.wallet_id,
            platform_address=payer.address,
            buyer_address=outflow.buyer,
            seed=outflow.seed,
            mint_address=outflow.mint_address,
            name=outflow.name,
            symbol=outflow.symbol,
            uri=outflow.uri,
            created_at=now,
        )
        .returning(mint_attempts.c.id)
    )
    assert attempt_id is not None
    note(conn, "mint", attempt_id, None, MintState.INTENDED, now, f"adopted {outflow.signature}")
    return attempt_id


_TITLE = select(contents.c.title).join(purchases).where(purchases.c.id == bindparam("of"))
