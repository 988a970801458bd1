"""Least rights on PostgreSQL: the owner's role makes the tables, the daemon's role can't change what must stay.

A daemon that was taken over then has no DDL, no UPDATE and no DELETE on the books, the audit log and the histories, and
can drop no trigger that refuses them. SQLite has no roles: there the file's mode and the triggers are what there is.
"""

from collections.abc import Iterator

from sqlalchemy import Connection, inspect, text

from domain.errors import Rejected
from storage.append_only import append_only_tables
from storage.tables import metadata

DELETES_FROM = frozenset({"jobs", "watched_signatures", "reconciliation_findings", "sessions", "tokens"})
"""The only tables of which the daemon ever deletes rows."""
VERSION_TABLE = "alembic_version"


def grant(conn: Connection, role: str) -> None:
    """Give this role, which exists and owns nothing, what the daemon needs, and take away whatever else it had. Run as
    the owner, after each upgrade; safe to repeat. Raises Rejected."""
    if conn.dialect.name != "postgresql":
        raise Rejected("no_roles", "only PostgreSQL has roles; an SQLite file has its mode")
    _require_servant(conn, role)
    name = conn.dialect.identifier_preparer.quote(role)
    for statement in _statements(name, sorted(set(inspect(conn).get_table_names()) & set(metadata.tables))):
        conn.execute(text(statement))


def _require_servant(conn: Connection, role: str) -> None:
    found = conn.execute(
        text("SELECT rolsuper, rolname = current_user FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).one_or_none()
    if found is None:
        raise Rejected("no_such_role", f"there is no role {role}: make it first, with LOGIN and a password")
    if any(found):
        raise Rejected("role_has_all", f"{role} is a superuser or the owner itself: the daemon needs a role of its own")


def _statements(role: str, tables: list[str]) -> Iterator[str]:
    yield "REVOKE CREATE ON SCHEMA public FROM PUBLIC"
    yield f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {role}"
    yield f"GRANT USAGE ON SCHEMA public TO {role}"
    yield f"GRANT USAGE, SELECT ON ALL SEQUENCES IN SCHEMA public TO {role}"
    yield f"GRANT SELECT ON {VERSION_TABLE} TO {role}"
    guarded = set(append_only_tables(metadata))
    for table in tables:
        rights = "SELECT, INSERT" if table in guarded else "SELECT, INSERT, UPDATE"
        yield f"GRANT {rights}{', DELETE' if table in DELETES_FROM else ''} ON {table} TO {role}"
