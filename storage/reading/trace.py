"""Everything that one sale left in the database, from the first click to the last signature. Reads only."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from storage.books.sealing import LEDGER
from storage.tables import (
    chain_movements,
    disputes,
    group_attempts,
    group_members,
    ledger_entries,
    ledger_postings,
    mint_attempts,
    nettings,
    payout_groups,
    payouts,
    purchases,
    refunds,
    seals,
    state_history,
    transfer_attempts,
    transfers,
)

ENTRIES_MOST = 500
"""A sale has some ten entries; one whose refunds and disputes never end is shown in part."""


@dataclass(frozen=True, slots=True)
class BookedEntry:
    """An entry with its postings; `seal` is its number in the chain."""

    row: Row[Any]
    seal: int | None
    postings: Sequence[Row[Any]]


@dataclass(frozen=True, slots=True)
class SaleTrace:
    """The rows of one sale, each list oldest first. `shared` are its transfers, and `shared_groups` the groups that
    they are packed in, that pay other sales too."""

    changes: Sequence[Row[Any]]
    mints: Sequence[Row[Any]]
    transfers: Sequence[Row[Any]]
    packed: Sequence[Row[Any]]
    refunds: Sequence[Row[Any]]
    disputes: Sequence[Row[Any]]
    nettings: Sequence[Row[Any]]
    movements: Sequence[Row[Any]]
    entries: Sequence[BookedEntry]
    shared: frozenset[int]
    shared_groups: frozenset[int]


def id_of(conn: Connection, sale: str) -> int | None:
    """The purchase of a number or of a payment_intent id; None when there is none."""
    column = purchases.c.stripe_payment_intent_id == sale if sale.startswith("pi_") else purchases.c.id == int(sale)
    found: int | None = conn.scalar(select(purchases.c.id).where(column))
    return found


def trace(conn: Connection, purchase: Row[Any]) -> SaleTrace:
    """All that belongs to a purchase."""
    own = conn.execute(select(payouts).where(payouts.c.purchase_id == purchase.id).order_by(payouts.c.id)).all()
    mints = _of(conn, mint_attempts, purchase.id)
    back, disputed = _of(conn, refunds, purchase.id), _of(conn, disputes, purchase.id)
    attempts = conn.execute(
        select(transfer_attempts, transfers.c.reference, transfers.c.amount, transfers.c.destination_address)
        .join(transfers, transfers.c.id == transfer_attempts.c.transfer_id)
        .where(transfer_attempts.c.transfer_id.in_([row.transfer_id for row in own if row.transfer_id is not None]))
        .order_by(transfer_attempts.c.id)
    ).all()
    packed = conn.execute(
        select(
            group_attempts,
            payout_groups.c.uuid.label("group_uuid"),
            payout_groups.c.receipt_address,
            payout_groups.c.amount,
        )
        .select_from(group_attempts.join(payout_groups))
        .where(
            group_attempts.c.group_id.in_(
                select(group_members.c.group_id).where(
                    group_members.c.transfer_id.in_([row.transfer_id for row in own if row.transfer_id is not None])
                )
            )
        )
        .order_by(group_attempts.c.id)
    ).all()
    signatures = {row.signature for row in (*mints, *attempts, *packed, *own) if row.signature is not None}
    subjects = {purchase.stripe_payment_intent_id, *(row.uuid for row in own), *signatures} - {None}
    return SaleTrace(
        changes=_changes(
            conn,
            {
                "checkout": [purchase.checkout_id],
                "purchase": [purchase.id],
                "hold": [purchase.id],
                "release": [purchase.id],
                "payout": _ids(own),
                "mint": _ids(mints),
                "transfer": _ids(attempts),
                "group": sorted({row.group_id for row in packed}),
                "packed": _ids(packed),
                "refund": _ids(back),
                "dispute": [row.stripe_dispute_id[:64] for row in disputed],
                "batch": sorted({row.batch_id for row in own if row.batch_id is not None}),
            },
        ),
        mints=mints,
        transfers=attempts,
        packed=packed,
        refunds=back,
        disputes=disputed,
        nettings=_nettings(conn, [row.id for row in own]),
        movements=conn.execute(
            select(chain_movements)
            .where(chain_movements.c.signature.in_(signatures))
            .order_by(chain_movements.c.slot, chain_movements.c.id)
        ).all(),
        entries=_entries(conn, subjects),
        shared=_shared(conn, {row.transfer_id for row in own if row.transfer_id is not None}, purchase.id),
        shared_groups=_shared_groups(conn, {row.group_id for row in packed}, purchase.id),
    )


def _of(conn: Connection, table: Any, purchase_id: int) -> Sequence[Row[Any]]:
    return conn.execute(select(table).where(table.c.purchase_id == purchase_id).order_by(table.c.id)).all()


def _ids(rows: Sequence[Row[Any]]) -> list[int]:
    return [row.id for row in rows]


def _changes(conn: Connection, subjects: Mapping[str, Sequence[object]]) -> Sequence[Row[Any]]:
    wanted = [
        (state_history.c.machine == machine) & state_history.c.subject.in_([str(name) for name in names])
        for machine, names in subjects.items()
        if names
    ]
    return conn.execute(select(state_history).where(or_(*wanted)).order_by(state_history.c.id)).all()


def _nettings(conn: Connection, payout_ids: list[int]) -> Sequence[Row[Any]]:
    debtor = payouts.alias("debtor")
    return conn.execute(
        select(nettings, payouts.c.uuid.label("payout"), debtor.c.uuid.label("debtor"))
        .select_from(
            nettings.join(payouts, payouts.c.id == nettings.c.payout_id).join(
                debtor, debtor.c.id == nettings.c.debtor_payout_id
            )
        )
        .where(nettings.c.payout_id.in_(payout_ids) | nettings.c.debtor_payout_id.in_(payout_ids))
        .order_by(nettings.c.id)
    ).all()


def _entries(conn: Connection, subjects: set[Any]) -> list[BookedEntry]:
    sealed = (seals.c.chain == LEDGER.chain) & (seals.c.row_id == ledger_entries.c.id)
    rows = conn.execute(
        select(ledger_entries, seals.c.number)
        .select_from(ledger_entries.outerjoin(seals, sealed))
        .where(ledger_entries.c.subject.in_(subjects))
        .order_by(ledger_entries.c.id)
        .limit(ENTRIES_MOST)
    ).all()
    postings: dict[int, list[Row[Any]]] = defaultdict(list)
    mine = ledger_postings.c.entry_id.in_([row.id for row in rows])
    for posting in conn.execute(select(ledger_postings).where(mine).order_by(ledger_postings.c.id)):
        postings[posting.entry_id].append(posting)
    return [BookedEntry(row, row.number, postings[row.id]) for row in rows]


def _shared(conn: Connection, transfer_ids: set[int], purchase_id: int) -> frozenset[int]:
    others = select(payouts.c.transfer_id).where(payouts.c.transfer_id.in_(transfer_ids))
    return frozenset(
        conn.scalars(
            others.where(payouts.c.purchase_id != purchase_id).group_by(payouts.c.transfer_id).having(func.count() > 0)
        )
    )


def _shared_groups(conn: Connection, group_ids: set[int], purchase_id: int) -> frozenset[int]:
    others = select(group_members.c.group_id).join(payouts, payouts.c.transfer_id == group_members.c.transfer_id)
    mine = group_members.c.group_id.in_(group_ids)
    return frozenset(conn.scalars(others.where(mine, payouts.c.purchase_id != purchase_id).distinct()))
