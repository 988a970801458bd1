"""Least rights on PostgreSQL: the owner's role makes the tables, the daemon's role can't change what must stay.

A daemon that was taken over then has no DDL, no UPDATE and no DELETE on the books, the audit log and the histories, and
can drop no trigger that refuses them. SQLite has no roles: there the file's mode and the triggers are what there is.
"""

from collections.abc import Mapping, Sequence

from sqlalchemy import Connection, bindparam, inspect, text

from domain.errors import Rejected
from storage.append_only import append_only_tables
from storage.errors import SchemaDiffers
from storage.tables import metadata

DELETES_FROM = frozenset({"jobs", "watched_signatures", "reconciliation_findings", "sessions", "tokens"})
"""The only tables of which the daemon ever deletes rows."""
VERSION_TABLE = "alembic_version"
INBOX = "stripe_events"


def grant(conn: Connection, role: str) -> None:
    """Give this role, which exists and owns nothing, what the daemon needs, and take away whatever else it had. Run as
    the owner, after each upgrade; safe to repeat. Raises Rejected."""
    tables = sorted(set(inspect(conn).get_table_names()) & set(metadata.tables))
    _grant(conn, role, _daemon_s(tables), "ALL SEQUENCES IN SCHEMA public")


def grant_intake(conn: Connection, role: str) -> None:
    """As `grant`, for the process that only stores Stripe's events."""
    sequence = conn.scalar(text(f"SELECT pg_get_serial_sequence('{INBOX}', 'id')")) if _has_roles(conn) else None
    _grant(conn, role, {INBOX: "SELECT, INSERT"}, f"SEQUENCE {sequence}")


def require(conn: Connection) -> None:
    """At the daemon's start: raise SchemaDiffers where it may not read and write one of its tables."""
    if not _has_roles(conn):
        return
    if closed := conn.scalars(_CLOSED, {"tables": sorted(metadata.tables)}).all():
        raise SchemaDiffers(
            f"the database's role of the daemon lacks rights on {', '.join(closed)}: "
            "run `db upgrade --grant-to ROLE` as the owner"
        )


_CLOSED = text(
    "SELECT relname FROM pg_class WHERE relnamespace = current_schema()::regnamespace AND relname IN :tables"
    " AND NOT (has_table_privilege(oid, 'SELECT') AND has_table_privilege(oid, 'INSERT')) ORDER BY relname"
).bindparams(bindparam("tables", expanding=True))


def _grant(conn: Connection, role: str, rights: Mapping[str, str], sequences: str) -> None:
    if not _has_roles(conn):
        raise Rejected("no_roles", "only PostgreSQL has roles; an SQLite file has its mode")
    _require_servant(conn, role)
    name = conn.dialect.identifier_preparer.quote(role)
    for statement in (
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
        f"REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name}",
        f"REVOKE ALL ON ALL SEQUENCES IN SCHEMA public FROM {name}",
        f"GRANT USAGE ON SCHEMA public TO {name}",
        f"GRANT USAGE, SELECT ON {sequences} TO {name}",
        f"GRANT SELECT ON {VERSION_TABLE} TO {name}",
        *(f"GRANT {right} ON {table} TO {name}" for table, right in rights.items()),
    ):
        conn.execute(text(statement))


def _has_roles(conn: Connection) -> bool:
    return conn.dialect.name == "postgresql"


def _daemon_s(tables: Sequence[str]) -> dict[str, str]:
    guarded = set(append_only_tables(metadata))
    return {
        table: ("SELECT, INSERT" if table in guarded else "SELECT, INSERT, UPDATE")
        + (", DELETE" if table in DELETES_FROM else "")
        for table in tables
    }


def _require_servant(conn: Connection, role: str) -> None:
    found = conn.execute(
        text("SELECT rolsuper, rolname = current_user FROM pg_roles WHERE rolname = :role"), {"role": role}
    ).one_or_none()
    if found is None:
        raise Rejected("no_such_role", f"there is no role {role}: make it first, with LOGIN and a password")
    if any(found):
        raise Rejected("role_has_all", f"{role} is a superuser or the owner itself: the daemon needs a role of its own")
