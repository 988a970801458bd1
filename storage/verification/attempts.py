"""Attempts to pay and to mint: each under its own key, and each next one beside the proof that the last is dead."""

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, Row, Table, func, select

from domain.keys import transfer_key
from storage.tables import (
    group_attempts,
    group_members,
    mint_attempts,
    payout_groups,
    purchases,
    transfer_attempts,
    transfers,
)
from storage.verification.check import Check, Finding, by_rows


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


def _attempts_of(table: Table, owner: Table) -> str:
    return f"every next try of {owner.name} stands on the proof that the last is dead ({table.name})"


ATTEMPTS = (
    Check("transfer-attempts", ("I8",), _attempts_of(transfer_attempts, transfers), by_rows(transfers, _attempts)),
    Check(
        "packed-attempts",
        ("I5", "I7", "I8"),
        "every group moves the sum of its members, and every next try stands on the proof that the last is dead",
        by_rows(payout_groups, _groups),
    ),
    Check("mint-attempts", ("I8",), _attempts_of(mint_attempts, purchases), by_rows(purchases, _mints)),
)
