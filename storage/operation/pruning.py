"""Forgetting what has run out for good: sessions, and the tokens of users' sign-ins. Operators' tokens stay: approvals
and the audit log name them."""

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import Connection, delete, exists, select

from storage.tables import sessions, tokens


def run_out(conn: Connection, before: datetime, limit: int) -> tuple[Sequence[int], Sequence[int]]:
    """Ids of up to `limit` sessions, and as many users' tokens without a session, that ran out before that moment; the
    longest past first. A revoked one counts from when it would have run out: its row says until then why it fails."""
    old_sessions = select(sessions.c.id).where(sessions.c.expires_at < before).order_by(sessions.c.expires_at)
    old_tokens = (
        select(tokens.c.id)
        .where(
            tokens.c.expires_at < before,
            tokens.c.user_id.is_not(None),
            ~exists().where(sessions.c.token_id == tokens.c.id),
        )
        .order_by(tokens.c.expires_at)
    )
    return conn.scalars(old_sessions.limit(limit)).all(), conn.scalars(old_tokens.limit(limit)).all()


def forget(conn: Connection, session_ids: Sequence[int], token_ids: Sequence[int]) -> None:
    """Delete these rows; safe to repeat."""
    conn.execute(delete(sessions).where(sessions.c.id.in_(session_ids)))
    conn.execute(delete(tokens).where(tokens.c.id.in_(token_ids)))
