"""Bearer tokens: random, stored hashed, expiring, revocable. Functions run in the caller's transaction."""

import hmac
from dataclasses import dataclass
from datetime import datetime, timedelta

from sqlalchemy import Connection, insert, select, update
from sqlalchemy.dialects import postgresql, sqlite

from domain.keys import hash_secret
from storage.tables import tokens

ADMIN_TOKEN_LIFETIME = timedelta(days=3650)
"""A token from the settings lives as long as the setting; removing it there and revoking it here ends it."""


@dataclass(frozen=True, slots=True)
class Bearer:
    """Whom a valid token stands for: a user (role `user`) or an operator, by `name`."""

    token_id: int
    role: str
    user_id: int | None
    name: str


def issue(conn: Connection, token: str, user_id: int, expires_at: datetime, now: datetime) -> None:
    """Store a user's token."""
    conn.execute(
        insert(tokens).values(
            token_hash=hash_secret(token), user_id=user_id, role="user", expires_at=expires_at, created_at=now
        )
    )


def ensure_admin_token(
    conn: Connection, token: str, now: datetime, role: str = "approver", name: str = "settings"
) -> None:
    """Make a token of the admin port valid, as the settings name it at start. `role`: viewer, operator, approver."""
    dialect = sqlite if conn.dialect.name == "sqlite" else postgresql
    conn.execute(
        dialect.insert(tokens)
        .values(
            token_hash=hash_secret(token),
            role=role,
            name=name,
            expires_at=now + ADMIN_TOKEN_LIFETIME,
            created_at=now,
        )
        .on_conflict_do_nothing(index_elements=[tokens.c.token_hash])
    )


def find(conn: Connection, token: str, now: datetime) -> Bearer | None:
    """Whom the token stands for; None when it is unknown, expired or revoked."""
    wanted = hash_secret(token)
    row = conn.execute(
        select(tokens).where(tokens.c.token_hash == wanted, tokens.c.revoked_at.is_(None), tokens.c.expires_at > now)
    ).one_or_none()
    if row is None or not hmac.compare_digest(row.token_hash.encode(), wanted.encode()):
        return None
    return Bearer(row.id, row.role, row.user_id, row.name)


def revoke(conn: Connection, token_id: int, now: datetime) -> None:
    """End a token at once."""
    conn.execute(update(tokens).where(tokens.c.id == token_id).values(revoked_at=now))
