"""Migrations make what the tables say, on both databases, and the start refuses any other schema."""

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Connection, inspect, text
from sqlalchemy.exc import IntegrityError

from storage import schema
from storage.append_only import append_only_tables
from storage.engines.postgres import PostgresStore
from storage.engines.sqlite import SqliteStore
from storage.errors import SchemaDiffers
from storage.migrations.comparison import default_differs
from storage.store import Store
from storage.tables import ledger_entries, metadata
from tests.databases import PostgresServer

MONEY_SUFFIXES = ("amount", "_cents", "_lamports", "_base_units", "stripe_fee", "net_after_stripe", "_usdc", "_cost")


async def test_the_migrated_schema_is_the_one_in_the_code(store: Store) -> None:
    def differences(conn: Connection) -> list[object]:
        options = {"compare_type": True, "compare_server_default": default_differs}
        return list(compare_metadata(MigrationContext.configure(conn, opts=options), metadata))

    assert await store.read(differences) == []


def shape(conn: Connection) -> dict[str, Any]:
    """All that the database itself says of our tables, in its own words: so what `compare_metadata` does not look at is
    there too, the conditions of CHECKs and of partial indexes."""
    found: Any = inspect(conn)
    shapes: dict[str, Any] = {}
    for name in metadata.tables:
        parts = [
            *found.get_columns(name),
            *found.get_check_constraints(name),
            *found.get_indexes(name),
            *found.get_unique_constraints(name),
            *found.get_foreign_keys(name),
            found.get_pk_constraint(name),
        ]
        shapes[name] = {part["name"]: _in_words(part) for part in parts}
    return shapes


def _in_words(part: dict[str, Any]) -> dict[str, Any]:
    """Types and conditions are objects that equal nothing but themselves."""
    options = {name: str(value) for name, value in part.get("dialect_options", {}).items()}
    return {**part, "type": str(part.get("type")), "dialect_options": options}


async def test_the_migrated_tables_are_to_the_letter_those_that_the_code_would_make(
    store: Store, postgres_server: PostgresServer, tmp_path: Path
) -> None:
    if store.dialect == "sqlite":
        other: Store = SqliteStore(tmp_path / "made.db")
    else:
        url = await postgres_server.empty_database()
        other = PostgresStore(url)
    await other.start()
    await other.write(metadata.create_all)
    migrated, made = await store.read(shape), await other.read(shape)
    await other.stop()
    if store.dialect == "postgresql":
        await postgres_server.drop(url)
    assert sum(map(len, made.values())) > 500
    for table in made:
        assert migrated[table] == made[table], table


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
    queries: list[tuple[Store, str, set[str]]] = [
        (sqlite_store, "SELECT name FROM sqlite_master WHERE type = 'trigger'", {"no_update", "no_delete"}),
        (
            postgres_store,
            "SELECT tgname FROM pg_trigger WHERE NOT tgisinternal AND tgenabled = 'O'",
            {"no_change", "no_truncate"},
        ),
    ]
    for store, query, refusals in queries:
        wanted = {f"{table}_{refusal}" for table in append_only_tables(metadata) for refusal in refusals}
        assert await store.read(partial(names, query)) == wanted


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
