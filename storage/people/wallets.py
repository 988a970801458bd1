"""Users' Circle wallets: asked for, challenged, ready."""

from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select

from domain.errors import Misuse
from domain.states import PurchaseStatus, WalletState
from storage.history import advance
from storage.statements import row_of
from storage.tables import purchases, users
from storage.work import enqueue


def user(conn: Connection, user_id: int) -> Row[Any]:
    row = conn.execute(row_of(users), {"which": user_id}).one_or_none()
    if row is None:
        raise Misuse(f"no user {user_id}")
    return row


def id_by_uuid(conn: Connection, user_uuid: str) -> int | None:
    """Circle knows our users by their UUID."""
    return conn.scalar(_BY_UUID, {"of": user_uuid})


_BY_UUID = select(users.c.id).where(users.c.uuid == bindparam("of"))


def challenged(conn: Connection, user_id: int, challenge_id: str | None, now: datetime) -> None:
    """Circle waits for the user's PIN; `challenge_id` is None when Circle says that it had been set up before."""
    if user(conn, user_id).wallet_state in (WalletState.QUEUED, WalletState.FAILED):
        advance(conn, user_id, WalletState.CHALLENGE, now, wallet_challenge_id=challenge_id)


def challenge_lapsed(conn: Connection, user_id: int, why: str, now: datetime) -> None:
    """The challenge can't be completed any more: the next attempt has a key of its own."""
    row = user(conn, user_id)
    if row.wallet_state == WalletState.CHALLENGE:
        advance(
            conn, user_id, WalletState.QUEUED, now, why, wallet_attempt=row.wallet_attempt + 1, wallet_challenge_id=None
        )


def ready(conn: Connection, user_id: int, wallet_id: str, address: str, now: datetime) -> None:
    """The wallet exists and was fetched. Mints that waited for it become due. Idempotent."""
    row = user(conn, user_id)
    if row.wallet_state == WalletState.READY:
        return
    waiting = select(purchases.c.id).where(
        purchases.c.buyer_id == user_id,
        purchases.c.status == PurchaseStatus.PAYMENT_COMPLETED,
        purchases.c.edition_held,
    )
    for purchase_id in conn.scalars(waiting):  # before his row: a mint that is begun has its job's, and waits for his
        enqueue(conn, "mint", purchase_id, now)
    changed: dict[str, Any] = {"address_changed_at": now} if row.wallet_address else {}
    advance(
        conn,
        user_id,
        WalletState.READY,
        now,
        circle_wallet_id=wallet_id,
        circle_wallet_address=address,
        wallet_provider="circle_w3s",
        **changed,
    )


def failed(conn: Connection, user_id: int, why: str, now: datetime) -> None:
    """The automatic tries are used up; an operator can retry."""
    if user(conn, user_id).wallet_state in (WalletState.QUEUED, WalletState.CHALLENGE):
        advance(conn, user_id, WalletState.FAILED, now, why)
