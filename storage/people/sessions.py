"""Sessions of people who look at pages: a cookie, stored hashed, that stands for a token as long as both are valid."""

import hmac
from datetime import datetime

from sqlalchemy import Connection, insert, select, update

from domain.keys import hash_secret
from storage.people.tokens import Bearer, bearer_of
from storage.tables import sessions, tokens


def begin(conn: Connection, session: str, token_id: int, expires_at: datetime, now: datetime) -> None:
    """Store a session of a token; it ends when the token does, if that is earlier."""
    conn.execute(
        insert(sessions).values(
            session_hash=hash_secret(session), token_id=token_id, expires_at=expires_at, created_at=now
        )
    )


def find(conn: Connection, session: str, now: datetime) -> Bearer | None:
    """Whom the session stands for; None when it, or its token, is unknown, expired or revoked."""
    wanted = hash_secret(session)
    row = conn.execute(
        select(tokens, sessions.c.session_hash)
        .join(sessions, sessions.c.token_id == tokens.c.id)
        .where(
            sessions.c.session_hash == wanted,
            sessions.c.revoked_at.is_(None),
            sessions.c.expires_at > now,
            tokens.c.revoked_at.is_(None),
            tokens.c.expires_at > now,
        )
    ).one_or_none()
    if row is None or not hmac.compare_digest(row.session_hash.encode(), wanted.encode()):
        return None
    return bearer_of(row)


def end(conn: Connection, session: str, now: datetime) -> None:
    """End a session at once; a token that belongs to a user was made for it, and ends with it."""
    ended = conn.scalar(
        update(sessions)
        .where(sessions.c.session_hash == hash_secret(session), sessions.c.revoked_at.is_(None))
        .values(revoked_at=now)
        .returning(sessions.c.token_id)
    )
    if ended is not None:
        conn.execute(
            update(tokens)
            .where(tokens.c.id == ended, tokens.c.user_id.is_not(None), tokens.c.revoked_at.is_(None))
            .values(revoked_at=now)
        )
