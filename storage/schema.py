"""The tables in the database against the tables in the code: bring up to date, or refuse to start.

Both functions take a plain connection, so `await store.write(schema.upgrade)` and `await store.read(schema.check)`.
"""

from collections.abc import Callable
from functools import cache
from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from storage import privileges
from storage.engines import postgres_connections, sqlite_statistics
from storage.errors import DatabaseLocked, SchemaDiffers

MIGRATIONS = Path(__file__).parent / "migrations"
_UPGRADE_LOCK = 0x72656E61
"""PostgreSQL advisory lock: of several processes that upgrade at once, one works and the others then find it done."""

UNFINISHED = "restore_unfinished"
"""A table that stands in a PostgreSQL database while a backup is brought into it, which no one transaction can do with
what has to be written down of it."""


def configuration(conn: Connection, told: Callable[[str, str], None] | None = None) -> Config:
    """Alembic's settings for our migrations over this connection, without a file of their own. `told` hears number and
    name of each that has run."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.set_main_option("path_separator", "os")
    config.attributes.update(connection=conn, told=told)
    return config


def upgrade(conn: Connection, told: Callable[[str, str], None] | None = None) -> None:
    """Bring the database to this version, in the transaction of the caller. Does nothing when it is there already.
    `told` hears number and name of each migration that has run.

    Raises SchemaDiffers when the database is newer than the program, DatabaseLocked while daemons run on it.
    """
    if conn.dialect.name == "postgresql":
        conn.execute(text("SET LOCAL statement_timeout = 0"))
        conn.execute(text("SET LOCAL lock_timeout = '60s'"))
        conn.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": _UPGRADE_LOCK})
    if _known_revision(conn) not in (None, head()):
        _require_alone(conn)
    command.upgrade(configuration(conn, told), "head")
    sqlite_statistics.tell(conn)


def ready(conn: Connection) -> None:
    """At the daemon's start: make the tables of an empty database, else `check` them, and what it may do with them.
    Raises SchemaDiffers."""
    if revision(conn) is None and not inspect(conn).get_table_names():
        upgrade(conn)
    check(conn)
    privileges.require(conn)


def check(conn: Connection) -> None:
    """Raises SchemaDiffers unless the database has exactly the schema of this version."""
    found, wanted = _known_revision(conn), head()
    if found == wanted:
        return
    if found is None and inspect(conn).get_table_names():
        raise SchemaDiffers("the database holds tables that are not ours; point DATABASE_URL at another one")
    raise SchemaDiffers(f"the database is at schema {found or 'none'}, this version needs {wanted}: run `db upgrade`")


def revision(conn: Connection) -> str | None:
    """The schema the database has; None for an empty one."""
    return MigrationContext.configure(conn).get_current_revision()


def head() -> str:
    """The schema this version of the program needs."""
    found = _migrations().get_current_head()
    if found is None:
        raise SchemaDiffers("this installation has no migrations: it is incomplete")
    return found


def knows(revision: str) -> bool:
    """Whether this version of the program can work on that schema, or upgrade it."""
    return any(script.revision == revision for script in _migrations().walk_revisions())


@cache
def _migrations() -> ScriptDirectory:
    """Ours, read once: they don't change under a running program."""
    return ScriptDirectory(str(MIGRATIONS))


def begin_to_fill(conn: Connection) -> None:
    """An empty database is to be filled by others' means, and is none until `filled`: it can't be used before."""
    conn.execute(text(f"CREATE TABLE IF NOT EXISTS {UNFINISHED} (since timestamptz NOT NULL DEFAULT now())"))


def filled(conn: Connection) -> None:
    """What was to be filled is whole."""
    conn.execute(text(f"DROP TABLE {UNFINISHED}"))


def not_filled(conn: Connection) -> None:
    """Nothing came of it. If something did after all, nobody can use it."""
    if is_empty(conn):
        filled(conn)


def is_empty(conn: Connection) -> bool:
    """Whether it holds no tables, but for what somebody may have left who was to fill it."""
    return not set(inspect(conn).get_table_names()) - {UNFINISHED}


def _require_alone(conn: Connection) -> None:
    """An SQLite file has its lock."""
    if conn.dialect.name != "postgresql":
        return
    others = text(
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE datname = current_database() AND application_name = :daemon AND pid <> pg_backend_pid()"
    )
    if sessions := conn.scalar(others, {"daemon": postgres_connections.DAEMON}):
        raise DatabaseLocked(f"{sessions} sessions of a running payment agent: stop every daemon first, and `intake`")


def _known_revision(conn: Connection) -> str | None:
    """As `revision`. Raises SchemaDiffers where it is newer than the program, or belongs to no whole database."""
    if inspect(conn).has_table(UNFINISHED):
        raise SchemaDiffers(
            "a restore into this database did not come to its end: make an empty one (`createdb`), and restore there"
        )
    found = revision(conn)
    if found is not None and not knows(found):
        raise SchemaDiffers(f"the database is at schema {found}, which is newer than this version: update the program")
    return found
