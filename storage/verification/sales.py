"""Sales: what Stripe took and gave back, the split, the editions."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy import Connection, Row, func, select

from domain.money import SHARE_WHOLE_BPS, cents_to_base_units
from domain.refunds import LOST_DISPUTE, Returns, dues, returns
from domain.states import PackedState, PurchaseStatus, RefundState, TransferState, UsdcStatus
from storage.tables import (
    contents,
    disputes,
    group_attempts,
    group_members,
    payouts,
    purchases,
    refunds,
    transfer_attempts,
)
from storage.verification.causes import shares_by_content
from storage.verification.check import Check, Finding, by_rows

_PAID = frozenset(
    {PurchaseStatus.PAYMENT_COMPLETED, PurchaseStatus.MINTING, PurchaseStatus.COMPLETED, PurchaseStatus.REFUNDED}
)


def _sums(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """The columns' CHECKs say it too; a restored or edited file may lack them."""
    for row in _purchases(conn, first, last):
        name = f"purchases {row.id}"
        if row.stripe_fee is not None and row.gross_amount != row.stripe_fee + row.net_after_stripe:
            yield Finding(name, f"{row.gross_amount} gross is not {row.stripe_fee} fee + {row.net_after_stripe} net")
        elif row.creator_amount is not None and (
            row.creator_amount + row.platform_amount != cents_to_base_units(row.net_after_stripe)
        ):
            why = f"{row.creator_amount} + {row.platform_amount} base units are not {row.net_after_stripe} cents"
            yield Finding(name, why)
        elif (row.stripe_fee is None) != (row.creator_amount is None):
            yield Finding(name, "it has a fee and no split, or a split and no fee")


def _status(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    for row in _purchases(conn, first, last):
        why = _contradiction(row)
        if why is not None:
            yield Finding(f"purchases {row.id}", why)


def _contradiction(row: Row[Any]) -> str | None:
    minted = row.minted_at is not None
    paid = row.paid_at is not None and row.stripe_payment_intent_id is not None
    ended = row.status in (PurchaseStatus.COMPLETED, PurchaseStatus.REFUNDED)
    told = {one is not None for one in (row.minted_at, row.nft_mint_address, row.mint_signature)}
    wrong = {
        "it was never paid": row.status in _PAID and not paid,
        "it was paid": row.status == PurchaseStatus.PENDING and row.paid_at is not None,
        "its mint has a time, an address or a signature, but not all three": len(told) > 1,
        "it has no NFT": row.status == PurchaseStatus.COMPLETED and not minted,
        "it has an NFT": minted and not ended,
        "it has an NFT and no edition": minted and not row.edition_held,
    }
    return next((f"it is {row.status} and {why}" for why, holds in wrong.items() if holds), None)


def _purchases(conn: Connection, first: int, last: int) -> Iterator[Row[Any]]:
    query = select(purchases).where(purchases.c.id.between(first, last)).order_by(purchases.c.id)
    yield from conn.execute(query).all()


def _returned(conn: Connection, rows: list[Row[Any]]) -> dict[int, Returns]:
    ids = [row.id for row in rows]
    succeeded: dict[int, list[int]] = defaultdict(list)
    for one in conn.execute(
        select(refunds.c.purchase_id, refunds.c.amount).where(
            refunds.c.purchase_id.in_(ids), refunds.c.state == RefundState.SUCCEEDED
        )
    ):
        succeeded[one.purchase_id].append(one.amount)
    lost: dict[int, list[int]] = defaultdict(list)
    for one in conn.execute(
        select(disputes.c.purchase_id, disputes.c.amount).where(
            disputes.c.purchase_id.in_(ids), disputes.c.status == LOST_DISPUTE
        )
    ):
        lost[one.purchase_id].append(one.amount)
    return {row.id: returns(row.gross_amount, succeeded[row.id], lost[row.id], []) for row in rows}


def _refunded(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    rows = list(_purchases(conn, first, last))
    told = _returned(conn, rows)
    for row in rows:
        if row.refunded_amount != told[row.id].refunded:
            why = f"{row.refunded_amount} cents count as refunded, its refunds say {told[row.id].refunded}"
            yield Finding(f"purchases {row.id}", why)


def _split(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    """What is due after what came back, divided by the shares; not while a transfer's outcome is waited for."""
    found = conn.execute(
        select(payouts).where(payouts.c.purchase_id.between(first, last)).order_by(payouts.c.purchase_id, payouts.c.id)
    ).all()
    by_sale: dict[int, list[Row[Any]]] = defaultdict(list)
    for payout in found:
        by_sale[payout.purchase_id].append(payout)
    rows = [row for row in _purchases(conn, first, last) if row.id in by_sale and row.creator_amount is not None]
    told = _returned(conn, rows)
    shares = shares_by_content(conn, {row.content_id for row in rows})
    flying = _in_flight(conn, first, last)
    for row in rows:
        wanted = dues(row.creator_amount, row.gross_amount, told[row.id].returned, shares[row.content_id])
        for payout in by_sale[row.id]:
            yield from _payout(payout, wanted, payout.id in flying)


def _payout(payout: Row[Any], wanted: Mapping[int, int], flying: bool) -> Iterator[Finding]:
    name, due = f"payouts {payout.id}", wanted.get(payout.recipient_id, 0)
    if payout.amount != due and not flying:
        yield Finding(name, f"{payout.amount} base units are due by the row, {due} by the sale")
    whole = sum(wanted.values())
    if abs(due * SHARE_WHOLE_BPS - whole * payout.share_bps) >= SHARE_WHOLE_BPS:
        yield Finding(name, f"{due} of {whole} is a base unit or more off its share of {payout.share_bps} bps")


def _in_flight(conn: Connection, first: int, last: int) -> set[int]:
    """Payouts whose transfer or group has begun and has no outcome: what came back meanwhile counts after it."""
    mine = payouts.c.purchase_id.between(first, last), payouts.c.state == UsdcStatus.PENDING_DISTRIBUTION
    alone = (
        select(payouts.c.id)
        .join(transfer_attempts, transfer_attempts.c.transfer_id == payouts.c.transfer_id)
        .where(*mine, transfer_attempts.c.state != TransferState.DEAD)
    )
    packed = (
        select(payouts.c.id)
        .join(group_members, group_members.c.transfer_id == payouts.c.transfer_id)
        .join(group_attempts, group_attempts.c.group_id == group_members.c.group_id)
        .where(*mine, group_members.c.released_at.is_(None), group_attempts.c.state != PackedState.DEAD)
    )
    return {*conn.scalars(alone), *conn.scalars(packed)}


def _editions(conn: Connection, first: int, last: int) -> Iterator[Finding]:
    held = (
        select(purchases.c.content_id, func.count().label("held"))
        .where(purchases.c.content_id.between(first, last), purchases.c.edition_held)
        .group_by(purchases.c.content_id)
        .subquery()
    )
    query = (
        select(
            contents.c.id, contents.c.editions, contents.c.editions_taken, func.coalesce(held.c.held, 0).label("held")
        )
        .select_from(contents.outerjoin(held, held.c.content_id == contents.c.id))
        .where(contents.c.id.between(first, last))
        .order_by(contents.c.id)
    )
    for row in conn.execute(query):
        if row.held != row.editions_taken:
            yield Finding(
                f"contents {row.id}", f"{row.editions_taken} editions are taken, {row.held} purchases hold one"
            )
        elif row.editions is not None and row.held > row.editions:
            yield Finding(f"contents {row.id}", f"{row.held} editions of {row.editions} are held")


SALES = (
    Check(
        "sales-add-up",
        ("I2",),
        "gross is fee and net, and net is the creators' and the platform's part",
        by_rows(purchases, _sums),
    ),
    Check("refunds-add-up", ("I2",), "what counts as refunded is what the refunds say", by_rows(purchases, _refunded)),
    Check(
        "splits",
        ("I2", "I3"),
        "each recipient's due is his share of what the sale leaves, to the base unit",
        by_rows(purchases, _split),
    ),
    Check("sale-states", ("I4", "I9"), "what is paid, minted and held goes together", by_rows(purchases, _status)),
    Check("editions", ("I4",), "no more editions are held than there are", by_rows(contents, _editions)),
)
