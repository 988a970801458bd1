"""Withdrawals: USDC that a user sends out of his own wallet. Functions run in the caller's transaction."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, insert, select

from domain.errors import RequestError
from domain.states import WalletState, WithdrawalState
from storage.history import advance, note
from storage.tables import users, withdrawals

OPEN = (WithdrawalState.INTENDED, WithdrawalState.CHALLENGE)
"""Waiting for its owner; there is one at most."""


@dataclass(frozen=True, slots=True)
class Wish:
    """`uuid` is random and chosen before the transaction; Circle's idempotency key comes from it. Base units."""

    uuid: str
    destination_address: str
    amount: int


def begin(conn: Connection, user_id: int, wish: Wish, now: datetime) -> Row[Any]:
    """Commit the wish before Circle is asked. The same wish while it is open goes on with its own key.

    Raises RequestError 409 `wallet_not_ready` or `withdrawal_open`, 422 `address_own`.
    """
    user = conn.execute(select(users).where(users.c.id == user_id).with_for_update()).one()
    if user.wallet_state != WalletState.READY or user.circle_wallet_id is None:
        raise RequestError(409, "wallet_not_ready", "there is no Circle wallet to withdraw from yet")
    if user.circle_wallet_address == wish.destination_address:
        raise RequestError(422, "address_own", "this is the wallet itself", "destination_address")
    row = conn.execute(
        select(withdrawals).where(withdrawals.c.user_id == user_id, withdrawals.c.state.in_(OPEN))
    ).one_or_none()
    if row is not None:
        if (row.destination_address, row.amount) == (wish.destination_address, wish.amount):
            return row
        raise RequestError(409, "withdrawal_open", "another withdrawal waits for your PIN: finish it, or drop it")
    made = conn.execute(
        insert(withdrawals)
        .values(
            uuid=wish.uuid,
            user_id=user_id,
            wallet_id=user.circle_wallet_id,
            destination_address=wish.destination_address,
            amount=wish.amount,
            state=WithdrawalState.INTENDED,
            created_at=now,
        )
        .returning(*withdrawals.c)
    ).one()
    note(conn, "withdrawal", made.id, None, WithdrawalState.INTENDED, now)
    return made


def of_user(conn: Connection, user_id: int, withdrawal_id: int) -> Row[Any]:
    """Raises RequestError 404 for one that is not his."""
    row = conn.execute(
        select(withdrawals).where(withdrawals.c.id == withdrawal_id, withdrawals.c.user_id == user_id)
    ).one_or_none()
    if row is None:
        raise RequestError(404, "not_found", "there is no such withdrawal")
    return row


def page(conn: Connection, user_id: int, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` withdrawals of a user, newest first, with ids below `before`."""
    query = select(withdrawals).where(withdrawals.c.user_id == user_id).order_by(withdrawals.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(withdrawals.c.id < before)).all()


def challenged(conn: Connection, withdrawal_id: int, challenge_id: str, now: datetime) -> None:
    """Circle waits for the PIN. Idempotent."""
    if _state(conn, withdrawal_id) is WithdrawalState.INTENDED:
        advance(conn, withdrawal_id, WithdrawalState.CHALLENGE, now, challenge_id=challenge_id)


def confirmed(conn: Connection, withdrawal_id: int, transaction_id: str, now: datetime) -> None:
    """The PIN was given: Circle sends it. Idempotent."""
    if _state(conn, withdrawal_id) is WithdrawalState.CHALLENGE:
        advance(conn, withdrawal_id, WithdrawalState.SENDING, now, circle_transaction_id=transaction_id)


def completed(conn: Connection, withdrawal_id: int, signature: str | None, now: datetime) -> None:
    """Circle calls it complete. Idempotent."""
    if _state(conn, withdrawal_id) is WithdrawalState.SENDING:
        advance(conn, withdrawal_id, WithdrawalState.COMPLETED, now, signature=signature)


def ended(conn: Connection, withdrawal_id: int, state: WithdrawalState, why: str, now: datetime) -> None:
    """It failed, or its owner dropped it. What Circle sends already is not stopped by that. Idempotent."""
    before = _state(conn, withdrawal_id)
    over = (WithdrawalState.COMPLETED, WithdrawalState.FAILED, WithdrawalState.DROPPED)
    if before not in over and not (state is WithdrawalState.DROPPED and before is WithdrawalState.SENDING):
        advance(conn, withdrawal_id, state, now, why, reason=why)


def _state(conn: Connection, withdrawal_id: int) -> WithdrawalState:
    return WithdrawalState(
        conn.execute(
            select(withdrawals.c.state).where(withdrawals.c.id == withdrawal_id).with_for_update()
        ).scalar_one()
    )
