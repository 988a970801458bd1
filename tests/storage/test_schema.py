"""Migrations make what the tables say, on both databases, and the start refuses any other schema."""

from functools import partial

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from storage import schema
from storage.append_only import append_only_tables
from storage.errors import SchemaDiffers
from storage.migrations.comparison import default_differs
from storage.postgres import PostgresStore
from storage.sqlite import SqliteStore
from storage.store import Store
from storage.tables import ledger_entries, metadata
from tests.databases import PostgresServer

MONEY_SUFFIXES = ("amount", "_cents", "_lamports", "_base_units", "stripe_fee", "net_after_stripe", "_usdc", "_cost")


async def test_the_migrated_schema_is_the_one_in_the_code(store: Store) -> None:
    def differences(conn: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": default_differs}
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    assert await store.read(differences) == []


async def test_every_check_of_the_code_is_in_the_database(store: Store) -> None:
    def checks(conn: Connection) -> dict[str, set[str | None]]:
        return {
            name: {check["name"] for check in inspect(conn).get_check_constraints(name)} for name in metadata.tables
        }

    wanted = {
        table.name: {str(check.name) for check in table.constraints if isinstance(check, sa.CheckConstraint)}
        for table in metadata.tables.values()
    }
    assert await store.read(checks) == wanted


async def test_no_column_holds_fractions_and_money_is_bigint(store: Store) -> None:
    def columns(conn: Connection) -> list[tuple[str, sa.types.TypeEngine[object]]]:
        found = inspect(conn)
        return [
            (column["name"], column["type"]) for name in found.get_table_names() for column in found.get_columns(name)
        ]

    found = await store.read(columns)
    assert [name for name, kind in found if isinstance(kind, sa.Numeric | sa.Float)] == []
    money = [(name, kind) for name, kind in found if name.endswith(MONEY_SUFFIXES)]
    assert len(money) > 10
    assert [name for name, kind in money if not isinstance(kind, sa.BigInteger)] == []


async def test_append_only_tables_refuse_update_and_delete(store: Store) -> None:
    assert {"ledger_entries", "ledger_postings", "state_history"} <= set(append_only_tables(metadata))
    insert = ledger_entries.insert().values(key="k", kind="test", subject="s", created_at=sa.text("0"))
    await store.write(lambda conn: conn.execute(insert).rowcount)
    for statement in ("UPDATE ledger_entries SET kind = 'other'", "DELETE FROM ledger_entries"):
        with pytest.raises(IntegrityError, match="append-only"):
            await store.write(partial(run, statement))
    assert await store.read(lambda conn: conn.execute(text("SELECT kind FROM ledger_entries")).scalars().all()) == [
        "test"
    ]


async def test_every_append_only_table_has_its_triggers(
    sqlite_store: SqliteStore, postgres_store: PostgresStore
) -> None:
    queries: list[tuple[Store, str]] = [
        (sqlite_store, "SELECT DISTINCT tbl_name FROM sqlite_master WHERE type = 'trigger'"),
        (postgres_store, "SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger WHERE NOT tgisinternal"),
    ]
    for store, query in queries:
        assert await store.read(partial(names, query)) == set(append_only_tables(metadata))


def names(query: str, conn: Connection) -> set[str]:
    return set(conn.execute(text(query)).scalars())


def run(statement: str, conn: Connection) -> None:
    conn.execute(text(statement))


async def test_upgrade_may_run_again_and_check_accepts_it(store: Store) -> None:
    await store.write(schema.upgrade)
    await store.read(schema.check)


async def test_a_newer_database_is_refused_and_left_alone(store: Store) -> None:
    await store.write(lambda conn: conn.execute(text("UPDATE alembic_version SET version_num = '9999'")).rowcount)
    with pytest.raises(SchemaDiffers, match="newer"):
        await store.read(schema.check)
    with pytest.raises(SchemaDiffers, match="newer"):
        await store.write(schema.upgrade)


async def test_an_empty_database_is_told_to_upgrade(postgres_server: PostgresServer) -> None:
    url = await postgres_server.empty_database()
    store = PostgresStore(url)
    await store.start()
    with pytest.raises(SchemaDiffers, match="db upgrade"):
        await store.read(schema.check)
    await store.write(lambda conn: conn.execute(text("CREATE TABLE strangers (id int)")).rowcount)
    with pytest.raises(SchemaDiffers, match="not ours"):
        await store.read(schema.check)
    await store.stop()
    await postgres_server.drop(url)
