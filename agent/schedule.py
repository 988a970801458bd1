"""Makes the recurring jobs exist. A nudge only says "look now": what is due, the database decides.

So a nudge that comes twice, late or not at all (a daemon that was down at Monday 09:00) changes nothing: the weekly
plan is `domain.calendar.due_batch` over the batches that are stored, and a live job is not made twice.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import structlog
from apscheduler.job import Job
from apscheduler.schedulers.asyncio import AsyncIOScheduler
from apscheduler.triggers.cron import CronTrigger
from apscheduler.triggers.interval import IntervalTrigger

from domain.calendar import BATCH_HOUR_UTC, WEEK, next_batch_time
from ports.clock import Clock
from storage import work
from storage.errors import StoreUnavailable
from storage.operation.set_back import bring_back
from storage.store import Store

log = structlog.get_logger(__name__)

LOOK_SECONDS = 30.0
"""How often it is looked whether the clock was set back."""


@dataclass(frozen=True, slots=True)
class Nudge:
    """A job to be made at the start and then `every` so often; `on_mondays` also at each Monday 09:00 UTC."""

    kind: str
    subject: str
    every: timedelta
    on_mondays: bool = False


WEEKLY_PLAN = Nudge("plan", "weekly", timedelta(minutes=5), on_mondays=True)
"""Every few minutes beside the Monday: a clock that was set, or a nudge that met a busy database, costs minutes."""
EVENTS_SWEEP = Nudge("events_sweep", "stripe", timedelta(hours=1))
"""Events that Stripe could not deliver (product.md, section 4)."""
SEAL = Nudge("seal", "books", timedelta(minutes=15))
"""How long a booked row may wait for its seal."""
RECEIPTS = Nudge("receipts", "closing", timedelta(hours=6))
"""Receipts stand for months; what is closed a few hours late costs nothing."""
PRUNE = Nudge("prune", "sign_ins", timedelta(hours=6))
"""What ran out a month ago may stay a few hours longer."""
RECONCILE = Nudge("reconcile", "books", timedelta(hours=1))
"""Whether the day's report is due, the database decides (`domain.reconciliation.is_due`)."""
STRIPE_WATCH = Nudge("stripe_watch", "stripe", timedelta(hours=1))
NUDGES = (WEEKLY_PLAN, EVENTS_SWEEP, SEAL, RECEIPTS, PRUNE, RECONCILE, STRIPE_WATCH)
CONVERSION_LISTING = Nudge("conversion_listing", "circle_mint", timedelta(hours=1))
"""Only where Circle Mint converts: what somebody ordered in its console shows within the hour."""
BALANCE_WATCH = Nudge("balance_watch", "platform", timedelta(minutes=1))
"""Only where alerts go out directly: elsewhere Prometheus watches."""
REALTIME = Nudge("realtime", "payouts", timedelta(minutes=1))
"""What the passing of time makes payable: Stripe's money available, days of hold over, a new day's cap, a pause lifted.
Only in real time; a minted sale that is covered makes its plan due itself."""


def nudges(*, direct_alerts: bool, in_real_time: bool = False, converts: bool = False) -> tuple[Nudge, ...]:
    further = ((BALANCE_WATCH, direct_alerts), (REALTIME, in_real_time), (CONVERSION_LISTING, converts))
    return (*NUDGES, *(nudge for nudge, wanted in further if wanted))


class Schedule:
    """Nudges until cancelled: by APScheduler in the daemon, by its clock alone where time is virtual."""

    def __init__(
        self, store: Store, clock: Clock, wake: Callable[[], None], nudges: tuple[Nudge, ...] = NUDGES
    ) -> None:
        self._store, self._clock, self._wake, self._nudges = store, clock, wake, nudges

    async def nudge(self, nudge: Nudge) -> None:
        """Make the job exist, due now, and wake the worker. A database that is away now is asked again next time.

        A recurring job that was parked (Stripe was away for hours) runs again with the next nudge.
        """
        now = self._clock.now()
        try:
            await self._store.write(lambda conn: work.revive(conn, nudge.kind, nudge.subject, now))
        except StoreUnavailable as error:
            log.warning("nudge not stored; the next one follows", job=nudge.kind, error=str(error))
            return
        self._wake()

    async def run(self) -> None:
        """On the system's clock."""
        for nudge in self._nudges:
            await self.nudge(nudge)
        scheduler = build_scheduler(self._nudges, self.nudge)
        scheduler.start()
        try:
            while True:
                await self._clock.sleep(LOOK_SECONDS)
                await self.after_set_back(scheduler)
        finally:
            scheduler.shutdown(wait=False)

    async def after_set_back(self, scheduler: AsyncIOScheduler) -> None:
        """The scheduler would wait until the clock is where it was: what it has put off further than ever runs now."""
        now = self._clock.now()
        late = [job for job in scheduler.get_jobs() if job.next_run_time > now + _interval(job)]
        if late and await self._bring_back(now):
            for job in late:
                job.modify(next_run_time=now)

    async def _bring_back(self, now: datetime) -> bool:
        """And so does what the database holds. False where it can't be used."""
        try:
            brought = await self._store.write(lambda conn: bring_back(conn, now))
        except StoreUnavailable as error:
            log.warning("the clock was set back, and what waits not brought back", error=str(error))
            return False
        if brought:
            log.warning("the clock was set back: what was put off by the one before is due", rows=brought)
            self._wake()
        return True

    async def run_on_clock(self) -> None:
        """On the clock port: the same nudges at the same times, whatever time that is."""
        due = dict.fromkeys(self._nudges, self._clock.now())
        longest = min(nudge.every for nudge in self._nudges)
        while True:
            now = self._clock.now()
            if any(moment > now + nudge.every for nudge, moment in due.items()):
                await self._bring_back(now)
            for nudge, moment in due.items():
                if moment <= now or moment > now + nudge.every:  # the latter after the clock was set back
                    await self.nudge(nudge)
                    due[nudge] = _next(nudge, now)
            wait = min(min(due.values()) - self._clock.now(), longest)
            await self._clock.sleep(max(0.0, wait.total_seconds()))


def build_scheduler(nudges: tuple[Nudge, ...], run: Callable[[Nudge], Awaitable[None]]) -> AsyncIOScheduler:
    """APScheduler with a job for each nudge's interval and Monday; not started.

    A late nudge still runs (`misfire_grace_time=None`), several missed ones run once (`coalesce`), none runs beside
    itself.
    """
    defaults = {"misfire_grace_time": None, "coalesce": True, "max_instances": 1}
    scheduler = AsyncIOScheduler(timezone=UTC, job_defaults=defaults)
    for nudge in nudges:
        every = IntervalTrigger(seconds=int(nudge.every.total_seconds()), timezone=UTC)
        scheduler.add_job(run, every, args=[nudge], id=f"{nudge.kind}:{nudge.subject}")
        if nudge.on_mondays:
            scheduler.add_job(run, monday_trigger(), args=[nudge], id=f"{nudge.kind}:{nudge.subject}:monday")
    return scheduler


def monday_trigger() -> CronTrigger:
    """Mondays 09:00 UTC, whatever the machine's zone."""
    return CronTrigger(day_of_week="mon", hour=BATCH_HOUR_UTC, minute=0, second=0, timezone=UTC)


def _interval(job: Job) -> timedelta:
    return job.trigger.interval if isinstance(job.trigger, IntervalTrigger) else WEEK


def _next(nudge: Nudge, now: datetime) -> datetime:
    regular = now + nudge.every
    return min(regular, next_batch_time(now)) if nudge.on_mondays else regular
