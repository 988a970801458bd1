"""What people settled by hand of payouts that were paid: each a row, its ledger entry, and the payout's own figure.

Who changes a payout here has locked its recipient (`storage.payouts.recipients`), and nets his debts anew afterwards.
"""

from collections.abc import Collection, Mapping
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, case, func, insert, select, update

from domain.ledger import Entry, debt_forgiven, debt_repaid, settled_by_hand
from storage.books.ledger import post
from storage.payouts.positions import position, position_of
from storage.tables import payouts, settlements

PAID, REPAID, FORGIVEN, UNFORGIVEN = "paid", "repaid", "forgiven", "unforgiven"
SIGN: Mapping[str, int] = {PAID: 1, REPAID: -1, FORGIVEN: -1, UNFORGIVEN: 1}
"""What each kind adds to what the recipient got of the payout."""


def pay(conn: Connection, payout: Row[Any], amount: int, now: datetime) -> None:
    """A person paid its recipient so much beside this payout: first what is due of it, then what debts took in vain."""
    owed = min(amount, position(payout).payable)
    _settle(conn, payout, PAID, amount, now, owed_amount=owed)


def repay(conn: Connection, payout: Row[Any], amount: int, movement_id: int | None, now: datetime) -> None:
    """Its recipient paid back so much of what he owes for it, by that deposit or elsewhere."""
    _settle(conn, payout, REPAID, amount, now, movement_id=movement_id)


def forgive(conn: Connection, payout: Row[Any], amount: int, now: datetime) -> None:
    """So much of what its recipient owes for it is written off."""
    _settle(conn, payout, FORGIVEN, amount, now)


def end_forgiveness(conn: Connection, payout: Row[Any], due: int, made_good: int, now: datetime) -> Row[Any]:
    """Before so much is due of it: what was forgiven of a debt that is less then, or none, was not his to get. What
    later payouts have made good (`made_good`) counts before what was forgiven. Returns the payout as it is now."""
    forgiven = _forgiven(conn, payout.id)
    left = max(0, position_of(payout, due).got + forgiven - due - made_good)
    if forgiven <= left:
        return payout
    _settle(conn, payout, UNFORGIVEN, forgiven - left, now)
    return conn.execute(select(payouts).where(payouts.c.id == payout.id)).one()


def _forgiven(conn: Connection, payout_id: int) -> int:
    signed = case((settlements.c.kind == FORGIVEN, settlements.c.amount), else_=-settlements.c.amount)
    mine = settlements.c.payout_id == payout_id, settlements.c.kind.in_((FORGIVEN, UNFORGIVEN))
    return int(conn.scalar(select(func.sum(signed)).where(*mine)) or 0)


def paid_to(conn: Connection, recipient_ids: Collection[int]) -> dict[int, int]:
    """By recipient, what people paid him by hand; those who got nothing so are left out."""
    mine = settlements.c.recipient_id.in_(recipient_ids), settlements.c.kind == PAID
    query = select(settlements.c.recipient_id, func.sum(settlements.c.amount)).where(*mine)
    return {user: int(amount) for user, amount in conn.execute(query.group_by(settlements.c.recipient_id))}


def entry_of(row: Row[Any], payout_uuid: str) -> Entry:
    """The ledger entry that a row of `settlements` calls for."""
    key, user, amount = row.ledger_key, row.recipient_id, row.amount
    if row.kind == PAID:
        return settled_by_hand(key, payout_uuid, user, row.owed_amount, amount - row.owed_amount)
    if row.kind == REPAID:
        return debt_repaid(key, payout_uuid, user, amount, by_deposit=row.movement_id is not None)
    return debt_forgiven(key, payout_uuid, user, -SIGN[row.kind] * amount)


def _settle(conn: Connection, payout: Row[Any], kind: str, amount: int, now: datetime, **more: Any) -> None:
    earlier = conn.scalar(select(func.count()).select_from(settlements).where(settlements.c.payout_id == payout.id))
    row = conn.execute(
        insert(settlements)
        .values(
            payout_id=payout.id,
            recipient_id=payout.recipient_id,
            kind=kind,
            amount=amount,
            ledger_key=f"hand:{payout.uuid}:{earlier}",
            created_at=now,
            **more,
        )
        .returning(settlements)
    ).one()
    post(conn, entry_of(row, payout.uuid), now)
    more_got = payouts.c.settled_amount + SIGN[kind] * amount
    conn.execute(update(payouts).where(payouts.c.id == payout.id).values(settled_amount=more_got))
