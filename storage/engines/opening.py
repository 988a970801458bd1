"""From DATABASE_URL to a store."""

from pathlib import Path

from sqlalchemy import make_url
from sqlalchemy.exc import ArgumentError

from storage.engines.postgres import PostgresStore
from storage.engines.sqlite import SqliteStore
from storage.errors import DatabaseUrlInvalid
from storage.store import Store

_KNOWN = "sqlite:///file, a file's path, or postgresql://user:password@host/database"
_POSTGRES = ("postgresql", "postgres", "postgresql+asyncpg")


def open_store(database_url: str, *, patient: bool = False, any_server: bool = False) -> Store:
    """The store that DATABASE_URL names, not started yet; `patient`, as an upgrade must be, it waits for PostgreSQL's
    answers without end; with `any_server`, as the intake does, it goes on with a standby that takes over. Raises
    DatabaseUrlInvalid, which never repeats the URL: it may hold a password."""
    if "://" not in database_url:
        return SqliteStore(_file(database_url))
    try:
        url = make_url(database_url)
    except (ArgumentError, ValueError):
        raise DatabaseUrlInvalid(f"DATABASE_URL cannot be read; write {_KNOWN}") from None
    if url.drivername == "sqlite":
        return SqliteStore(_file(url.database or ""))
    if url.drivername in _POSTGRES:
        return PostgresStore(url, patient=patient, any_server=any_server)
    raise DatabaseUrlInvalid(f"DATABASE_URL has an unknown scheme; write {_KNOWN}")


def database_path(database_url: str) -> Path | None:
    """The SQLite file that DATABASE_URL names; None for PostgreSQL. Raises DatabaseUrlInvalid."""
    if "://" not in database_url:
        return _file(database_url)
    return _file(make_url(database_url).database or "") if names_file(database_url) else None


def names_file(database_url: str) -> bool:
    """Whether DATABASE_URL is an SQLite file's path, which is no secret; an address of PostgreSQL holds a password."""
    return "://" not in database_url or database_url.startswith("sqlite:")


def _file(path: str) -> Path:
    if path in ("", ":memory:") or path.startswith("file:"):
        raise DatabaseUrlInvalid(f"DATABASE_URL must name a file, not a database in memory; write {_KNOWN}")
    return Path(path)
