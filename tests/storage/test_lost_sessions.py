"""PostgreSQL ends sessions: at a restart, by an administrator, because we stood still, and when another server takes
over. What certainly was not committed is run again; what may have been is not."""

import asyncio
from collections.abc import AsyncIterator, Callable

import psutil
import pytest
from sqlalchemy import URL, Connection, text
from sqlalchemy.exc import DBAPIError

from storage.engines.opening import open_store
from storage.engines.postgres import READERS, PostgresStore
from storage.errors import StoreReplaced, StoreUnavailable
from tests.databases import PostgresServer, running_server
from tests.storage import scratch
from tests.storage.pooler import at_a_port, pooler

ENDED_SECONDS = 60
END_ALL = "SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE datname = '{}'"


@pytest.fixture(autouse=True)
async def scratch_tables(postgres_store: PostgresStore) -> None:
    await postgres_store.write(scratch.create)


class Once:
    """A function that loses its session in its first run, after a statement and before the next one."""

    def __init__(self, lose: Callable[[Connection], None]) -> None:
        self.runs = 0
        self._lose = lose

    def __call__(self, conn: Connection) -> set[str]:
        self.runs += 1
        found = scratch.note_ids(conn)
        if self.runs == 1:
            self._lose(conn)
        return found | scratch.note_ids(conn)

    def write(self, conn: Connection) -> str:
        conn.execute(scratch.notes.insert().values(id="once"))
        self(conn)
        return "once"


def cut(conn: Connection) -> None:
    conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


def stand_still(conn: Connection) -> None:
    """This whole process does nothing until the server has given the transaction up: so it is with one that gets no
    processor, or whose machine is paused."""
    conn.execute(text("SET LOCAL idle_in_transaction_session_timeout = '50ms'"))
    backend = psutil.Process(conn.execute(text("SELECT pg_backend_pid()")).scalar_one())
    backend.wait(ENDED_SECONDS)


@pytest.mark.parametrize("lose", [cut, stand_still])
async def test_a_group_that_loses_its_session_before_commit_is_done_after_all_and_once(
    lose: Callable[[Connection], None], postgres_store: PostgresStore
) -> None:
    once = Once(lose)
    group = [postgres_store.write(scratch.note("beside")), postgres_store.write(once.write)]
    assert await asyncio.gather(*group) == ["beside", "once"]
    assert once.runs == 2
    assert await postgres_store.read(scratch.note_ids) == {"beside", "once"}


@pytest.mark.parametrize("lose", [cut, stand_still])
async def test_a_read_that_loses_its_session_is_answered_after_all(
    lose: Callable[[Connection], None], postgres_store: PostgresStore
) -> None:
    await postgres_store.write(scratch.note("there"))
    once = Once(lose)
    assert await postgres_store.read(once) == {"there"} and once.runs == 2


async def test_a_read_that_loses_each_session_is_refused_and_the_next_one_works(postgres_store: PostgresStore) -> None:
    runs: list[None] = []

    def lose(conn: Connection) -> None:
        runs.append(None)
        cut(conn)

    with pytest.raises(StoreUnavailable, match="shut down, or an administrator"):
        await postgres_store.read(lose)
    assert len(runs) == 2
    assert await postgres_store.read(scratch.note_ids) == set()


async def test_a_session_that_was_lost_and_hushed_up_is_unavailable(postgres_store: PostgresStore) -> None:
    """A function that catches whatever the database says meets another error afterwards."""

    def hush_up(conn: Connection) -> None:
        try:
            cut(conn)
        except DBAPIError:
            scratch.note_ids(conn)

    with pytest.raises(StoreUnavailable, match="lost"):
        await postgres_store.write(hush_up)
    assert await postgres_store.write(scratch.note("after")) == "after"


async def test_sessions_that_end_while_nobody_uses_them_are_met_by_nobody(
    postgres_store: PostgresStore, postgres_server: PostgresServer, postgres_url: URL
) -> None:
    await postgres_store.append(scratch.note("first"))
    await postgres_server.command(END_ALL.format(postgres_url.database))
    work = [postgres_store.append(scratch.note("appended")), postgres_store.write(scratch.note("written"))]
    assert await asyncio.gather(*work) == ["appended", "written"]
    assert await postgres_store.healthy()
    assert await postgres_store.read(scratch.note_ids) == {"first", "appended", "written"}


async def test_slow_reads_hold_up_no_event_no_write_and_no_look_at_the_health(
    postgres_store: PostgresStore, postgres_server: PostgresServer, postgres_url: URL
) -> None:
    """As many as there are sessions for reads, as slow pages of the console may be."""
    begun = asyncio.Semaphore(0)

    def dawdle(conn: Connection) -> None:
        begun.release()
        conn.execute(text("SELECT pg_sleep(9)"))

    reads = [asyncio.create_task(postgres_store.read(dawdle)) for _ in range(READERS)]
    for _ in reads:
        await begun.acquire()
    assert await postgres_store.append(scratch.note("event")) == "event"
    assert await postgres_store.write(scratch.note("step")) == "step"
    assert await postgres_store.healthy()
    assert not any(read.done() for read in reads)
    cancel = f"SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres_url.database}'"
    await postgres_server.command(cancel)
    await asyncio.gather(*reads, return_exceptions=True)


@pytest.mark.parametrize(("refuses", "told"), [(True, "a pooler between"), (False, "keeps no session settings")])
async def test_a_pooler_that_keeps_no_settings_is_refused_by_its_name(
    refuses: bool, told: str, postgres_url: URL
) -> None:
    async with pooler(postgres_url, refuses=refuses) as between:
        with pytest.raises(StoreUnavailable, match=told):
            await PostgresStore(between).start()


@pytest.mark.parametrize("asked", ["", "&target_session_attrs=read-write"])
async def test_of_several_servers_the_one_that_takes_writes_answers_reads_too(asked: str, postgres_url: URL) -> None:
    """The first has nobody at its port."""
    async with at_a_port(postgres_url) as port:
        place = f"{postgres_url.database}?host=127.0.0.1,127.0.0.1&port=1,{port}"
        store = open_store(f"postgresql://{postgres_url.username}:any@/{place}{asked}")
        await store.start()
        assert await store.write(scratch.note("there")) == "there"
        assert await store.read(scratch.note_ids) == {"there"}
        await store.stop()


@pytest.fixture
async def server() -> AsyncIterator[PostgresServer]:
    with running_server() as found:
        yield found


async def opened(url: URL, *, any_server: bool = False) -> PostgresStore:
    store = PostgresStore(url, any_server=any_server)
    await store.start()
    return store


async def all_raise(store: PostgresStore, error: type[StoreUnavailable], told: str) -> None:
    for ask in (store.write, store.read, store.append):
        with pytest.raises(error, match=told):
            await ask(scratch.note_ids)


async def test_a_restarted_server_is_gone_on_with_and_one_that_took_over_ends_the_process(
    server: PostgresServer,
) -> None:
    url = await server.empty_database()
    store, adds = await opened(url), await opened(url, any_server=True)
    await store.write(scratch.create)
    await store.write(scratch.note("on both"))
    server.kill()
    standby = server.copy()
    server.start_again()
    assert await store.write(scratch.note("lost with the first")) == "lost with the first"
    assert await adds.append(scratch.note("lost too")) == "lost too"
    server.kill()
    server.replace_by(standby)
    await all_raise(store, StoreUnavailable, "it is a standby")
    await server.command("SELECT pg_promote()")
    await all_raise(store, StoreReplaced, "may lack what was committed last")
    assert await adds.write(scratch.note("after")) == "after"
    next_life = await opened(url)
    assert await next_life.read(scratch.note_ids) == {"on both", "after"}
    for one in (store, adds, next_life):
        await one.stop()
