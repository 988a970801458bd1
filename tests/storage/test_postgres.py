"""What only the PostgreSQL store can meet: lost connections, serialization failures, deadlocks, other sessions."""

import asyncio

import pytest
from sqlalchemy import URL, Connection, text

from storage.engines.postgres import PostgresStore
from storage.errors import StoreBusy, StoreUnavailable
from tests.databases import PostgresServer
from tests.storage import scratch


@pytest.fixture(autouse=True)
async def scratch_tables(postgres_store: PostgresStore) -> None:
    await postgres_store.write(scratch.create)


def cut_own_connection(conn: Connection) -> None:
    conn.execute(scratch.notes.insert().values(id="cut"))
    conn.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


async def test_every_connection_flushes_what_it_answers_and_holds_nothing_for_long(
    postgres_store: PostgresStore,
) -> None:
    def settings(conn: Connection) -> list[object]:
        names = ("synchronous_commit", "idle_in_transaction_session_timeout", "statement_timeout")
        return [conn.execute(text(f"SHOW {name}")).scalar_one() for name in names]

    for ask in (postgres_store.write, postgres_store.append, postgres_store.read):
        assert await ask(settings) == ["on", "10s", "10s"]


async def test_a_lost_connection_answers_its_group_and_the_next_write_works(postgres_store: PostgresStore) -> None:
    writes = [postgres_store.write(cut_own_connection), postgres_store.write(scratch.note("beside"))]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert isinstance(answers[0], StoreUnavailable)
    assert await postgres_store.write(scratch.note("after")) == "after"
    assert "cut" not in await postgres_store.read(scratch.note_ids)


async def test_when_every_session_is_ended_from_outside_work_in_flight_fails_and_then_all_recovers(
    postgres_store: PostgresStore, postgres_server: PostgresServer, postgres_url: URL
) -> None:
    started = asyncio.Event()

    def hang(conn: Connection) -> None:
        conn.execute(scratch.notes.insert().values(id="hanging"))
        started.set()
        conn.execute(text("SELECT pg_sleep(30)"))

    hanging = asyncio.create_task(postgres_store.write(hang))
    await asyncio.wait_for(started.wait(), 60)
    await postgres_server.command(
        f"SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '{postgres_url.database}'"
    )
    with pytest.raises(StoreUnavailable):
        await asyncio.wait_for(hanging, 25)
    await until_healthy(postgres_store)
    assert await postgres_store.write(scratch.note("after")) == "after"
    assert await postgres_store.read(scratch.note_ids) == {"after"}


async def until_healthy(store: PostgresStore) -> None:
    for _ in range(20):
        if await store.healthy():
            return
    raise AssertionError("the store did not recover")


async def test_a_connection_lost_inside_commit_is_not_answered_as_done(postgres_store: PostgresStore) -> None:
    """Nor run again: it may have taken effect."""
    await postgres_store.write(cut_connections_in_commit)
    runs: list[str] = []
    with pytest.raises(StoreUnavailable):
        await postgres_store.write(lambda conn: runs.append(scratch.note("doubtful")(conn)))
    assert runs == ["doubtful"]
    assert await postgres_store.read(scratch.note_ids) == set()


def cut_connections_in_commit(conn: Connection) -> None:
    conn.execute(
        text(
            "CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS "
            "$$ BEGIN PERFORM pg_terminate_backend(pg_backend_pid()); RETURN NULL; END $$"
        )
    )
    conn.execute(
        text(
            "CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON scratch_notes "
            "DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()"
        )
    )


def fail_to_serialize(times: int) -> str:
    """A database function that reports a serialization failure that often; a sequence counts across rollbacks."""
    return (
        "CREATE FUNCTION flaky() RETURNS void LANGUAGE plpgsql AS $$ BEGIN "
        f"IF nextval('tries') <= {times} THEN RAISE EXCEPTION 'again' USING ERRCODE = 'serialization_failure'; END IF; "
        "END $$"
    )


@pytest.mark.parametrize(("times", "succeeds"), [(4, True), (1000, False)])
async def test_serialization_failures_are_retried_within_bounds(
    postgres_store: PostgresStore, times: int, succeeds: bool
) -> None:
    def prepare(conn: Connection) -> None:
        conn.execute(text("CREATE SEQUENCE tries"))
        conn.execute(text(fail_to_serialize(times)))

    def flaky(conn: Connection) -> str:
        conn.execute(scratch.notes.insert().values(id="flaky"))
        conn.execute(text("SELECT flaky()"))
        return "flaky"

    await postgres_store.write(prepare)
    writes = [postgres_store.write(flaky), *[postgres_store.write(scratch.note(str(number))) for number in range(30)]]
    first, *others = await asyncio.gather(*writes, return_exceptions=True)
    assert others == [str(number) for number in range(30)]
    assert first == "flaky" if succeeds else isinstance(first, StoreBusy)


async def test_a_deadlock_is_resolved_and_both_writes_are_done(
    postgres_store: PostgresStore, postgres_url: URL
) -> None:
    other = PostgresStore(postgres_url)
    await other.start()

    def add_in_order(conn: Connection, first: str, second: str) -> None:
        add = text("UPDATE scratch_counters SET n = n + 1 WHERE name = :name")
        conn.execute(add, {"name": first})
        conn.execute(text("SELECT pg_sleep(0.05)"))
        conn.execute(add, {"name": second})

    await asyncio.gather(
        postgres_store.write(lambda conn: add_in_order(conn, "a", "b")),
        other.write(lambda conn: add_in_order(conn, "b", "a")),
    )
    await other.stop()
    assert await postgres_store.read(scratch.count_of) == 2


async def test_a_row_locked_by_another_process_is_waited_for(postgres_store: PostgresStore, postgres_url: URL) -> None:
    other = PostgresStore(postgres_url)
    await other.start()
    locked = asyncio.Event()

    def hold(conn: Connection) -> None:
        scratch.read_then_add(conn)
        locked.set()
        conn.execute(text("SELECT pg_sleep(0.4)"))

    holding = asyncio.create_task(other.write(hold))
    await locked.wait()
    await asyncio.gather(postgres_store.write(scratch.note("beside")), postgres_store.write(scratch.read_then_add))
    await holding
    await other.stop()
    assert await postgres_store.read(scratch.count_of) == 2


async def test_two_stores_on_one_database_add_up(postgres_store: PostgresStore, postgres_url: URL) -> None:
    other = PostgresStore(postgres_url, writers=2)
    await other.start()
    stores = [postgres_store, other]
    await asyncio.gather(*[stores[number % 2].write(scratch.read_then_add) for number in range(200)])
    await other.stop()
    assert await postgres_store.read(scratch.count_of) == 200


async def test_a_server_that_does_not_answer_is_unavailable(postgres_url: URL) -> None:
    nowhere = URL.create("postgresql", "agent", "hunter2", "127.0.0.1", 1, "agent")
    with pytest.raises(StoreUnavailable) as refusal:
        await PostgresStore(nowhere).start()
    assert "hunter2" not in str(refusal.value)
    with pytest.raises(StoreUnavailable):
        await PostgresStore(postgres_url.set(database="no_such_database")).start()


async def test_a_full_queue_refuses_at_once(postgres_url: URL) -> None:
    store = PostgresStore(postgres_url, waiting_max=3)
    await store.start()
    writes = [store.write(scratch.note(str(number))) for number in range(5)]
    answers = await asyncio.gather(*writes, return_exceptions=True)
    assert answers[:3] == ["0", "1", "2"]
    assert all(isinstance(answer, StoreUnavailable) for answer in answers[3:])
    await store.stop()


def test_a_loop_that_ends_without_stop_leaves_nobody_waiting(postgres_url: URL) -> None:
    async def abandon() -> None:
        store = PostgresStore(postgres_url)
        await store.start()
        for number in range(100):
            asyncio.ensure_future(store.write(scratch.note(str(number))))  # noqa: RUF006 - abandoned on purpose
        await asyncio.sleep(0)

    asyncio.run(asyncio.wait_for(abandon(), 60))


async def test_an_append_does_not_wait_for_the_writes(postgres_store: PostgresStore) -> None:
    writing = asyncio.create_task(postgres_store.write(lambda conn: conn.execute(text("SELECT pg_sleep(1)")) and None))
    await asyncio.sleep(0)
    assert await postgres_store.append(scratch.note("beside")) == "beside"
    assert not writing.done()
    await writing


async def test_a_connection_lost_in_an_append_is_unavailable_and_the_next_append_works(
    postgres_store: PostgresStore,
) -> None:
    await postgres_store.write(cut_connections_in_commit)
    with pytest.raises(StoreUnavailable):
        await postgres_store.append(scratch.note("doubtful"))
    await postgres_store.write(lambda conn: conn.execute(text("DROP TRIGGER cut ON scratch_notes")) and None)
    assert await postgres_store.append(scratch.note("after")) == "after"
    assert await postgres_store.read(scratch.note_ids) == {"after"}
