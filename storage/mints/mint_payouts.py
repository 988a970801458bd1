"""What a mint's transaction pays beside minting (`atomic_settlement`): promised with the attempt, read by everybody who
promises, caps or explains money. The sale's payouts are born when that transaction is final (`mint_settlement`).
"""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, bindparam, exists, func, insert, select, update

from domain.ledger import Asset
from domain.realtime import Part
from domain.states import MintState
from storage.history import note
from storage.statements import ONE, fixed
from storage.tables import chain_movements, mint_attempts, mint_payouts
from storage.work import enqueue

_HELD = mint_payouts.c.released_at.is_(None)
_PROMISED = mint_payouts.c.ended_at.is_(None)


def reserve(conn: Connection, attempt_id: int, parts: Iterable[Part], now: datetime) -> None:
    """Freeze what the attempt's transaction is to pay; promised from here on."""
    rows = [
        {
            "mint_attempt_id": attempt_id,
            "recipient_id": part.recipient_id,
            "destination_address": part.address,
            "amount": part.amount,
            "created_at": now,
        }
        for part in parts
    ]
    conn.execute(insert(mint_payouts), rows)
    note(conn, "mint", attempt_id, MintState.INTENDED, MintState.INTENDED, now, f"pays {len(rows)} recipient(s) too")


def release(conn: Connection, attempt_id: int, why: str, now: datetime) -> None:
    """The attempt mints alone: its payouts go the way of all others. Only while nothing of it is signed. Idempotent."""
    mine = (mint_payouts.c.mint_attempt_id == attempt_id) & _HELD
    unsigned = exists().where(mint_attempts.c.id == attempt_id, mint_attempts.c.state == MintState.INTENDED)
    if conn.execute(update(mint_payouts).where(mine, unsigned).values(released_at=now, ended_at=now)).rowcount:
        enqueue(conn, "fund", "treasury", now)
        settles_in_two_steps(conn, attempt_id, why, now)


def end(conn: Connection, attempt_id: int, now: datetime, *, unpaid: bool = False) -> None:
    """The attempt has landed or is proven dead: what it was to pay is promised no longer. `unpaid`: the NFT was made by
    a transaction that paid nothing."""
    ended = {"ended_at": now, "released_at": now} if unpaid else {"ended_at": now}
    if conn.execute(_END, {"of": attempt_id, **ended}).rowcount:
        enqueue(conn, "fund", "treasury", now)


_END = update(mint_payouts).where(mint_payouts.c.mint_attempt_id == bindparam("of"), _PROMISED)


def settles_in_two_steps(conn: Connection, attempt_id: int, why: str, now: datetime) -> None:
    """Write down why a mint does not pay, for whoever asks later."""
    remark = f"mints alone: {why}"[:500]
    note(conn, "mint", attempt_id, MintState.INTENDED, MintState.INTENDED, now, remark)


def of_attempt(conn: Connection, attempt_id: int) -> list[Part]:
    """What the attempt pays, by recipient; empty when it mints alone."""
    rows = conn.execute(_OF_ATTEMPT, {"of": attempt_id})
    return [Part(row.recipient_id, row.destination_address, row.amount) for row in rows]


_OF_ATTEMPT = (
    select(mint_payouts)
    .where(mint_payouts.c.mint_attempt_id == bindparam("of"), _HELD)
    .order_by(mint_payouts.c.recipient_id)
)


def of_purchase(conn: Connection, purchase_id: int) -> list[list[Part]]:
    """What each attempt of a purchase was to pay, newest first, given up or not."""
    rows = conn.execute(
        select(mint_payouts)
        .join(mint_attempts)
        .where(mint_attempts.c.purchase_id == purchase_id)
        .order_by(mint_attempts.c.attempt.desc(), mint_payouts.c.recipient_id)
    )
    found: dict[int, list[Part]] = {}
    for row in rows:
        part = Part(row.recipient_id, row.destination_address, row.amount)
        found.setdefault(row.mint_attempt_id, []).append(part)
    return list(found.values())


def reserved(conn: Connection) -> int:
    """What mints under way are to pay (base units), but for what the wallet's history shows as gone already."""
    return int(conn.scalar(RESERVED) or 0)


def begun_since(moment: datetime) -> Select[Any]:
    """Asks what attempts begun since then and still under way pay; one that has landed counts as its group."""
    return _SUM.where(mint_attempts.c.created_at >= moment)


_SUM = select(func.sum(mint_payouts.c.amount)).select_from(mint_payouts.join(mint_attempts)).where(_PROMISED)
RESERVED = _SUM.where(
    ~exists().where(
        chain_movements.c.signature == mint_attempts.c.signature, chain_movements.c.asset == fixed(Asset.USDC)
    )
)
"""Of `reserved`."""


def under_way(conn: Connection, purchase_id: int) -> bool:
    """Whether the sale's mint may still pay its recipients: till that is decided no payout of it may be born."""
    return conn.scalar(_UNDER_WAY, {"of": purchase_id}) is not None


_UNDER_WAY = (
    select(mint_payouts.c.id)
    .join(mint_attempts)
    .where(mint_attempts.c.purchase_id == bindparam("of"), _PROMISED)
    .limit(ONE)
)


def promised_to(conn: Connection, purchase_id: int) -> Sequence[int]:
    """Recipients whom the sale's mint may still pay."""
    return conn.scalars(_PROMISED_TO, {"of": purchase_id}).all()


_PROMISED_TO = (
    select(mint_payouts.c.recipient_id)
    .join(mint_attempts)
    .where(mint_attempts.c.purchase_id == bindparam("of"), _PROMISED)
    .order_by(mint_payouts.c.recipient_id)
)


def carries(signature: ColumnElement[Any]) -> ColumnElement[bool]:
    """Whether an attempt that pays carries this signature: it is stored before it is sent."""
    return exists().where(
        mint_attempts.c.signature == signature, mint_payouts.c.mint_attempt_id == mint_attempts.c.id, _HELD
    )


def failed_before(conn: Connection, purchase_id: int) -> bool:
    """Whether an attempt that was to pay is dead for another reason than an expired blockhash: none is made again."""
    rows: Sequence[Row[Any]] = conn.execute(
        select(mint_attempts.c.proof)
        .join(mint_payouts)
        .where(_HELD, mint_attempts.c.purchase_id == purchase_id, mint_attempts.c.state == MintState.DEAD)
    ).all()
    return any("expiry" not in json.loads(row.proof or "{}") for row in rows)
