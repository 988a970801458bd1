"""Whether PostgreSQL keeps what it has answered for."""

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
