"""Another server takes the database over: the worker ends the process, and whoever runs it starts it anew."""

import asyncio

import pytest

from agent import daemon
from storage import work
from storage.engines.postgres import PostgresStore
from storage.errors import StoreBroken, StoreReplaced
from tests.agent.test_leases import MONDAY, PAY, Ends, HandClock, PayStep, reached, worker_of
from tests.databases import running_server


async def test_a_worker_whose_database_another_server_has_taken_over_ends_and_is_started_anew() -> None:
    with running_server() as server:
        store = PostgresStore(await server.upgraded_database())
        await store.start()
        await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))
        step = PayStep(store, "first", paused=True)
        worker = worker_of(store, HandClock(), step, Ends())
        working = asyncio.create_task(worker.run())
        await reached(step)
        server.kill()
        server.replace_by(server.copy())
        await server.command("SELECT pg_promote()")
        worker.wake()
        with pytest.raises(ExceptionGroup) as ended:
            await asyncio.wait_for(working, 60)
        assert ended.value.subgroup(StoreReplaced) is not None
        assert daemon.report(ended.value) == 1
        await store.stop()


def test_a_database_that_lied_ends_it_for_good() -> None:
    assert daemon.report(ExceptionGroup("ended", [StoreBroken("the file is damaged")])) == daemon.STAY_DOWN
