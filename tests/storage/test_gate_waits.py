"""A start gate's wait outlives its process on PostgreSQL as well, unless rows may be missing since it was begun."""

from pathlib import Path

import pytest
from sqlalchemy import URL

from agent.late_landings import LATE_LANDING_BLOCKS, LateLandings
from ports.system import SystemClock
from storage.engines.postgres import PostgresStore
from storage.recovery import restoring
from storage.store import Store
from tests.databases import PostgresServer, running_server
from tests.storage.test_backups import NOW
from tests.storage.test_taking_up import Copying, as_template, into_another, over_itself, rows_alone

BEGUN, LATER = 1_000, 1_100
WHOLE, REST = LATE_LANDING_BLOCKS + 1, LATE_LANDING_BLOCKS + 1 - (LATER - BEGUN)


class Chain:
    """Its finalized height, which goes on each time that somebody waits for it."""

    def __init__(self, height: int) -> None:
        self.height = height

    async def highest_block_height(self) -> int:
        return self.height

    async def witnessed_block_height(self) -> int:
        return self.height


def life(store: Store, chain: Chain) -> LateLandings:
    def another_block() -> float:
        chain.height += 20
        return 0.0

    return LateLandings(store, SystemClock(), chain, another_block)


async def begins(store: Store, height: int) -> int:
    """A life of a daemon that dies as soon as it has begun: so much it would have to wait."""
    waits = life(store, Chain(height))
    await waits.begin()
    return await waits.left()


async def in_a_database(url: URL, height: int) -> int:
    """By a process of its own."""
    store = PostgresStore(url)
    await store.start()
    left = await begins(store, height)
    await store.stop()
    return left


async def test_the_next_life_goes_on_with_a_wait_unless_the_chain_is_beyond_it(store: Store) -> None:
    assert not await life(store, Chain(BEGUN)).had_begun()
    assert await begins(store, BEGUN) == WHOLE
    assert await life(store, Chain(LATER)).had_begun()
    assert await begins(store, LATER) == REST
    assert await begins(store, BEGUN + LATE_LANDING_BLOCKS) == 1
    assert await begins(store, BEGUN + LATE_LANDING_BLOCKS + 1) == WHOLE


async def test_what_one_life_has_looked_up_after_the_wait_the_next_one_knows(store: Store) -> None:
    chain = Chain(BEGUN)
    await life(store, chain).begin()
    found = []
    for height in (LATER, None, 2 * LATER):
        chain.height = height or chain.height
        waits = life(store, chain)
        await waits.begin()
        await waits.pass_by()
        found.append(await waits.looked_at())
        await waits.keep_looked_at({3, 5})
    assert found == [set(), {3, 5}, set()]


async def test_replicas_share_a_wait_and_what_each_has_looked_up(postgres_url: URL) -> None:
    stores = [PostgresStore(postgres_url) for _ in range(2)]
    for store in stores:
        await store.start()
    one, other = (life(store, Chain(height)) for store, height in zip(stores, (BEGUN, LATER), strict=True))
    await one.begin()
    await other.begin()
    assert (await one.left(), await other.left()) == (WHOLE, REST)
    for store in stores:
        await store.stop()


@pytest.mark.parametrize("copying", [into_another, over_itself, rows_alone, as_template])
async def test_a_wait_that_a_backup_brought_back_has_waited_nothing(
    copying: Copying, postgres_server: PostgresServer, postgres_url: URL, tmp_path: Path
) -> None:
    """A replica whose gate was open may have signed since, and the rows that tell of it are gone."""
    assert await in_a_database(postgres_url, BEGUN) == WHOLE
    copy = await copying(postgres_server, postgres_url, tmp_path)
    assert await in_a_database(copy, LATER) == WHOLE
    if copy != postgres_url:
        await postgres_server.drop(copy)


async def test_a_server_that_was_started_anew_may_lack_rows_and_has_still_its_own_database() -> None:
    with running_server() as server:
        url = await server.upgraded_database()
        assert await in_a_database(url, BEGUN) == WHOLE
        store = PostgresStore(url)
        await store.start()
        assert await store.write(lambda conn: restoring.take_up(conn, NOW)) is None
        await store.stop()
        server.kill()
        server.start_again()
        assert await in_a_database(url, LATER) == WHOLE
        store = PostgresStore(url)
        await store.start()
        assert await store.write(lambda conn: restoring.take_up(conn, NOW)) is None
        await store.stop()
