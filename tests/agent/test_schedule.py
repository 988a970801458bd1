"""The recurring jobs: when they are asked for, in which zone, and that a nudge too many changes nothing."""

import asyncio
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import TypeVar

import pytest
from apscheduler.triggers.cron import CronTrigger
from sqlalchemy import Connection, Row, delete, select, update

from agent.schedule import EVENTS_SWEEP, NUDGES, WEEKLY_PLAN, Nudge, Schedule, build_scheduler
from domain.calendar import due_batch
from domain.states import WorkState
from ports.system import SystemClock
from storage import work
from storage.engines.inline import InlineStore
from storage.errors import StoreUnavailable
from storage.queues import Queue
from storage.store import Store
from storage.tables import jobs

T = TypeVar("T")
MONDAY = datetime(2026, 11, 23, 9, tzinfo=UTC)


class JumpingClock:
    """A sleep moves the time at once; at `until` it sleeps for ever. `lag` comes on top of every sleep."""

    def __init__(self, start: datetime, until: datetime, lag: timedelta = timedelta(0)) -> None:
        self.time, self.until, self.lag = start, until, lag
        self.over = asyncio.Event()

    def now(self) -> datetime:
        return self.time

    def monotonic(self) -> float:
        return self.time.timestamp()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(0)
        self.time += timedelta(seconds=seconds) + self.lag
        if self.time >= self.until:
            self.over.set()
            await asyncio.Event().wait()


def job_rows(conn: Connection) -> list[Row[tuple[str, str, str, datetime]]]:
    return list(conn.execute(select(jobs.c.kind, jobs.c.subject, jobs.c.state, jobs.c.due_at).order_by(jobs.c.kind)))


async def play(schedule: Schedule, clock: JumpingClock) -> None:
    task = asyncio.create_task(schedule.run_on_clock())
    async with asyncio.timeout(60):
        await clock.over.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_nudge_makes_one_job_and_wakes_the_worker(store: Store) -> None:
    woken: list[None] = []
    schedule = Schedule(store, SystemClock(), lambda: woken.append(None))
    for _ in range(3):
        await schedule.nudge(WEEKLY_PLAN)
    await schedule.nudge(EVENTS_SWEEP)
    rows = await store.read(job_rows)
    assert [(row.kind, row.subject, row.state) for row in rows] == [
        ("events_sweep", "stripe", WorkState.DUE),
        ("plan", "weekly", WorkState.DUE),
    ]
    assert len(woken) == 4


async def test_a_recurring_job_that_was_parked_during_an_outage_runs_again_with_the_next_nudge(
    inline_store: InlineStore,
) -> None:
    schedule = Schedule(inline_store, SystemClock(), lambda: None)
    await schedule.nudge(WEEKLY_PLAN)
    await inline_store.write(lambda conn: conn.execute(update(jobs).values(state=WorkState.PARKED)))
    await schedule.nudge(WEEKLY_PLAN)
    assert [row.state for row in await inline_store.read(job_rows)] == [WorkState.DUE]


async def test_a_nudge_during_a_run_lets_the_job_run_once_more(inline_store: InlineStore) -> None:
    clock = SystemClock()
    schedule = Schedule(inline_store, clock, lambda: None)
    await schedule.nudge(WEEKLY_PLAN)
    later = clock.now() + timedelta(seconds=1)
    (claimed,) = await inline_store.write(
        lambda conn: work.claim(conn, Queue(jobs, frozenset({"plan"})), 10, "worker", later, timedelta(minutes=2))
    )
    await schedule.nudge(WEEKLY_PLAN)
    await inline_store.write(lambda conn: work.finish(conn, claimed, later))
    assert len(await inline_store.read(job_rows)) == 1


class AwayStore(InlineStore):
    """A database that cannot be written to until it is back."""

    away = True

    async def write(self, fn: Callable[[Connection], T]) -> T:
        if self.away:
            raise StoreUnavailable("the disk is full")
        return await super().write(fn)


async def test_a_database_that_is_away_costs_one_nudge_and_not_the_schedule(sqlite_path: Path) -> None:
    store = AwayStore(sqlite_path, synchronous="OFF")
    await store.start()
    woken: list[None] = []
    schedule = Schedule(store, SystemClock(), lambda: woken.append(None))
    await schedule.nudge(WEEKLY_PLAN)
    assert woken == []
    store.away = False
    await schedule.nudge(WEEKLY_PLAN)
    assert len(await store.read(job_rows)) == 1
    await store.stop()


async def test_on_the_clock_every_monday_is_asked_for_at_nine_and_sweeps_come_hourly(inline_store: InlineStore) -> None:
    start = MONDAY - timedelta(days=3, hours=1, minutes=1, seconds=17)
    clock = JumpingClock(start, start + timedelta(days=11))
    asked: list[tuple[str, datetime]] = []
    schedule = Recorder(inline_store, clock, asked)
    await play(schedule, clock)
    plans = [moment for kind, moment in asked if kind == "plan"]
    sweeps = [moment for kind, moment in asked if kind == "events_sweep"]
    assert plans[0] == sweeps[0] == start
    assert {MONDAY + timedelta(weeks=n) for n in range(2)} <= set(plans)
    assert max(b - a for a, b in pairwise(plans)) <= WEEKLY_PLAN.every
    assert {b - a for a, b in pairwise(sweeps)} == {timedelta(hours=1)}


async def test_two_years_of_mondays_are_planned_at_nine_by_whoever_answers_the_nudges(
    inline_store: InlineStore,
) -> None:
    start = MONDAY - timedelta(days=3, seconds=17)
    clock = JumpingClock(start, start + timedelta(days=730))
    planned: list[datetime] = []
    at: list[datetime] = []

    def plan() -> None:
        due = due_batch(clock.now(), start, planned)
        if due is not None:
            planned.append(due)
            at.append(clock.now())

    daily = Nudge("plan", "weekly", timedelta(days=1), on_mondays=True)
    await play(Schedule(inline_store, clock, plan, (daily,)), clock)
    assert at == planned == [MONDAY + timedelta(weeks=n) for n in range(104)]


@pytest.mark.parametrize("late", [timedelta(seconds=1), timedelta(minutes=7), timedelta(days=2)])
async def test_a_daemon_that_was_down_at_nine_asks_as_soon_as_it_is_back(
    inline_store: InlineStore, late: timedelta
) -> None:
    clock = JumpingClock(MONDAY + late, MONDAY + late + timedelta(minutes=1))
    asked: list[tuple[str, datetime]] = []
    await play(Recorder(inline_store, clock, asked), clock)
    assert asked == [(nudge.kind, MONDAY + late) for nudge in NUDGES]


async def test_a_clock_that_is_set_back_silences_no_nudge(inline_store: InlineStore) -> None:
    clock = JumpingClock(MONDAY, MONDAY + timedelta(hours=2))
    asked: list[tuple[str, datetime]] = []

    def set_back_once() -> None:
        if len(asked) == 6:
            clock.time -= timedelta(days=400)
            clock.until = clock.time + timedelta(hours=2)

    await play(Recorder(inline_store, clock, asked, set_back_once), clock)
    past = [kind for kind, moment in asked if moment < MONDAY]
    assert past.count("plan") >= 23
    assert past.count("events_sweep") >= 2


async def test_apscheduler_waits_for_no_time_that_a_clock_set_back_has_put_off(inline_store: InlineStore) -> None:
    woken: list[None] = []
    schedule = Schedule(inline_store, SystemClock(), lambda: woken.append(None))
    scheduler = build_scheduler((WEEKLY_PLAN, EVENTS_SWEEP), schedule.nudge)
    scheduler.start()
    try:
        await schedule.after_set_back(scheduler)
        planned = {job.id: job.next_run_time for job in scheduler.get_jobs()}
        now = SystemClock().now()
        await inline_store.write(lambda conn: work.enqueue(conn, "mint", 1, now, now + timedelta(days=8)))
        for job in scheduler.get_jobs():
            job.modify(next_run_time=job.next_run_time + timedelta(days=8))
        await schedule.after_set_back(scheduler)
        rearmed = {job.id: job.next_run_time for job in scheduler.get_jobs()}
    finally:
        scheduler.shutdown(wait=False)
    assert len(planned) == 3
    assert all(rearmed[one] <= planned[one] for one in planned)
    assert [row.kind for row in await inline_store.read(job_rows) if row.due_at <= SystemClock().now()] == ["mint"]
    assert len(woken) == 1


async def test_what_a_clock_set_back_has_put_off_is_due_again_beside_the_nudges(inline_store: InlineStore) -> None:
    clock = JumpingClock(MONDAY, MONDAY + timedelta(hours=2))

    def set_back_once() -> None:
        if len(schedule.asked) == 6:
            clock.time -= timedelta(days=8)
            clock.until = clock.time + timedelta(hours=2)

    schedule = Keeper(inline_store, clock, set_back_once)
    await inline_store.write(lambda conn: work.enqueue(conn, "mint", 1, MONDAY))
    await play(schedule, clock)
    (due,) = [row.due_at for row in await inline_store.read(job_rows) if row.kind == "mint"]
    assert due < MONDAY - timedelta(days=7)


async def test_late_sleeps_only_delay(inline_store: InlineStore) -> None:
    clock = JumpingClock(MONDAY, MONDAY + timedelta(hours=5), lag=timedelta(minutes=3))
    asked: list[tuple[str, datetime]] = []
    await play(Recorder(inline_store, clock, asked), clock)
    plans = [moment for kind, moment in asked if kind == "plan"]
    assert len(plans) == len(set(plans)) >= 30


class Keeper(Schedule):
    """Notes which nudge came, and leaves the jobs."""

    def __init__(self, store: InlineStore, clock: JumpingClock, then: Callable[[], None]) -> None:
        super().__init__(store, clock, then)
        self.asked: list[str] = []

    async def nudge(self, nudge: Nudge) -> None:
        self.asked.append(nudge.kind)
        await super().nudge(nudge)


class Recorder(Schedule):
    """Notes which nudge came when; the jobs are taken away at once, as a worker would."""

    def __init__(
        self,
        store: InlineStore,
        clock: JumpingClock,
        asked: list[tuple[str, datetime]],
        then: Callable[[], None] = lambda: None,
    ) -> None:
        super().__init__(store, clock, then)
        self._asked = asked

    async def nudge(self, nudge: Nudge) -> None:
        self._asked.append((nudge.kind, self._clock.now()))
        await super().nudge(nudge)
        await self._store.write(lambda conn: conn.execute(delete(jobs)))


async def test_the_daemons_schedule_asks_at_its_start_and_ends_when_cancelled(store: Store) -> None:
    woken: asyncio.Queue[None] = asyncio.Queue()
    task = asyncio.create_task(Schedule(store, SystemClock(), lambda: woken.put_nowait(None)).run())
    async with asyncio.timeout(60):
        for _ in NUDGES:
            await woken.get()
    assert len(await store.read(job_rows)) == len(NUDGES)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_apscheduler_runs_the_nudges_it_is_given() -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    async def note(nudge: Nudge) -> None:
        seen.put_nowait(nudge.kind)

    scheduler = build_scheduler((Nudge("often", "x", timedelta(seconds=1)),), note)
    scheduler.start()
    try:
        async with asyncio.timeout(60):
            assert await seen.get() == "often"
    finally:
        scheduler.shutdown(wait=False)


async def test_no_nudge_is_dropped_for_being_late_none_doubled_and_none_local() -> None:
    async def nothing(_: Nudge) -> None: ...

    scheduler = build_scheduler(NUDGES, nothing)
    scheduler.start(paused=True)
    try:
        found = {job.id: job for job in scheduler.get_jobs()}
        assert found.keys() == {"plan:weekly:monday"} | {f"{nudge.kind}:{nudge.subject}" for nudge in NUDGES}
        for job in found.values():
            assert (job.misfire_grace_time, job.coalesce, job.max_instances) == (None, True, 1)
            assert job.trigger.timezone is UTC
        assert isinstance(found["plan:weekly:monday"].trigger, CronTrigger)
        assert found["plan:weekly"].trigger.interval == timedelta(minutes=5)
        assert found["events_sweep:stripe"].trigger.interval == timedelta(hours=1)
    finally:
        scheduler.shutdown(wait=False)


NEXT_TEN = """
import os, sys, time
from datetime import UTC, datetime
from agent.schedule import monday_trigger

for zone in sys.argv[1:]:
    os.environ["TZ"] = zone
    time.tzset()
    trigger, moment, before = monday_trigger(), datetime(2027, 3, 20, 12, tzinfo=UTC).astimezone(), None
    for _ in range(10):
        before = moment = trigger.get_next_fire_time(before, moment)
        print(moment.isoformat())
"""
"""From before the clocks change in Europe to after it, asked on machines in those zones."""


def test_the_next_ten_mondays_are_at_nine_utc_whatever_the_machines_zone() -> None:
    zones = ["Pacific/Kiritimati", "UTC", "Europe/Berlin", "America/New_York", "Nowhere/Unknown", ""]
    asked = subprocess.run(
        [sys.executable, "-c", NEXT_TEN, *zones],
        env={"TZ": "Asia/Kathmandu"},
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    mondays = [(datetime(2027, 3, 22, 9, tzinfo=UTC) + timedelta(weeks=n)).isoformat() for n in range(10)]
    assert asked.stdout.splitlines() == mondays * len(zones)
