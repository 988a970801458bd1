"""Transactions beside the payouts: token accounts made before them, receipts closed long after them."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from sqlalchemy import Connection, Row, insert, select

from domain.errors import Misuse
from domain.evidence import Evidence
from domain.states import UpkeepState
from storage.history import advance, note
from storage.tables import upkeep, upkeep_items, watched_signatures
from storage.treasury import chain_rows
from storage.treasury.network_costs import explain_cost
from storage.work import enqueue

Kind = Literal["accounts", "closing"]


@dataclass(frozen=True, slots=True)
class UpkeepCase:
    """One transaction of upkeep. `watch` is what the indexer says of its signature."""

    row: Row[Any]
    addresses: tuple[str, ...]
    watch: Row[Any] | None


@dataclass(frozen=True, slots=True)
class Payer:
    """The platform wallet that signs and pays: its id at Circle and its address."""

    wallet_id: str
    address: str


def load(conn: Connection, upkeep_id: int) -> UpkeepCase:
    """Raises Misuse for an unknown row."""
    row = conn.execute(select(upkeep).where(upkeep.c.id == upkeep_id)).one_or_none()
    if row is None:
        raise Misuse(f"no upkeep {upkeep_id}")
    addresses = conn.scalars(
        select(upkeep_items.c.address).where(upkeep_items.c.upkeep_id == upkeep_id).order_by(upkeep_items.c.address)
    ).all()
    watch = None
    if row.signature is not None:
        asked = select(watched_signatures).where(watched_signatures.c.signature == row.signature)
        watch = conn.execute(asked).one_or_none()
    return UpkeepCase(row, tuple(addresses), watch)


def plan(
    conn: Connection,
    kind: Kind,
    uuid: str,
    payer: Payer,
    addresses: Sequence[str],
    now: datetime,
    batch_id: int | None,
    due_at: datetime | None = None,
) -> int:
    """Make a transaction's row; its job is due, or will be at `due_at`."""
    upkeep_id: int | None = conn.scalar(
        insert(upkeep)
        .values(
            uuid=uuid,
            kind=kind,
            batch_id=batch_id,
            state=UpkeepState.INTENDED,
            wallet_id=payer.wallet_id,
            platform_address=payer.address,
            created_at=now,
        )
        .returning(upkeep.c.id)
    )
    assert upkeep_id is not None
    conn.execute(insert(upkeep_items), [{"upkeep_id": upkeep_id, "address": address} for address in addresses])
    note(conn, "upkeep", upkeep_id, None, UpkeepState.INTENDED, now, kind)
    enqueue(conn, "upkeep", upkeep_id, now, due_at)
    return upkeep_id


def is_signed(conn: Connection, signature: str) -> bool:
    """Whether these very bytes are there: what two batches need at one blockhash is one transaction."""
    return conn.scalar(select(upkeep.c.id).where(upkeep.c.signature == signature)) is not None


def signed(
    conn: Connection, upkeep_id: int, wire: bytes, signature: str, last_valid_block_height: int, now: datetime
) -> None:
    """Store the signed bytes and have the signature watched, before anything is sent."""
    advance(
        conn,
        upkeep_id,
        UpkeepState.SIGNED,
        now,
        wire=wire,
        signature=signature,
        last_valid_block_height=last_valid_block_height,
    )
    chain_rows.watch(conn, signature, "upkeep", upkeep_id, last_valid_block_height, now)


def sent(conn: Connection, upkeep_id: int, now: datetime) -> None:
    """The bytes went out at least once."""
    state = conn.scalar(select(upkeep.c.state).where(upkeep.c.id == upkeep_id).with_for_update())
    if state == UpkeepState.SIGNED:
        advance(conn, upkeep_id, UpkeepState.SENT, now)


def finalized(conn: Connection, upkeep_id: int, evidence: Evidence, now: datetime) -> None:
    """It is finalized without an error: what waited for it goes on."""
    row = conn.execute(select(upkeep).where(upkeep.c.id == upkeep_id)).one()
    advance(
        conn,
        upkeep_id,
        UpkeepState.FINALIZED,
        now,
        evidence.signature,
        cost_lamports=evidence.cost_lamports,
        proof=json.dumps({"finalized": evidence.signature, "slot": evidence.slot}),
    )
    explain_cost(conn, evidence.signature, "payout", now)
    if row.batch_id is not None:
        enqueue(conn, "pack", row.batch_id, now)


def given_up(conn: Connection, upkeep_id: int, why: str, now: datetime) -> None:
    """Left to a person. What was signed may still land: then the row stays as it is."""
    row = conn.execute(select(upkeep).where(upkeep.c.id == upkeep_id)).one()
    if row.state == UpkeepState.INTENDED:
        dead(conn, upkeep_id, {"why": f"never signed: {why}"}, now)
        if row.batch_id is not None:
            enqueue(conn, "pack", row.batch_id, now)


def dead(conn: Connection, upkeep_id: int, proof: Mapping[str, Any], now: datetime) -> None:
    """It never took and never will take effect; what it was for is looked at anew."""
    row = conn.execute(select(upkeep).where(upkeep.c.id == upkeep_id)).one()
    advance(conn, upkeep_id, UpkeepState.DEAD, now, str(proof.get("why", ""))[:500], proof=json.dumps(proof))
    if row.signature is not None:
        chain_rows.unwatch(conn, row.signature)
