"""Whether PostgreSQL keeps what it has answered for, also where another server takes over."""

from sqlalchemy import Connection, text

MUST_BE_ON = ("fsync", "full_page_writes", "synchronous_commit")
"""Without the first two a power cut loses or tears what was committed; without the third a commit is answered before it
is on the disk. Ours asks for the third itself; a pooler between may drop the wish."""
_KEEPS = frozenset({"on", "remote_apply", "remote_write", "local"})


def lacking(conn: Connection) -> list[str]:
    """The settings, as this connection has them, that are not what a durable answer needs; none on SQLite."""
    if conn.dialect.name == "sqlite":
        return []
    seen = {name: conn.scalar(text("SELECT current_setting(:name)"), {"name": name}) for name in MUST_BE_ON}
    return [f"{name} = {value}" for name, value in seen.items() if value not in _KEEPS]


def unwaited(conn: Connection) -> int:
    """How many follow this server with no commit waiting for them, so that one that takes over may lack the last."""
    if conn.dialect.name == "sqlite":
        return 0
    followers: int = conn.execute(_UNWAITED).scalar_one()
    return followers


_UNWAITED = text("SELECT count(*) FROM pg_stat_replication WHERE current_setting('synchronous_standby_names') = ''")
