"""People: invites, signing up, wallet requests and external addresses. Functions run in the caller's transaction."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Row, bindparam, select, update

from domain.errors import RequestError
from domain.keys import hash_secret
from domain.states import WalletState
from storage.history import advance, note
from storage.statements import insert_into, row_of
from storage.tables import invites, users
from storage.work import enqueue

WALLET_JOB = "wallet"


@dataclass(frozen=True, slots=True)
class NewUser:
    """`uuid` is random and chosen before the transaction, which may run twice. `email` is normalised."""

    uuid: str
    email: str
    username: str
    password_hash: str


@dataclass(frozen=True, slots=True)
class FormerUser:
    """A user from before, brought over by the operator with his external address."""

    account: NewUser
    wallet_provider: str
    wallet_address: str
    web3auth_sub: str | None


def ensure_invite(conn: Connection, code: str, uses: int | None, now: datetime, note_text: str = "") -> bool:
    """Make the invite exist; False when the code was there already, and its uses stay as they are. None = unlimited."""
    made = conn.execute(
        insert_into(invites, conn.dialect.name)
        .values(code_hash=hash_secret(code), uses_left=uses, note=note_text, created_at=now)
        .on_conflict_do_nothing(index_elements=[invites.c.code_hash])
    )
    return made.rowcount == 1


def make_invite(conn: Connection, code: str, uses: int | None, now: datetime, note_text: str) -> int:
    """A new invite; its id. Raises RequestError 409 `invite_exists`."""
    if not ensure_invite(conn, code, uses, now, note_text):
        raise RequestError(409, "invite_exists", "there is an invite with this code already", "code")
    made = conn.scalar(select(invites.c.id).where(invites.c.code_hash == hash_secret(code)))
    assert made is not None
    return int(made)


def close_invite(conn: Connection, invite_id: int) -> bool:
    """Nobody comes in with it any more; False when there is no such invite. Idempotent."""
    return conn.execute(update(invites).where(invites.c.id == invite_id).values(uses_left=0)).rowcount == 1


def invite_is_open(conn: Connection, code: str) -> bool:
    """Whether the code would be taken now; only `sign_up` uses it up."""
    row = conn.execute(select(invites.c.uses_left).where(invites.c.code_hash == hash_secret(code))).one_or_none()
    return row is not None and (row.uses_left is None or row.uses_left > 0)


def invite_invalid() -> RequestError:
    """The one answer to a code that is unknown, closed or used up."""
    said = "this invite code is unknown or used up: copy it whole, or ask whoever gave it to you for another one"
    return RequestError(403, "invite_invalid", said, "invite_code")


def sign_up(conn: Connection, user: NewUser, invite_code: str, now: datetime) -> int:
    """Use the invite up, make the user and queue the wallet, all or nothing. Returns the user's id.

    Raises RequestError 403 `invite_invalid` or 409 `email_taken`.
    """
    used = conn.execute(
        update(invites)
        .where(
            invites.c.code_hash == hash_secret(invite_code),
            (invites.c.uses_left.is_(None)) | (invites.c.uses_left > 0),
        )
        .values(uses_left=invites.c.uses_left - 1)
    )
    if used.rowcount != 1:
        raise invite_invalid()
    user_id = _insert(conn, user, now, wallet_state=WalletState.QUEUED)
    enqueue(conn, WALLET_JOB, user_id, now)
    return user_id


def require_free(conn: Connection, former: FormerUser) -> None:
    """Raises RequestError 409 `email_taken` or `web3auth_sub_taken`: one account has each."""
    if by_email(conn, former.account.email) is not None:
        raise RequestError(409, "email_taken", "there is another account with this e-mail address", "email")
    same = users.c.web3auth_sub == former.web3auth_sub
    if former.web3auth_sub is not None and conn.scalar(select(users.c.id).where(same)) is not None:
        raise RequestError(409, "web3auth_sub_taken", "there is another account with this web3auth_sub", "web3auth_sub")


def bring_over(conn: Connection, former: FormerUser, now: datetime) -> int:
    """Make a user from before, without a Circle wallet. Raises as `require_free`."""
    require_free(conn, former)
    return _insert(
        conn,
        former.account,
        now,
        wallet_state=WalletState.NONE,
        wallet_provider=former.wallet_provider,
        wallet_address=former.wallet_address,
        web3auth_sub=former.web3auth_sub,
    )


def _insert(conn: Connection, user: NewUser, now: datetime, wallet_state: WalletState, **columns: Any) -> int:
    user_id = conn.scalar(
        insert_into(users, conn.dialect.name)
        .values(
            uuid=user.uuid,
            email=user.email,
            username=user.username,
            password_hash=user.password_hash,
            wallet_state=wallet_state,
            created_at=now,
            **columns,
        )
        .on_conflict_do_nothing(index_elements=[users.c.email])
        .returning(users.c.id)
    )
    if user_id is None:
        raise RequestError(409, "email_taken", "there is an account with this e-mail address already", "email")
    note(conn, "wallet", user_id, None, wallet_state, now)
    return int(user_id)


def required(conn: Connection, user_id: int) -> Row[Any]:
    """The row of a user that must exist."""
    return conn.execute(row_of(users), {"which": user_id}).one()


def by_id(conn: Connection, user_id: int) -> Row[Any] | None:
    return conn.execute(row_of(users), {"which": user_id}).one_or_none()


def by_email(conn: Connection, email: str) -> Row[Any] | None:
    return conn.execute(_BY_EMAIL, {"of": email}).one_or_none()


_BY_EMAIL = select(users).where(users.c.email == bindparam("of"))


def replace_password_hash(conn: Connection, user_id: int, old: str, new: str) -> None:
    """Store the same password under today's parameters, unless it was changed meanwhile."""
    conn.execute(update(users).where(users.c.id == user_id, users.c.password_hash == old).values(password_hash=new))


def ask_for_wallet(conn: Connection, user_id: int, now: datetime) -> WalletState:
    """Queue a Circle wallet for a user from before; for one who has asked already, just the state.

    Raises RequestError 409 `wallet_ready`.
    """
    row = conn.execute(select(users.c.wallet_state).where(users.c.id == user_id).with_for_update()).one()
    state = WalletState(row.wallet_state)
    if state is WalletState.READY:
        raise RequestError(409, "wallet_ready", "this account has its Circle wallet already")
    if state is not WalletState.NONE:
        return state
    advance(conn, user_id, WalletState.QUEUED, now, "asked for by the user")
    enqueue(conn, WALLET_JOB, user_id, now)
    return WalletState.QUEUED


def look_for_wallet(conn: Connection, user_id: int, now: datetime, by: datetime) -> None:
    """Have the wallet that a user is about to set up looked for by then."""
    enqueue(conn, WALLET_JOB, user_id, now, by)


def change_external_address(conn: Connection, user_id: int, address: str, now: datetime) -> None:
    """Give a user from before another payout address, which starts the cool-off; the same address changes nothing.

    Raises RequestError 409 `not_external` for users whose wallet is Circle's.
    """
    row = conn.execute(
        select(users.c.wallet_provider, users.c.wallet_address).where(users.c.id == user_id).with_for_update()
    ).one()
    if row.wallet_provider == "circle_w3s":
        raise RequestError(409, "not_external", "payouts of this account go to its Circle wallet")
    if row.wallet_address == address:
        return
    conn.execute(update(users).where(users.c.id == user_id).values(wallet_address=address, address_changed_at=now))
    note(conn, "address", user_id, None, "changed", now, f"{row.wallet_address} -> {address}")
