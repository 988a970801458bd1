"""What a worker is told of what waits for it."""

from datetime import UTC, datetime, timedelta

from storage import work
from storage.queues import Due, Queue, next_due
from storage.store import Store
from storage.tables import jobs, stripe_events

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
SECOND, LEASE = timedelta(seconds=1), timedelta(seconds=30)
BOTH = Queue(jobs, frozenset({"pay", "trace"}))


def kind(name: str) -> Queue:
    return Queue(jobs, frozenset({name}))


async def test_a_worker_is_told_each_kind_that_is_ready_and_when_the_next_row_will_be(store: Store) -> None:
    async def waits(name: str, subject: int, due: timedelta) -> None:
        await store.write(lambda conn: work.enqueue(conn, name, subject, NOW, NOW + due))

    for number in range(3):
        await waits("pay", number, -10 * SECOND)
    await waits("trace", 0, -20 * SECOND)
    await waits("trace", 1, 60 * SECOND)
    await waits("pay", 9, 90 * SECOND)
    await waits("mint", 0, -99 * SECOND)
    asked = [BOTH, kind("trace"), kind("fee"), Queue(stripe_events)]
    both, trace, fee, events = await store.read(lambda conn: next_due(conn, asked, NOW))
    assert both == ([kind("trace"), kind("pay")], NOW - 20 * SECOND, NOW + 60 * SECOND)
    assert trace == ([kind("trace")], NOW - 20 * SECOND, NOW + 60 * SECOND)
    assert fee == events == ([], None, None)


async def test_where_all_that_is_due_is_leased_the_end_of_the_first_lease_is_told(store: Store) -> None:
    for number in range(2):
        await store.write(lambda conn, n=number: work.enqueue(conn, "pay", n, NOW, NOW - SECOND))  # type: ignore[misc]
    for holder, after in (("one", 0 * SECOND), ("two", 5 * SECOND)):
        taken = await store.write(lambda conn, h=holder, a=after: work.claim(conn, BOTH, 1, h, NOW + a, LEASE))  # type: ignore[misc]
        assert len(taken) == 1

    async def at(moment: datetime) -> Due:
        (due,) = await store.read(lambda conn: next_due(conn, [BOTH], moment))
        return due

    assert await at(NOW + 6 * SECOND) == ([], None, NOW + LEASE)
    assert await at(NOW + LEASE) == ([kind("pay")], NOW - SECOND, None)
