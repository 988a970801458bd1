"""An upgrade from the first schema, with sales at every stage of their life under way: no row is lost or changed."""

import asyncio
from typing import Any

import pytest
from alembic import command
from sqlalchemy import Connection, MetaData, Table, insert, select, text

from chain.addresses import ata
from config.settings import DEVNET_USDC
from storage import inbox, schema, work
from storage.engines.postgres import PostgresStore
from storage.engines.sqlite import SqliteStore
from storage.errors import StoreUnavailable
from storage.inbox import StripeEvent
from storage.people import wallets
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs
from tests.databases import PostgresServer
from tests.metrics.test_probe import plan
from tests.sales import PLATFORM, START, Sales
from tests.verified import first_findings

FIRST = "0001"
Rows = dict[str, list[dict[str, Any]]]


def everything_under_way(conn: Connection) -> None:
    """Paid, minted, planned, paid out, failed, parked, and events that wait."""
    sales = Sales(ata(PLATFORM, DEVNET_USDC))
    creator, buyer, unlucky = sales.user(conn, "ann"), sales.user(conn, "bob"), sales.user(conn, "cy", wallet=False)
    wallets.failed(conn, unlucky, "155219: no", START)
    content = sales.content(conn, creator)
    for _ in range(3):
        sales.sold(conn, content, buyer, START)
    sales.deposit(conn, 7_050_000)
    later = START.replace(day=START.day + 1)
    sales.pay(conn, plan(conn, sales, later), later.replace(hour=13), fails=1)
    sales.sold(conn, content, buyer, later)
    sales.paid(conn, content, buyer, later)
    sales.paid(conn, content, unlucky, later)
    inbox.add_stripe_events(conn, [StripeEvent("evt_1", "payment_intent.succeeded", START, b"{}", START)])
    (claimed,) = work.claim(conn, Queue(jobs, frozenset({"mint"})), 1, "worker", later, later - START)
    work.park(conn, claimed, "why", "a person decides")


def reflected(conn: Connection) -> MetaData:
    """The tables as the database has them, values as they are stored."""
    found = MetaData()
    found.reflect(conn)
    return found


def rows(conn: Connection, shape: Rows | MetaData) -> Rows:
    """All rows, with the columns that `shape` has and this database too: one may be gone since."""
    here, found = reflected(conn), {}
    for name, columns in _columns(shape).items():
        table = here.tables[name]
        query = select(*(table.c[column] for column in columns if column in table.c)).order_by(
            *table.primary_key.columns
        )
        found[name] = [dict(row) for row in conn.execute(query.order_by(*table.primary_key.columns)).mappings()]
    return found


def _columns(shape: Rows | MetaData) -> dict[str, list[str]]:
    if isinstance(shape, MetaData):
        return {name: [column.name for column in table.columns] for name, table in shape.tables.items()}
    return {name: list(kept[0]) for name, kept in shape.items() if kept}


@pytest.fixture(params=["sqlite", "postgresql"])
async def empty(request: pytest.FixtureRequest, tmp_path: Any) -> Any:
    """A database without a table."""
    if request.param == "sqlite":
        store: Store = SqliteStore(tmp_path / "old.db")
        await store.start()
        yield store
        await store.stop()
        return
    server: PostgresServer = request.getfixturevalue("postgres_server")
    url = await server.empty_database()
    store = PostgresStore(url, patient=True)
    await store.start()
    yield store
    await store.stop()
    await server.drop(url)


async def test_an_upgrade_with_work_under_way_keeps_every_row_and_every_rule(
    empty: Store, sqlite_store: SqliteStore
) -> None:
    await sqlite_store.write(everything_under_way)
    before = await filled(empty, sqlite_store)
    await empty.write(schema.upgrade)
    await empty.read(schema.check)
    after = await empty.read(lambda conn: rows(conn, before))
    assert after == {name: kept for name, kept in before.items() if kept}
    assert await empty.read(first_findings) == await sqlite_store.read(first_findings)


async def test_an_upgrade_that_breaks_off_leaves_the_database_as_it_was_and_begins_anew(
    empty: Store, sqlite_store: SqliteStore
) -> None:
    await sqlite_store.write(everything_under_way)
    before = await filled(empty, sqlite_store)
    tables = set((await empty.read(reflected)).tables)

    def out_of_disk(number: str, _name: str) -> None:
        if number == schema.head():
            raise OSError(28, "No space left on device")

    with pytest.raises((OSError, StoreUnavailable)):
        await empty.write(lambda conn: schema.upgrade(conn, out_of_disk))
    assert await empty.read(schema.revision) == FIRST
    assert set((await empty.read(reflected)).tables) == tables
    assert await empty.read(lambda conn: rows(conn, before)) == {name: kept for name, kept in before.items() if kept}
    heard: list[str] = []
    await empty.write(lambda conn: schema.upgrade(conn, lambda number, _: heard.append(number)))
    assert (heard[0], heard[-1]) == ("0002", schema.head())
    await empty.read(schema.check)


async def test_what_is_unknown_at_an_upgrade_counts_from_when_it_became_work(empty: Store) -> None:
    born = 1_700_000_000_000_000

    def make(conn: Connection) -> None:
        command.upgrade(schema.configuration(conn), "0021")
        old = Table("jobs", MetaData(), autoload_with=conn)
        row = {"kind": "transfer", "state": "due", "due_at": born, "created_at": born}
        for subject, error in (("lost", "unknown outcome: no answer"), ("waits", "Circle: no answer"), ("new", None)):
            conn.execute(insert(old), {**row, "subject": subject, "last_error": error})

    await empty.write(make)
    await empty.write(schema.upgrade)
    asked = text("SELECT subject, unknown_since FROM jobs ORDER BY subject")
    found = await empty.read(lambda conn: conn.execute(asked).all())
    assert [tuple(row) for row in found] == [("lost", born), ("new", None), ("waits", None)]


async def filled(empty: Store, full: Store) -> Rows:
    """`empty` at the first schema with the rows of the other one, which come back."""
    await empty.write(lambda conn: command.upgrade(schema.configuration(conn), FIRST))
    old = await empty.read(reflected)
    old.remove(old.tables["alembic_version"])
    before = await full.read(lambda conn: rows(conn, old))
    assert sum(map(len, before.values())) > 100

    def fill(conn: Connection) -> None:
        for table in old.sorted_tables:
            if before[table.name]:
                conn.execute(insert(Table(table.name, old)), before[table.name])

    await empty.write(fill)
    return before


async def test_of_two_upgrades_at_once_one_works_and_the_other_finds_it_done(postgres_server: PostgresServer) -> None:
    url = await postgres_server.empty_database()
    stores = [PostgresStore(url), PostgresStore(url)]
    heard: list[list[str]] = [[], []]
    for store in stores:
        await store.start()
    await asyncio.gather(
        *(
            store.write(lambda conn, mine=mine: schema.upgrade(conn, lambda number, _: mine.append(number)))  # type: ignore[misc]
            for store, mine in zip(stores, heard, strict=True)
        )
    )
    assert sorted(map(bool, heard)) == [False, True]
    for store in stores:
        await store.read(schema.check)
        await store.stop()
    await postgres_server.drop(url)
