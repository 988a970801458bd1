"""The frozen plan of a batch, its digest, who approved it, and whether what is about to be sent still fits it."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Select, bindparam, func, insert, select, update

from domain.errors import Misuse, RequestError
from domain.states import UsdcStatus
from storage.history import note
from storage.people import tokens
from storage.statements import always, insert_into, locked_row_of
from storage.tables import batch_approvals, batch_items, batches, payouts, transfers
from storage.work import revive


@dataclass(frozen=True, slots=True)
class Change:
    """One item of which less is sent than was planned (base units); `state` is where its payout stands now."""

    payout_id: int
    payout_uuid: str
    planned: int
    now: int
    state: str
    reason: str | None


def freeze(conn: Connection, batch_id: int) -> str:
    """Write down every item of a batch just planned, and its digest; set-based."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    planned = (
        select(payouts.c.batch_id, payouts.c.id, transfers.c.destination_address, unpaid)
        .join(transfers, transfers.c.id == payouts.c.transfer_id)
        .where(payouts.c.batch_id == batch_id)
    )
    names = ["batch_id", "payout_id", "destination_address", "amount"]
    conn.execute(insert(batch_items).from_select(names, planned))
    digest = digest_of(conn, batch_id)
    conn.execute(update(batches).where(batches.c.id == batch_id).values(digest=digest))
    return digest


DIGEST_PAGE = 1_000
"""Lines put into the digest at once: a hundred kilobytes of text."""


def digest_of(conn: Connection, batch_id: int) -> str:
    """SHA-256 over key, rail, grouping, fee ceiling and the items in the order of their payouts, a line each."""
    terms = (batches.c.key, batches.c.rail, batches.c.grouping, batches.c.fee_ceiling_lamports)
    head = conn.execute(select(*terms).where(batches.c.id == batch_id)).one()
    found = hashlib.sha256("|".join(map(str, head)).encode() + b"\n")
    last, lines = _digest_page(conn, batch_id, 0)
    while last is not None:
        found.update(lines.encode())
        last, lines = _digest_page(conn, batch_id, last)
    return found.hexdigest()


def _digest_page(conn: Connection, batch_id: int, after: int) -> tuple[int | None, str]:
    """The lines of the items after that payout, put together by the database, and the last one's payout: a page as one
    text costs half of as many rows. They stand in the order in which the page gives them; sorted once more while they
    are put together they would cost twice as much."""
    last, lines = conn.execute(_DIGEST_PAGE, {"batch_id": batch_id, "after": after}).one()
    return last, f"{lines}\n"


def _digest_statement() -> Select[Any, str]:
    item = (payouts.c.uuid, payouts.c.purchase_id, payouts.c.recipient_id)
    line = func.concat_ws("|", *item, batch_items.c.destination_address, batch_items.c.amount)
    page = (
        select(batch_items.c.payout_id, line.label("line"))
        .select_from(batch_items.join(payouts))
        .where(batch_items.c.batch_id == bindparam("batch_id"), batch_items.c.payout_id > bindparam("after"))
        .order_by(batch_items.c.payout_id)
        .limit(always(DIGEST_PAGE))
        .subquery()
    )
    text = func.aggregate_strings(page.c.line, "\n")
    return select(func.max(page.c.payout_id), text)


_DIGEST_PAGE = _digest_statement()
"""Put together once: the plan of a hundred thousand payouts asks it twenty times."""


def approve(conn: Connection, batch_id: int, digest: str, approver: str, now: datetime) -> None:
    """One approver agrees to exactly this plan. Idempotent for the same approver.

    Raises RequestError 404 for an unknown batch, 409 when the digest is not the plan's.
    """
    known = conn.execute(select(batches.c.digest).where(batches.c.id == batch_id)).one_or_none()
    if known is None:
        raise RequestError(404, "batch_not_found", f"there is no batch {batch_id}")
    if known.digest != digest:
        raise RequestError(409, "digest_differs", "the plan has another digest: look at it again before approving")
    made = conn.execute(
        insert_into(batch_approvals, conn.dialect.name)
        .values(batch_id=batch_id, digest=digest, approver=approver[:64], created_at=now)
        .on_conflict_do_nothing()
    )
    if made.rowcount:
        note(conn, "batch", batch_id, None, "approved", now, f"{approver}: {digest}")
    revive(conn, "batch", batch_id, now)


def require_another_person(conn: Connection, batch_id: int, approver: str, created_by: str) -> None:
    """Raise RequestError 403 if the approver's token was made by somebody who approved this batch, or made one of
    theirs: two approvals are two people's. In the transaction that approves: nobody else does meanwhile."""
    conn.execute(locked_row_of(batches), {"which": batch_id})
    tokens.require_another_person(conn, set(approvers(conn, batch_id)), approver, created_by)


def approvers(conn: Connection, batch_id: int) -> Sequence[str]:
    """Who approved the plan, in order."""
    return conn.scalars(_APPROVERS, {"of": batch_id}).all()


_APPROVERS = (
    select(batch_approvals.c.approver)
    .join(batches, (batches.c.id == batch_approvals.c.batch_id) & (batches.c.digest == batch_approvals.c.digest))
    .where(batches.c.id == bindparam("of"))
    .order_by(batch_approvals.c.id)
)


def require_as_planned(conn: Connection, transfer_ids: Sequence[int]) -> None:
    """Raise Misuse if one of the transfers holds anything that its batch's frozen plan does not: an added item, another
    address, a larger amount. Less than planned is fine (a refund, a hold)."""
    rows = conn.execute(_HELD_AND_PLANNED, {"of": transfer_ids}).all()
    for row in rows:
        if row.planned is None or row.sent_to != row.planned_to or row.unpaid > row.planned:
            raise Misuse(f"payout {row.uuid} is not what its batch's approved plan says; nothing of it is sent")


_HELD_AND_PLANNED = (
    select(
        payouts.c.uuid,
        (payouts.c.amount - payouts.c.netted_amount).label("unpaid"),
        transfers.c.destination_address.label("sent_to"),
        batch_items.c.destination_address.label("planned_to"),
        batch_items.c.amount.label("planned"),
    )
    .select_from(
        payouts.join(transfers, transfers.c.id == payouts.c.transfer_id).outerjoin(
            batch_items,
            (batch_items.c.payout_id == payouts.c.id) & (batch_items.c.batch_id == transfers.c.batch_id),
        )
    )
    .where(payouts.c.transfer_id.in_(bindparam("of", expanding=True)))
)


def changes(conn: Connection, batch_id: int, limit: int = 200, after: int = 0) -> list[Change]:
    """Up to `limit` items of which less is, or will be, sent than was planned, by their payouts' ids after `after`."""
    unpaid = payouts.c.amount - payouts.c.netted_amount
    left = func.coalesce(payouts.c.batch_id, 0) != batch_id
    less = (payouts.c.state != UsdcStatus.DISTRIBUTED) & (unpaid < batch_items.c.amount)
    less_paid = (payouts.c.state == UsdcStatus.DISTRIBUTED) & (payouts.c.paid_amount < batch_items.c.amount)
    rows = conn.execute(
        select(payouts, batch_items.c.amount.label("planned"), unpaid.label("unpaid"))
        .select_from(batch_items.join(payouts))
        .where(batch_items.c.batch_id == batch_id, payouts.c.id > after, left | less | less_paid)
        .order_by(payouts.c.id)
        .limit(limit)
    )
    return [
        Change(
            row.id,
            row.uuid,
            row.planned,
            row.paid_amount or (row.unpaid if row.batch_id == batch_id else 0),
            row.state,
            row.reason,
        )
        for row in rows
    ]
