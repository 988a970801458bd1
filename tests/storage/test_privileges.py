"""The daemon's own role on a real PostgreSQL: everything that the daemon does works, what must stay can't be changed.

Whole weeks with real processes run under this role too: `tests/e2e/test_week.py`, `tests/deploy/test_replicas.py`.
"""

from functools import partial

import pytest
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import ProgrammingError

from domain.errors import Rejected
from storage import privileges, schema
from storage.append_only import append_only_tables
from storage.books.sealing import SEALED_TABLES, next_seals, write_seals
from storage.engines.postgres import PostgresStore
from storage.engines.sqlite import SqliteStore
from storage.errors import SchemaDiffers
from storage.operation.pruning import forget
from storage.tables import metadata
from tests.databases import PostgresServer
from tests.sales import START
from tests.storage.test_upgrade import everything_under_way

DENIED = "42501"
"""insufficient_privilege: the role lacks the right, before any trigger is asked."""


async def test_the_daemon_s_role_does_a_daemon_s_work_and_can_change_no_book_and_no_table(daemon_url: URL) -> None:
    store = PostgresStore(daemon_url)
    await store.start()
    try:
        await store.write(schema.ready)
        await store.write(everything_under_way)
        for sealed in SEALED_TABLES:
            rows = await store.read(lambda conn, sealed=sealed: next_seals(conn, sealed, 100))  # type: ignore[misc]
            seals = partial(write_seals, chain=sealed.chain, found=rows, now=START)
            await store.write(seals)
        await store.write(lambda conn: forget(conn, [1], [1]))
        guarded = append_only_tables(metadata)
        assert {"ledger_entries", "audit_log", "state_history"} <= set(guarded)
        for table in guarded:
            column = metadata.tables[table].c[0].name
            for verb in (f"DELETE FROM {table}", f"UPDATE {table} SET {column} = {column}", f"TRUNCATE {table}"):
                assert await refusal(store, verb) == DENIED, verb
        for table in sorted(set(metadata.tables) - privileges.DELETES_FROM - set(guarded)):
            assert await refusal(store, f"DELETE FROM {table}") == DENIED, table
        for change in (
            "CREATE TABLE mine (id int)",
            "DROP TABLE jobs",
            "ALTER TABLE ledger_entries DISABLE TRIGGER ALL",
            "DROP TRIGGER ledger_entries_no_change ON ledger_entries",
            "CREATE OR REPLACE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'",
            "UPDATE alembic_version SET version_num = '0001'",
        ):
            assert await refusal(store, change) == DENIED, change
    finally:
        await store.stop()


async def refusal(store: PostgresStore, statement: str) -> str:
    def run(conn: Connection) -> None:
        conn.execute(text(statement))

    with pytest.raises(ProgrammingError) as refused:
        await store.write(run)
    return str(refused.value.orig.sqlstate)  # type: ignore[union-attr]


async def test_rights_that_a_role_had_beside_the_daemon_s_are_taken_away(
    postgres_server: PostgresServer, postgres_url: URL, postgres_store: PostgresStore
) -> None:
    url = await postgres_server.restricted(postgres_url)
    too_much = text(f'GRANT ALL ON ledger_entries TO "{url.username}"')
    await postgres_store.write(lambda conn: conn.execute(too_much) and None)
    await postgres_server.restricted(postgres_url)
    store = PostgresStore(url)
    await store.start()
    assert await refusal(store, "DELETE FROM ledger_entries") == DENIED
    await store.stop()


async def test_a_start_without_the_rights_on_a_new_table_says_what_to_run(
    postgres_server: PostgresServer, postgres_url: URL, postgres_store: PostgresStore
) -> None:
    """As after an upgrade without `--grant-to`."""
    url = await postgres_server.restricted(postgres_url)
    taken = text(f'REVOKE ALL ON conversion_orders, withdrawals FROM "{url.username}"')
    await postgres_store.write(lambda conn: conn.execute(taken) and None)
    store = PostgresStore(url)
    await store.start()
    with pytest.raises(SchemaDiffers, match=r"conversion_orders, withdrawals: .*--grant-to"):
        await store.write(schema.ready)
    await postgres_server.restricted(postgres_url)
    await store.write(schema.ready)
    await store.stop()


async def test_only_another_role_on_postgresql_can_be_given_the_daemon_s_rights(
    postgres_store: PostgresStore, sqlite_store: SqliteStore
) -> None:
    for store, role, code in (
        (sqlite_store, "agent", "no_roles"),
        (postgres_store, "nobody; DROP TABLE jobs", "no_such_role"),
        (postgres_store, "postgres", "role_has_all"),
    ):
        with pytest.raises(Rejected) as refused:
            await store.write(lambda conn, role=role: privileges.grant(conn, role))  # type: ignore[misc]
        assert refused.value.code == code
