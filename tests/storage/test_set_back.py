"""What a clock that was days ahead has put off is due once it is set right."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Row, select

from storage import work
from storage.operation.set_back import WAITS_MOST, bring_back
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs

NOW = datetime(2026, 11, 23, 9, tzinfo=UTC)
AHEAD = NOW + timedelta(days=8)
LEASE = timedelta(seconds=30)
SECOND = timedelta(seconds=1)


def rows(conn: Connection) -> dict[str, Row[Any]]:
    return {row.kind: row for row in conn.execute(select(jobs))}


async def test_work_that_was_made_due_by_a_clock_ahead_is_due_and_what_waits_by_itself_still_waits(
    store: Store,
) -> None:
    def wait(conn: Connection) -> None:
        work.enqueue(conn, "mint", 1, AHEAD)
        work.enqueue(conn, "fee", 1, NOW, NOW + WAITS_MOST)
        work.enqueue(conn, "late", 1, NOW - SECOND)

    await store.write(wait)
    for brought in (1, 0):
        assert await store.write(lambda conn: bring_back(conn, NOW)) == brought
    found = await store.read(rows)
    assert {kind: row.due_at for kind, row in found.items()} == {
        "mint": NOW,
        "fee": NOW + WAITS_MOST,
        "late": NOW - SECOND,
    }


async def test_a_lease_by_a_clock_ahead_runs_out_and_whoever_still_works_keeps_his(store: Store) -> None:
    def claimed_ahead(conn: Connection) -> list[work.Claim]:
        work.enqueue(conn, "mint", 1, NOW)
        work.enqueue(conn, "transfer", 1, NOW)
        return work.claim(conn, Queue(jobs, frozenset({"mint", "transfer"})), 2, "ahead", AHEAD, LEASE)

    claims = {claim.kind: claim for claim in await store.write(claimed_ahead)}
    await store.write(lambda conn: bring_back(conn, NOW))
    await store.write(lambda conn: work.renew(conn, [claims["mint"]], NOW + LEASE))
    both = Queue(jobs, frozenset({"mint", "transfer"}))
    taken = await store.write(lambda conn: work.claim(conn, both, 2, "another", NOW + SECOND, LEASE))
    assert [claim.kind for claim in taken] == ["transfer"]
    await store.write(lambda conn: work.hold(conn, claims["mint"]))
