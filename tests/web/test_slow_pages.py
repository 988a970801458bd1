"""Pages of operators that go through large tables leave readers for buyers, and for the steps."""

import asyncio

from sqlalchemy import URL, Connection, text

from storage.engines.postgres import READERS, PostgresStore
from tests.web.shop import Shop, opened

VIEWER = "admin-viewer"
SLEEPING = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"


def grow_large(conn: Connection) -> None:
    """Each look at the reports takes nine seconds from now on."""
    conn.execute(text("ALTER TABLE reconciliations RENAME TO many_reconciliations"))
    slow = "SELECT many.* FROM (SELECT pg_sleep(9)) AS slow LEFT JOIN many_reconciliations AS many ON true"
    conn.execute(text(f"CREATE VIEW reconciliations AS {slow}"))


def sleeping(conn: Connection) -> int:
    found: int = conn.execute(text(f"SELECT count(*) {SLEEPING}")).scalar_one()
    return found


def cancel(conn: Connection) -> None:
    conn.execute(text(f"SELECT pg_cancel_backend(pid) {SLEEPING}"))


async def test_slow_pages_of_operators_hold_up_no_buyer(postgres_store: PostgresStore, postgres_url: URL) -> None:
    watching = PostgresStore(postgres_url)
    await watching.start()
    async with opened(Shop(postgres_store)) as shop:
        await postgres_store.write(grow_large)
        path = "/admin/api/reconciliations"
        pages = [asyncio.create_task(shop.send("GET", path, token=VIEWER, admin=True)) for _ in range(2 * READERS)]
        async with asyncio.timeout(60):
            while await watching.read(sleeping) < READERS // 2:
                assert not any(page.done() for page in pages)
        assert (await shop.send("GET", "/api/content/")).status == 200
        assert not any(page.done() for page in pages)
        async with asyncio.timeout(60):
            while not all(page.done() for page in pages):
                await watching.read(cancel)
    await watching.stop()
