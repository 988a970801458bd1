"""A copy of a database is known as one wherever it is used next, and lets in nobody whom it let in when it was made."""

import shutil
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, select, text

from storage.engines.postgres import PostgresStore
from storage.people import sessions, tokens
from storage.people.tokens import NewToken
from storage.recovery import adoption, backups, restoring
from storage.store import Store
from storage.tables import state_history
from tests.databases import PostgresServer
from tests.programs import run
from tests.storage.test_backups import NOW, opened

LATER = NOW + timedelta(hours=1)
FOREVER = NOW + timedelta(days=90)
SETTINGS, ADA, BOB, CY = "of the settings", "ada's", "bob's", "cy's, long over"


def in_use(conn: Connection) -> list[str] | None:
    """A daemon's database with operators, and what opening it anew says."""
    assert restoring.take_up(conn, NOW) is None
    tokens.ensure_admin_token(conn, SETTINGS, NOW)
    for secret, until in ((ADA, FOREVER), (BOB, FOREVER), (CY, NOW)):
        made = NewToken(secret, secret.partition("'")[0], "approver", until, "settings")
        token_id = tokens.make(conn, made, NOW)
        sessions.begin(conn, f"{secret} session", token_id, FOREVER, NOW)
    settings = tokens.find(conn, SETTINGS, NOW)
    assert settings is not None
    sessions.begin(conn, f"{SETTINGS} session", settings.token_id, FOREVER, NOW)
    return restoring.take_up(conn, NOW)


def let_in(conn: Connection) -> list[str]:
    named = [secret for secret in (SETTINGS, ADA, BOB) if tokens.find(conn, secret, LATER) is not None]
    signed_in = [secret for secret in (SETTINGS, ADA, BOB) if sessions.find(conn, f"{secret} session", LATER)]
    return named + [f"{secret} session" for secret in signed_in]


def end_bob(conn: Connection) -> None:
    bob = tokens.find(conn, BOB, NOW)
    assert bob is not None
    tokens.revoke(conn, bob.token_id, NOW)


def told(conn: Connection) -> list[tuple[str, str | None]]:
    found = select(state_history.c.after, state_history.c.reason).where(state_history.c.machine == "database")
    return [(row.after, row.reason) for row in conn.execute(found.order_by(state_history.c.id))]


async def is_taken_up_once(store: Store, name: str) -> None:
    assert await store.write(lambda conn: restoring.take_up(conn, LATER)) == ["ada", "bob"]
    assert await store.write(lambda conn: restoring.take_up(conn, LATER)) is None
    assert await store.read(let_in) == [SETTINGS]
    assert await store.read(adoption.has_ever_sent)
    assert await store.read(told) == [("restored", name), ("taken_up", "ended the tokens of ada, bob")]
    again = NewToken("ada's new one", "ada", "approver", FOREVER, "command line")
    await store.write(lambda conn: tokens.make(conn, again, LATER))
    assert await store.write(lambda conn: restoring.take_up(conn, LATER)) is None


@pytest.mark.parametrize("by_hand", [True, False])
async def test_whoever_was_let_in_when_a_file_was_copied_is_not_when_it_is_put_back(
    by_hand: bool, sqlite_path: Path, tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    async with opened(sqlite_path) as store:
        assert await store.write(in_use) is None
        backups.copy_sqlite(sqlite_path, copy)
        assert [file.name for file in tmp_path.iterdir() if "agent" not in file.name] == ["copy.db"]
        await store.write(end_bob)
        assert await store.read(let_in) == [SETTINGS, ADA, f"{SETTINGS} session", f"{ADA} session"]
    async with opened(sqlite_path) as store:
        assert await store.write(lambda conn: restoring.take_up(conn, LATER)) is None
    if by_hand:
        shutil.copy(copy, sqlite_path)
    else:
        restoring.put_in_place(copy, sqlite_path, LATER)
    async with opened(sqlite_path) as store:
        await is_taken_up_once(store, restoring.BY_HAND if by_hand else "copy.db")


async def test_a_backup_of_before_there_were_stamps_is_known_by_its_restore(sqlite_path: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    async with opened(sqlite_path) as store:
        await store.write(in_use)
        await store.write(lambda conn: conn.execute(text("DELETE FROM installation WHERE name = 'home'")))
    shutil.copy(sqlite_path, copy)
    restoring.put_in_place(copy, sqlite_path, LATER)
    async with opened(sqlite_path) as store:
        await is_taken_up_once(store, "copy.db")


Copying = Callable[[PostgresServer, URL, Path], Awaitable[URL]]


def dumped(server: PostgresServer, url: URL, folder: Path, *how: str) -> Path:
    dump = folder / "kept.dump"
    run([server.programs / "pg_dump", "--format=custom", *how, f"--file={dump}", told_of(url)])
    return dump


def told_of(url: URL) -> str:
    return f"--dbname={url.render_as_string(hide_password=False)}"


async def into_another(server: PostgresServer, url: URL, folder: Path) -> URL:
    other = await server.empty_database()
    run([server.programs / "pg_restore", told_of(other), dumped(server, url, folder)])
    return other


async def over_itself(server: PostgresServer, url: URL, folder: Path) -> URL:
    run([server.programs / "pg_restore", "--clean", "--if-exists", told_of(url), dumped(server, url, folder)])
    return url


async def rows_alone(server: PostgresServer, url: URL, folder: Path) -> URL:
    """As one mends tables."""
    dump = dumped(server, url, folder, "--data-only", "--table=installation", "--table=cursors")
    run([server.programs / "psql", "--command=DELETE FROM installation; DELETE FROM cursors", told_of(url)])
    run([server.programs / "pg_restore", told_of(url), dump])
    return url


async def as_template(server: PostgresServer, url: URL, folder: Path) -> URL:
    return await server.empty_database(str(url.database))


@pytest.mark.parametrize("copying", [into_another, over_itself, rows_alone, as_template])
async def test_a_copy_of_a_postgresql_database_is_known_however_it_was_made(
    copying: Copying, postgres_server: PostgresServer, postgres_url: URL, tmp_path: Path
) -> None:
    store = PostgresStore(postgres_url)
    await store.start()
    assert await store.write(in_use) is None
    await store.stop()
    found = await copying(postgres_server, postgres_url, tmp_path)
    store = PostgresStore(found)
    await store.start()
    await is_taken_up_once(store, restoring.BY_HAND)
    await store.stop()
    if found != postgres_url:
        await postgres_server.drop(found)


async def test_the_daemon_s_role_takes_a_copy_up_and_knows_its_own_database(
    postgres_server: PostgresServer, daemon_url: URL, postgres_url: URL, tmp_path: Path
) -> None:
    own = PostgresStore(daemon_url)
    await own.start()
    assert await own.write(in_use) is None
    await own.stop()
    other = await into_another(postgres_server, postgres_url, tmp_path)
    store = PostgresStore(await postgres_server.restricted(other))
    await store.start()
    await is_taken_up_once(store, restoring.BY_HAND)
    await store.stop()
    await own.start()
    assert await own.write(lambda conn: restoring.take_up(conn, LATER)) is None
    await own.stop()
    await postgres_server.drop(other)
