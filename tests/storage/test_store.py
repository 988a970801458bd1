"""What `read` and `write` promise, on SQLite and on PostgreSQL alike."""

import asyncio
from collections.abc import Callable

import pytest
from sqlalchemy import Connection, insert, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from storage.errors import SpoiledTransaction, StoreUnavailable
from storage.store import Store
from tests.storage import scratch


@pytest.fixture(autouse=True)
async def scratch_tables(store: Store) -> None:
    await store.write(scratch.create)


async def test_four_hundred_increments_at_once_add_up(store: Store) -> None:
    await asyncio.gather(*[store.write(scratch.read_then_add) for _ in range(400)])
    assert await store.read(scratch.count_of) == 400


async def test_each_write_gets_its_own_answer(store: Store) -> None:
    wanted = [f"note-{number}" for number in range(300)]
    assert await asyncio.gather(*[store.write(scratch.note(identity)) for identity in wanted]) == wanted
    assert await store.read(scratch.note_ids) == set(wanted)


@pytest.mark.parametrize("failing", [1, 2, 5])
async def test_failing_members_are_answered_alone_and_spoil_nothing(store: Store, failing: int) -> None:
    def refuse(conn: Connection) -> None:
        conn.execute(scratch.notes.insert().values(id="half done"))
        raise LookupError("sold out")

    writes: list[Callable[[Connection], object]] = [scratch.note(str(number)) for number in range(20)]
    for position in range(failing):
        writes.insert(position * 4, refuse)
    answers = await asyncio.gather(*[store.write(fn) for fn in writes], return_exceptions=True)
    assert [type(answer) for answer in answers if not isinstance(answer, str)] == [LookupError] * failing
    assert await store.read(scratch.note_ids) == {str(number) for number in range(20)}


async def test_fifty_inserts_of_one_unique_id_leave_one_row(store: Store) -> None:
    answers = await asyncio.gather(*[store.write(scratch.note("evt_1")) for _ in range(50)], return_exceptions=True)
    assert answers.count("evt_1") == 1
    assert sum(isinstance(answer, IntegrityError) for answer in answers) == 49
    assert await store.read(scratch.note_count) == 1


async def test_a_cancelled_write_is_finished_when_its_caller_hears_of_it(store: Store) -> None:
    tasks = [asyncio.create_task(store.write(scratch.note(str(number)))) for number in range(300)]
    for number, task in enumerate(tasks):
        if number % 10 == 0:
            await asyncio.sleep(0)
        task.cancel()
    cancelled = await asyncio.gather(*tasks, return_exceptions=True)
    before = await store.read(scratch.note_ids)
    await store.write(scratch.note("last"))
    assert await store.read(scratch.note_ids) == before | {"last"}  # nothing arrived later
    started = {str(number) for number, answer in enumerate(cancelled) if isinstance(answer, str)}
    assert started <= before


async def test_a_cancelled_write_that_was_handed_over_is_committed(store: Store) -> None:
    task = asyncio.create_task(store.write(scratch.note("kept")))
    await asyncio.sleep(0)
    task.cancel()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert await store.read(scratch.note_ids) == {"kept"}


async def test_a_read_does_not_see_what_is_not_committed(store: Store) -> None:
    seen: list[asyncio.Task[int]] = []
    loop = asyncio.get_running_loop()

    def slow(conn: Connection) -> None:
        conn.execute(scratch.notes.insert().values(id="pending"))
        loop.call_soon_threadsafe(lambda: seen.append(loop.create_task(store.read(scratch.note_count))))
        burn(conn)

    await store.write(slow)
    assert len(seen) == 1
    first_view = await seen[0]
    assert first_view == 0
    assert await store.read(scratch.note_count) == 1


def burn(conn: Connection) -> None:
    """Keep the transaction open for a moment, inside the database."""
    if conn.dialect.name == "postgresql":
        conn.execute(text("SELECT pg_sleep(0.3)"))
    else:
        numbers = "WITH RECURSIVE c(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM c WHERE n < 3000000)"
        conn.execute(text(f"{numbers} SELECT count(*) FROM c"))


async def test_a_read_has_one_view_while_writes_go_on(store: Store) -> None:
    def look_twice(conn: Connection) -> tuple[int, int]:
        first = scratch.note_count(conn)
        burn(conn)
        return first, scratch.note_count(conn)

    looking = asyncio.create_task(store.read(look_twice))
    for number in range(30):
        await store.write(scratch.note(str(number)))
    first, second = await looking
    assert first == second


async def test_a_read_cannot_write(store: Store) -> None:
    with pytest.raises(DBAPIError):
        await store.read(scratch.note("x"))
    assert await store.read(scratch.note_count) == 0


async def test_a_database_error_may_be_caught_inside_a_savepoint(store: Store) -> None:
    await store.write(scratch.note("one"))

    def insert_or_keep(conn: Connection) -> str:
        try:
            with conn.begin_nested():
                conn.execute(insert(scratch.notes).values(id="one"))
        except IntegrityError:
            conn.execute(insert(scratch.notes).values(id="two"))
            return "kept"
        return "inserted"

    answers = await asyncio.gather(store.write(scratch.note("zero")), store.write(insert_or_keep))
    assert tuple(answers) == ("zero", "kept")
    assert await store.read(scratch.note_ids) == {"zero", "one", "two"}


async def test_a_swallowed_database_error_is_never_answered_as_done(store: Store) -> None:
    await store.write(scratch.note("one"))

    def swallow(conn: Connection) -> str:
        try:
            conn.execute(insert(scratch.notes).values(id="one"))
        except IntegrityError:
            return "fine"
        return "inserted"

    writes = [scratch.note("two"), swallow, scratch.note("three")]
    answers = await asyncio.gather(*[store.write(fn) for fn in writes], return_exceptions=True)
    assert answers[0] == "two"
    assert isinstance(answers[1], SpoiledTransaction)
    assert answers[2] == "three"
    assert await store.read(scratch.note_ids) == {"one", "two", "three"}


async def test_stop_finishes_what_was_accepted_and_refuses_the_rest(store: Store) -> None:
    accepted = [asyncio.create_task(store.write(scratch.note(str(number)))) for number in range(100)]
    await asyncio.sleep(0)
    await store.stop()
    assert await asyncio.gather(*accepted) == [str(number) for number in range(100)]
    with pytest.raises(StoreUnavailable):
        await store.write(scratch.note("late"))
    with pytest.raises(StoreUnavailable):
        await store.read(scratch.note_count)
    assert not await store.healthy()
    await store.stop()
    await store.start()
    assert await store.read(scratch.note_count) == 100
    assert await store.healthy()


async def test_a_function_that_ends_an_iterator_does_not_hang_its_caller(store: Store) -> None:
    with pytest.raises(RuntimeError, match="StopIteration"):
        await asyncio.wait_for(store.write(lambda _: next(iter([]))), 60)


async def test_appends_at_once_are_answered_each_for_itself_and_kept(store: Store) -> None:
    twice = [str(number) for number in range(40)] * 2
    answers = await asyncio.gather(*[store.append(scratch.note(one)) for one in twice], return_exceptions=True)
    assert sorted(answer for answer in answers if isinstance(answer, str)) == sorted(set(twice))
    assert sum(isinstance(answer, IntegrityError) for answer in answers) == 40
    assert await store.read(scratch.note_ids) == set(twice)


async def test_an_append_that_was_accepted_is_kept_by_a_stop(store: Store) -> None:
    appending = asyncio.create_task(store.append(scratch.note("last")))
    await asyncio.sleep(0)
    await store.stop()
    assert await appending == "last"
    with pytest.raises(StoreUnavailable):
        await store.append(scratch.note("too late"))
    await store.start()
    assert await store.read(scratch.note_ids) == {"last"}
