"""Two workers on one database: each row is one's at a time, and who was paused past his lease writes nothing."""

import asyncio
import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import Connection, select

from agent.worker import LEASE, RETRY_MAX, Lane, Step, Worker
from domain.errors import OutcomeUnknown
from domain.outcomes import Commit, Done, Outcome, nothing
from ports.virtual import SeededIds
from storage import work
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs
from storage.work import Claim, LeaseLost, fenced

MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)
PAY, TRACE = "pay", "trace"
ALL = Queue(jobs)
JOBS = 60


class HandClock:
    """Moves by hand only. Nobody's lease is renewed: a worker that is paused renews none."""

    def __init__(self) -> None:
        self.time = MONDAY

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.Event().wait()


class Ends:
    """Hears how each run ended."""

    def __init__(self) -> None:
        self.heard: list[str] = []
        self.changed = asyncio.Event()

    def step_finished(self, kind: str, outcome: str, seconds: float) -> None:
        self.heard.append(outcome)
        self.changed.set()

    async def until(self, *outcomes: str) -> None:
        """So many runs have ended, and in these ways, whichever came first."""
        async with asyncio.timeout(60):
            while sorted(self.heard) != sorted(outcomes):
                self.changed.clear()
                await self.changed.wait()


class PayStep:
    """Leaves a trace when it commits. It can be paused in the middle, and commits an intent first if asked."""

    def __init__(self, store: Store, name: str, *, paused: bool = False, intends: bool = False) -> None:
        self._store, self._name, self._intends = store, name, intends
        self.reached, self._go_on = asyncio.Event(), asyncio.Event()
        if not paused:
            self._go_on.set()

    async def run(self, claim: Claim) -> Outcome:
        self.reached.set()
        await self._go_on.wait()
        if self._intends:
            await self._store.write(fenced(claim, lambda conn: leave(conn, f"{self._name} intends {claim.subject}")))
        return Done(lambda conn: leave(conn, f"{self._name} paid {claim.subject}"))

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing

    def go_on(self) -> None:
        self._go_on.set()


class UnknownStep:
    """Never hears what became of its call."""

    async def run(self, claim: Claim) -> Outcome:
        raise OutcomeUnknown("no answer")

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


def leave(conn: Connection, what: str) -> None:
    work.enqueue(conn, TRACE, what, MONDAY)


def traces(conn: Connection) -> list[str]:
    return sorted(conn.scalars(select(jobs.c.subject).where(jobs.c.kind == TRACE)))


@asynccontextmanager
async def working(store: Store, clock: HandClock, step: PayStep, seed: int) -> AsyncIterator[Ends]:
    """A worker of a process of its own."""
    ends = Ends()
    async with running(worker_of(store, clock, step, ends, seed)):
        yield ends


def worker_of(store: Store, clock: HandClock, step: Step, ends: Ends, seed: int = 1) -> Worker:
    lane = Lane("pay", Queue(jobs, frozenset({PAY})), 16)
    return Worker(store, clock, SeededIds(random.Random(seed)), {PAY: step}, [lane], ends, retries_max=3)


@asynccontextmanager
async def running(worker: Worker) -> AsyncIterator[None]:
    task = asyncio.create_task(worker.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def reached(step: PayStep) -> None:
    async with asyncio.timeout(60):
        await step.reached.wait()


@pytest.mark.parametrize("intends", [False, True], ids=["at its end", "before its call"])
async def test_a_worker_paused_past_its_lease_commits_nothing_and_the_other_one_pays(
    store: Store, intends: bool
) -> None:
    clock = HandClock()
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))
    slow, quick = PayStep(store, "slow", paused=True, intends=intends), PayStep(store, "quick")
    async with working(store, clock, slow, 1) as slow_ends:
        await reached(slow)
        clock.time += LEASE - timedelta(seconds=1)
        assert await store.write(lambda conn: work.claim(conn, ALL, 16, "quick", clock.now(), LEASE)) == []
        clock.time += timedelta(seconds=2)
        async with working(store, clock, quick, 3) as quick_ends:
            await quick_ends.until("done")
        slow.go_on()
        await slow_ends.until("lost")
    assert await store.read(traces) == ["quick paid 7"]


async def test_a_job_made_anew_under_the_same_id_is_no_prey_of_the_one_that_held_the_last(store: Store) -> None:
    clock = HandClock()
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))
    (old,) = await store.write(lambda conn: work.claim(conn, ALL, 1, "slow", clock.now(), LEASE))
    clock.time += 2 * LEASE

    def finish_and_ask_again(conn: Connection) -> Claim:
        (taken,) = work.claim(conn, ALL, 1, "quick", clock.now(), LEASE)
        work.hold(conn, taken)
        work.finish(conn, taken, clock.now())
        work.enqueue(conn, PAY, 7, clock.now())
        (new,) = work.claim(conn, ALL, 1, "quick", clock.now(), LEASE)
        return new

    new = await store.write(finish_and_ask_again)
    assert new.epoch == old.epoch, "the epochs meet again: only the row's birth tells them apart"
    with pytest.raises(LeaseLost):
        await store.write(fenced(old, lambda conn: leave(conn, "slow paid 7")))
    await store.write(lambda conn: work.renew(conn, [old], clock.now() + 10 * LEASE))
    kept = await store.read(lambda conn: conn.scalar(select(jobs.c.lease_until).where(jobs.c.id == new.id)))
    assert kept == clock.now() + LEASE
    await store.write(fenced(new, lambda conn: leave(conn, "quick paid 7")))
    assert await store.read(traces) == ["quick paid 7"]


async def test_a_worker_with_two_rows_of_one_id_and_epoch_in_hand_ends_both_and_goes_on(store: Store) -> None:
    """`simulate --faults pauses,two_workers`: SQLite gives a deleted job's id to the next, and the process ended."""
    clock, ends, step = HandClock(), Ends(), PayStep(store, "slow", paused=True)
    worker = worker_of(store, clock, step, ends)
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))

    def finish_elsewhere(conn: Connection) -> None:
        (taken,) = work.claim(conn, ALL, 1, "quick", clock.now(), LEASE)
        work.finish(conn, taken, clock.now())
        work.enqueue(conn, PAY, 8, clock.now())

    async with running(worker):
        await reached(step)
        step.reached.clear()
        clock.time += 2 * LEASE
        await store.write(finish_elsewhere)
        worker.wake()
        await reached(step)
        step.go_on()
        await ends.until("lost", "done")
        await store.write(lambda conn: work.enqueue(conn, PAY, 9, clock.now()))
        worker.wake()
        await ends.until("lost", "done", "done")
    assert await store.read(traces) == ["slow paid 8", "slow paid 9"]


async def test_what_stays_unknown_is_looked_up_ever_more_rarely_and_uses_up_no_attempt(store: Store) -> None:
    clock, ends = HandClock(), Ends()
    worker = worker_of(store, clock, UnknownStep(), ends)
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))
    waits = []
    async with running(worker):
        for times, passes in enumerate((timedelta(0), timedelta(minutes=10), timedelta(days=1)), start=1):
            clock.time += passes
            worker.wake()
            await ends.until(*["unknown"] * times)
            row = await store.read(lambda conn: conn.execute(select(jobs)).one())
            waits.append(row.due_at - clock.now())
    assert row.attempts == 0
    assert waits[0] <= timedelta(seconds=1)
    assert timedelta(minutes=2.5) <= waits[1] <= timedelta(minutes=5)
    assert RETRY_MAX / 2 <= waits[2] <= RETRY_MAX


async def test_what_became_unknown_late_is_looked_up_as_soon_as_what_did_at_once(store: Store) -> None:
    """A transfer that had waited a week for funds was looked up every quarter of an hour from its first lost answer."""
    clock, ends, waits = HandClock(), Ends(), []
    worker = worker_of(store, clock, UnknownStep(), ends)
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY - timedelta(days=7)))
    async with running(worker):
        for times, passes in enumerate((timedelta(0), timedelta(minutes=1)), start=1):
            clock.time += passes
            worker.wake()
            await ends.until(*["unknown"] * times)
            row = await store.read(lambda conn: conn.execute(select(jobs)).one())
            waits.append(row.due_at - clock.now())
    assert waits[0] <= timedelta(seconds=1)
    assert timedelta(seconds=15) <= waits[1] <= timedelta(seconds=30)


async def test_two_workers_at_once_run_each_job_once(store: Store) -> None:
    clock = HandClock()

    def ask(conn: Connection) -> None:
        for number in range(JOBS):
            work.enqueue(conn, PAY, number, MONDAY)

    await store.write(ask)
    one, other = PayStep(store, "paid by"), PayStep(store, "paid by")
    async with working(store, clock, one, 1) as first, working(store, clock, other, 2) as second:
        async with asyncio.timeout(60):
            while len(first.heard) + len(second.heard) < JOBS:
                await asyncio.sleep(0.01)
    assert first.heard + second.heard == ["done"] * JOBS
    assert len(await store.read(traces)) == JOBS
