"""Bearer tokens: random, stored hashed, expiring, revocable. Functions run in the caller's transaction."""

import hmac
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, bindparam, func, insert, select, update

from domain.errors import RequestError
from domain.keys import hash_secret
from storage.statements import insert_into
from storage.tables import sessions, tokens

ADMIN_TOKEN_LIFETIME = timedelta(days=3650)
"""A token from the settings lives as long as the setting: the next start with another one, or none, ends it."""
ROLES = ("viewer", "operator", "approver")
"""Roles of the operator's port; each includes those before it."""
OF_SETTINGS = ("settings", "metrics")
"""Whose tokens those of the settings are."""
_NAMES = 0x6E616D65
"""Class of PostgreSQL's advisory locks on operators' names."""
_OPERATORS = tokens.c.user_id.is_(None)
"""Theirs among a row for each sign-in of a user, by an index: only a user's token has one."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a valid token stands for: a user (role `user`) or an operator, by `name`. `created_by` made the token."""

    token_id: int
    role: str
    user_id: int | None
    name: str
    created_by: str


@dataclass(frozen=True, slots=True)
class NewToken:
    """A token of the operator's port, made by `created_by`. `secret` is shown once and stored hashed."""

    secret: str
    name: str
    role: str
    expires_at: datetime
    created_by: str


def issue(conn: Connection, token: str, user_id: int, expires_at: datetime, now: datetime) -> None:
    """Store a user's token."""
    named = {"token_hash": hash_secret(token), "user_id": user_id, "role": "user"}
    conn.execute(_ISSUE, {**named, "expires_at": expires_at, "created_at": now})


_ISSUE = insert(tokens)


def make(conn: Connection, token: NewToken, now: datetime) -> int:
    """Store an operator's token; its id. Raises RequestError 409 `name_taken`: two people never share a name, since
    approvals and the audit log know people by it."""
    if conn.dialect.name == "postgresql":  # of two who take a name at once the second sees the first
        conn.execute(select(func.pg_advisory_xact_lock(_NAMES, func.hashtext(token.name))))
    same = (tokens.c.name == token.name) & _OPERATORS
    live = tokens.c.revoked_at.is_(None) & (tokens.c.expires_at > now)
    if conn.scalar(select(tokens.c.id).where(same, live).limit(1)) is not None:
        raise RequestError(409, "name_taken", f"{token.name} has a token already; revoke it first", "name")
    made = conn.scalar(
        insert(tokens)
        .values(
            token_hash=hash_secret(token.secret),
            role=token.role,
            name=token.name,
            created_by=token.created_by[:64],
            expires_at=token.expires_at,
            created_at=now,
        )
        .returning(tokens.c.id)
    )
    assert made is not None
    return int(made)


def ensure_admin_token(
    conn: Connection, token: str, now: datetime, role: str = "approver", name: str = "settings"
) -> None:
    """Make a token of the admin port valid, as the settings name it at start. `role`: viewer, operator, approver."""
    conn.execute(
        insert_into(tokens, conn.dialect.name)
        .values(
            token_hash=hash_secret(token),
            role=role,
            name=name,
            expires_at=now + ADMIN_TOKEN_LIFETIME,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[tokens.c.token_hash])
    )


def end_others_of_settings(conn: Connection, token: str, now: datetime, name: str = "settings") -> None:
    """End the tokens that the settings named before: a changed or removed one must not go on opening the door."""
    theirs = (tokens.c.name == name) & (tokens.c.created_by == "") & _OPERATORS
    others = tokens.c.token_hash != hash_secret(token)
    conn.execute(update(tokens).where(theirs, others, tokens.c.revoked_at.is_(None)).values(revoked_at=now))


def end_operators(conn: Connection, now: datetime) -> list[str]:
    """End every operator's token but those that the settings name at each start, and the sessions of all. Returns whose
    the tokens were that were still valid."""
    of_settings = tokens.c.name.in_(OF_SETTINGS) & (tokens.c.created_by == "")
    ended = update(tokens).where(_OPERATORS, tokens.c.revoked_at.is_(None), ~of_settings).values(revoked_at=now)
    rows = conn.execute(ended.returning(tokens.c.name, tokens.c.expires_at)).all()
    theirs = sessions.c.token_id.in_(select(tokens.c.id).where(_OPERATORS))
    conn.execute(update(sessions).where(theirs, sessions.c.revoked_at.is_(None)).values(revoked_at=now))
    return sorted({row.name for row in rows if row.expires_at > now})


def find(conn: Connection, token: str, now: datetime) -> Bearer | None:
    """Whom the token stands for; None when it is unknown, expired or revoked."""
    wanted = hash_secret(token)
    row = conn.execute(_FIND, {"hash": wanted, "now": now}).one_or_none()
    if row is None or not hmac.compare_digest(row.token_hash.encode(), wanted.encode()):
        return None
    return bearer_of(row)


def bearer_of(row: Row[Any]) -> Bearer:
    """Whom a row of this table stands for."""
    return Bearer(row.id, row.role, row.user_id, row.name, row.created_by)


_FIND = select(tokens).where(
    tokens.c.token_hash == bindparam("hash"), tokens.c.revoked_at.is_(None), tokens.c.expires_at > bindparam("now")
)


def operators_page(conn: Connection, before: int | None, limit: int) -> Sequence[Row[Any]]:
    """Up to `limit` tokens of the operator's port, newest first, with ids below `before`; never their secrets."""
    query = select(tokens).where(_OPERATORS).order_by(tokens.c.id.desc()).limit(limit)
    return conn.execute(query if before is None else query.where(tokens.c.id < before)).all()


def operator_token(conn: Connection, token_id: int) -> Row[Any] | None:
    return conn.execute(select(tokens).where(tokens.c.id == token_id, _OPERATORS)).one_or_none()


def made_by(conn: Connection, name: str) -> set[str]:
    """Names of the operators whose tokens this one made."""
    return set(conn.scalars(select(tokens.c.name).where(tokens.c.created_by == name, _OPERATORS)))


def require_another_person(conn: Connection, approvers: set[str], approver: str, created_by: str) -> None:
    """Raise RequestError 403 `same_person` if the approver's token was made by one of those who approved before, or
    made one of theirs: two approvals are two people's."""
    others = approvers - {approver}
    if created_by in others or others & made_by(conn, approver):
        raise RequestError(403, "same_person", "of two approvers neither may have made the other's token")


def revoke(conn: Connection, token_id: int, now: datetime) -> None:
    """End a token at once. One that was revoked before keeps its time."""
    conn.execute(update(tokens).where(tokens.c.id == token_id, tokens.c.revoked_at.is_(None)).values(revoked_at=now))
