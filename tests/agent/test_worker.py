"""How a worker goes from one step to the next."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

import pytest
from sqlalchemy import Connection, select

from agent.waking_store import WakingStore
from agent.worker import Lane, Step, Worker
from domain.errors import Retryable
from domain.outcomes import Again, Commit, Done, Outcome, Refused, nothing
from ports.virtual import SeededIds
from storage import work
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs
from storage.work import Claim
from tests.agent.test_leases import MONDAY, PAY, Ends, HandClock

STEPS = 5
JOBS = 9
WIDTH = 2
TRIES = 3
FAILS = Retryable("no answer")
WAITS = Again(timedelta(0), "not yet")
REFUSED = Refused("no", "for good")

T = TypeVar("T")


class ChainStep:
    """Each leaves the next one behind it, until there were `STEPS`."""

    async def run(self, claim: Claim) -> Outcome:
        following = int(claim.subject) + 1
        return Done(lambda conn: work.enqueue(conn, PAY, following, MONDAY)) if following < STEPS else Done()

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


class CrowdStep:
    """Counts how many of it run at once; the first goes on by itself, the others together."""

    def __init__(self) -> None:
        self.first, self.others = asyncio.Event(), asyncio.Event()
        self.running = self.most = 0

    async def run(self, claim: Claim) -> Outcome:
        self.running += 1
        self.most = max(self.most, self.running)
        await (self.others if int(claim.subject) else self.first).wait()
        self.running -= 1
        return Done()

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


class ScriptedStep:
    """Ends as the script says, run by run; each with its way to end, and whether the row is called for meanwhile."""

    def __init__(self, store: Store, *script: tuple[Outcome | Exception, bool]) -> None:
        self._store, self._script = store, list(script)

    async def run(self, claim: Claim) -> Outcome:
        end, is_woken = self._script.pop(0)
        if is_woken:
            await self._store.write(lambda conn: work.revive(conn, PAY, claim.subject, MONDAY))
        if isinstance(end, Exception):
            raise end
        return end

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        return nothing


class GatedStore(WakingStore):
    """Its writes wait at a gate while it is closed."""

    def __init__(self, store: Store) -> None:
        super().__init__(store, lambda: None)
        self.open = asyncio.Event()
        self.open.set()
        self.under_way = 0

    async def write(self, fn: Callable[[Connection], T]) -> T:
        self.under_way += 1
        try:
            await self.open.wait()
            return await super().write(fn)
        finally:
            self.under_way -= 1


class SetClock(HandClock):
    """Set by hand, while the time that passes does not depend on it."""

    def monotonic(self) -> float:
        return 0.0


@asynccontextmanager
async def working(store: Store, step: Step, clock: HandClock | None = None) -> AsyncIterator[tuple[Worker, Ends]]:
    ends = Ends()
    lane = Lane("pay", Queue(jobs, frozenset({PAY})), WIDTH)
    worker = Worker(
        store,
        clock or HandClock(),
        SeededIds(random.Random(1)),
        {PAY: step},
        [lane],
        ends,
        retries_max=TRIES,
        retry_base=timedelta(0),
    )
    task = asyncio.create_task(worker.run())
    try:
        yield worker, ends
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def until(is_so: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not is_so():
            await asyncio.sleep(0)


async def test_what_a_step_leaves_behind_is_claimed_in_the_transaction_that_settles_it(store: Store) -> None:
    commits: list[None] = []
    await store.write(lambda conn: work.enqueue(conn, PAY, 0, MONDAY))
    async with working(WakingStore(store, lambda: commits.append(None)), ChainStep()) as (_, ends):
        await until(lambda: len(ends.heard) == STEPS)
    assert len(commits) == 1 + STEPS


async def test_what_was_put_off_by_a_clock_that_is_set_back_is_due_at_the_next_look(store: Store) -> None:
    """The clock was ahead for less than a nudge's interval: no nudge tells of it."""
    clock = SetClock()
    step = ScriptedStep(store, (Again(timedelta(minutes=1), "not yet"), False), (Done(), False))
    async with working(store, step, clock) as (worker, ends):
        clock.time += timedelta(days=8)
        await store.write(lambda conn: work.enqueue(conn, PAY, 0, clock.time))
        worker.wake()
        await ends.until("again")
        clock.time -= timedelta(days=8)
        worker.wake()
        await ends.until("again", "done")


async def test_a_lane_is_never_wider_than_it_was_made_whoever_claims_for_it(store: Store) -> None:
    """Work comes in while a step is settled: two that look at once would count the same room."""
    step, gated = CrowdStep(), GatedStore(store)
    await store.write(lambda conn: work.enqueue(conn, PAY, 0, MONDAY))
    async with working(gated, step) as (worker, ends):
        await until(lambda: step.running == 1 and not gated.under_way)
        for number in range(1, JOBS):
            await store.write(partial(work.enqueue, kind=PAY, subject=number, now=MONDAY))
        gated.open.clear()
        step.first.set()
        await until(lambda: gated.under_way == 1)
        worker.wake()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        gated.open.set()
        await until(lambda: step.running > 0 and not gated.under_way)
        step.others.set()
        await until(lambda: ends.heard.count("done") == JOBS)
    assert step.most == WIDTH


async def played(store: Store, *script: tuple[Outcome | Exception, bool]) -> list[tuple[str, int]]:
    """State and attempts of what is left of a job whose step ends as the script says."""
    await store.write(lambda conn: work.enqueue(conn, PAY, 7, MONDAY))
    async with working(store, ScriptedStep(store, *script)) as (_, ends):
        await until(lambda: len(ends.heard) == len(script))
    asked = select(jobs.c.state, jobs.c.attempts)
    return [(row.state, row.attempts) for row in await store.read(lambda conn: conn.execute(asked).all())]


async def test_failures_use_up_the_attempts_only_where_nothing_went_well_between_them(store: Store) -> None:
    """A payout that waits for weeks meets twenty bad hours in the end."""
    run = [(FAILS, False)] * (TRIES - 1)
    left = await played(store, *run, (WAITS, False), *run, (WAITS, False), *run, (FAILS, False))
    assert left == [("parked", TRIES)]


@pytest.mark.parametrize("end", [REFUSED, FAILS], ids=["refused", "failed"])
async def test_what_is_called_for_while_it_is_given_up_is_looked_at_once_more(store: Store, end: Any) -> None:
    """A retry that a person asks for a moment later is heard; one that comes a moment earlier was not."""
    fails = [(FAILS, False)] * (TRIES - 1)
    assert await played(store, *fails, (end, True), (Done(), False)) == []


async def test_what_is_given_up_however_often_it_is_called_for_meanwhile_is_parked(store: Store) -> None:
    left = await played(store, *[(REFUSED, True)] * (TRIES + 1))
    assert left == [("parked", TRIES + 1)]
