"""Claims due rows, runs their steps, and turns each outcome into the row's next state.

Rows are claimed lane by lane, so that one kind of work can't starve another. Everything a step writes at its end is
committed in the same transaction as the row's own next state, and only if the row's lease is still this worker's.
This is the one place that may catch every exception: whatever a step raises becomes a state that somebody can see.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from functools import partial
from typing import NamedTuple, Protocol

import structlog
from sqlalchemy import Connection

from agent.refusals import Refusals
from domain.errors import (
    AccessRefused,
    LedgerImbalance,
    Misuse,
    NotLookedUp,
    OutcomeUnknown,
    Rejected,
    Retryable,
)
from domain.foreign_text import kept
from domain.outcomes import Again, Commit, Done, Outcome, Refused, Unknown, nothing
from ports.clock import Clock
from ports.ids import Ids
from storage import queues, work
from storage.errors import StoreBroken, StoreUnavailable
from storage.operation.set_back import WAITS_MOST, bring_back
from storage.queues import Queue
from storage.store import Store
from storage.work import Claim, LeaseLost

log = structlog.get_logger(__name__)

LEASE = timedelta(seconds=30)
"""How long the rows of a replica that died stay untouched. A live one renews its leases, so a step may take longer."""
RENEW_SECONDS = 10.0
"""Two renewals may fail before a lease runs out."""
IDLE_SECONDS = 30.0
"""How long an idle worker waits for a wake-up before it looks for itself (design.md, section 1)."""
REFUSED_MOST_SECONDS = 8.0
"""Between looks while the database can't be used; it is seconds away, or somebody's night."""
RETRY_BASE = timedelta(seconds=1)
RETRY_MAX = timedelta(minutes=15)


class Step(Protocol):
    """Moves one row one step: load, decide, commit the intent, one foreign call, outcome.

    Running it again after a crash at any point must repair it. It may raise the errors of `domain.errors`.
    """

    async def run(self, claim: Claim) -> Outcome: ...

    def parked(self, claim: Claim, code: str, why: str) -> Commit:
        """What else changes when the row is left to a person; runs in the parking's transaction."""
        ...


class Observer(Protocol):
    """Told of each finished run, for metrics."""

    def step_finished(self, kind: str, outcome: str, seconds: float) -> None: ...


@dataclass(slots=True)
class Lane:
    """One queue's rows are worked on at most `width` at a time, while `is_open` says so."""

    name: str
    queue: Queue
    width: int
    is_open: Callable[[], bool] = lambda: True
    running: int = field(default=0)


class _Found(NamedTuple):
    """What a look has claimed, and in how many seconds to look again."""

    claimed: list[tuple[Lane, Claim]]
    seconds: float


class Worker:
    """`run` until cancelled. `wake` makes it look for due rows at once."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        ids: Ids,
        steps: Mapping[str, Step],
        lanes: Sequence[Lane],
        observer: Observer,
        retries_max: int,
        idle_seconds: float = IDLE_SECONDS,
        retry_base: timedelta = RETRY_BASE,
    ) -> None:
        """`idle_seconds`: how long an idle worker waits for a wake-up before it looks for itself."""
        self._store, self._clock, self._ids = store, clock, ids
        self._steps, self._lanes, self._observer = steps, lanes, observer
        self._retries_max, self._idle, self._retry_base = retries_max, timedelta(seconds=idle_seconds), retry_base
        self._holder = str(ids.uuid())
        self._wake = asyncio.Event()
        self._alarm: asyncio.TimerHandle | None = None
        self._looking = asyncio.Lock()
        """Held by whoever claims."""
        self._running: set[Claim] = set()
        self._busy = asyncio.Event()
        self._refused = 0
        """How often in a row the database could not be asked."""
        self._refusals = Refusals(clock)
        self._ahead = clock.now().timestamp() - clock.monotonic()
        """As the clock was at the last look: what it put off then, it put off by its own measure."""
        self._set_back = False

    def wake(self) -> None:
        self._wake.set()

    async def run(self) -> None:
        """Raises LedgerImbalance when a step found one, StoreBroken when the disk lies: the daemon stops."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_leases())
                self.wake()
                while True:
                    await self._wake.wait()
                    self._wake.clear()
                    await self._claim_due(group)
        finally:
            self._wake_in(None)

    async def _keep_leases(self) -> None:
        while True:
            await self._busy.wait()
            await self._clock.sleep(RENEW_SECONDS)
            running, until = list(self._running), self._clock.now() + LEASE
            if not running:
                self._busy.clear()
                continue
            try:
                await self._store.write(partial(work.renew, claims=running, until=until))
            except StoreBroken:
                raise
            except StoreUnavailable as error:
                log.warning("leases not renewed", error=str(error))

    def _wake_in(self, seconds: float | None) -> None:
        """In place of what was said before; None: never."""
        if self._alarm is not None:
            self._alarm.cancel()
        self._alarm = None if seconds is None else asyncio.get_running_loop().call_later(seconds, self.wake)

    async def _claim_due(self, group: asyncio.TaskGroup) -> None:
        """Claim what is due in every open lane, and start on it."""
        async with self._looking:
            wanted, now = self._wanted(), self._moment()
            try:
                found = await self._store.write(lambda conn: self._look(conn, wanted, now))
                self._refused = 0
                self._set_back = False
            except StoreBroken:
                raise
            except StoreUnavailable as error:
                found = _Found([], min(2.0**self._refused, REFUSED_MOST_SECONDS))
                self._refused += 1
                log.warning("database unavailable", error=str(error), times=self._refused)
            self._start(group, found)

    def _moment(self) -> datetime:
        """Now, for a look, which brings back what a clock that was set back since had put off by more than that: it may
        have been ahead for less than a nudge's interval, and then nothing else tells of it."""
        now = self._clock.now()
        ahead = now.timestamp() - self._clock.monotonic()
        if self._ahead - ahead > WAITS_MOST.total_seconds():
            self._set_back = True
            log.warning("the clock was set back: what it has put off is due", seconds=round(self._ahead - ahead))
        self._ahead = ahead
        return now

    def _wanted(self, leaving: Lane | None = None) -> list[tuple[Lane, int]]:
        """The lanes with room, and how much: with the place that a step of `leaving` is about to leave."""
        free = [(lane, lane.width - lane.running + (lane is leaving)) for lane in self._lanes if lane.is_open()]
        return [(lane, room) for lane, room in free if room > 0]

    def _look(self, conn: Connection, wanted: Sequence[tuple[Lane, int]], now: datetime) -> _Found:
        """The claims of all lanes in one transaction, and in how many seconds to look again: when the next row of a
        lane that has room left is due."""
        claimed: list[tuple[Lane, Claim]] = []
        moments: list[datetime | None] = []
        if self._set_back:
            bring_back(conn, now)
        due = queues.next_due(conn, [lane.queue for lane, _ in wanted], now)
        for (lane, room), waiting in zip(wanted, due, strict=True):
            claims: list[Claim] = []
            for queue in waiting.ready:
                if len(claims) < room:
                    claims += work.claim(conn, queue, room - len(claims), self._holder, now, LEASE)
            claimed += [(lane, claim) for claim in claims]
            if len(claims) < room:
                moments += (waiting.later, None if claims else waiting.since)
        next_one = min((moment for moment in moments if moment is not None), default=now + self._idle)
        return _Found(claimed, max(0.0, min(next_one - now, self._idle).total_seconds()))

    def _start(self, group: asyncio.TaskGroup, found: _Found) -> None:
        for lane, claim in found.claimed:
            lane.running += 1
            self._running.add(claim)
            self._busy.set()
            group.create_task(self._work(group, lane, claim))
        self._wake_in(found.seconds)

    async def _work(self, group: asyncio.TaskGroup, lane: Lane, claim: Claim) -> None:
        started = self._clock.monotonic()
        name = "lost"
        try:
            with structlog.contextvars.bound_contextvars(job=f"{claim.kind}:{claim.subject}"):
                outcome = await self._outcome(claim)
                await self._settle(group, lane, claim, outcome)
                name = type(outcome).__name__.lower()
        except LeaseLost as error:
            log.info("lease lost", error=str(error))
        except StoreBroken:
            raise
        except StoreUnavailable as error:
            log.warning("outcome not stored; the lease will run out", error=str(error))
        finally:
            lane.running -= 1
            self._running.remove(claim)
            self._observer.step_finished(claim.kind, name, self._clock.monotonic() - started)
            if name == "lost":
                self.wake()  # else the settling has looked

    async def _outcome(self, claim: Claim) -> Outcome:
        step = self._steps.get(claim.kind)
        if step is None:
            return Refused("unknown_kind", f"no step handles '{claim.kind}'")
        try:
            outcome = await step.run(claim)
            if self._refusals.is_over(claim):
                now = self._clock.now()
                await self._store.write(lambda conn: work.wake_refused(conn, claim, now))
            return outcome
        except (LeaseLost, StoreUnavailable, LedgerImbalance):
            raise
        except Exception as error:  # noqa: BLE001 (see the module's rule)
            return self._translate(claim, error)

    def _translate(self, claim: Claim, error: Exception) -> Outcome:
        match error:
            case OutcomeUnknown():
                log.warning("outcome unknown", error=str(error))
                return Unknown(self._until_looked_up(claim), str(error))
            case Retryable():
                return self._once_more(claim, error)
            case AccessRefused():
                after, why = self._refusals.wait(claim, error), f"{work.REFUSED_ACCESS}{error}"
                return Again(after, why) if claim.unknown_since is None else Unknown(after, why)
            case Rejected():
                return Refused(error.code, str(error))
            case Misuse():
                log.error("misuse", error=str(error))
                return Refused("misuse", str(error))
        log.exception("step failed")
        return Again(self._backoff(claim), f"{type(error).__name__}: {error}", counts=True)

    async def _settle(self, group: asyncio.TaskGroup, lane: Lane, claim: Claim, outcome: Outcome) -> None:
        try:
            await self._commit(group, lane, claim, outcome)
        except (LeaseLost, StoreUnavailable, LedgerImbalance):
            raise
        except Exception as error:  # noqa: BLE001 (see the module's rule)
            await self._commit(group, lane, claim, self._translate(claim, error))

    async def _commit(self, group: asyncio.TaskGroup, lane: Lane, claim: Claim, outcome: Outcome) -> None:
        """And claim in the same transaction what is due then: a commit less between a step and the next. Not while
        another look is under way, which counts the same room: a lane would get more than its width."""
        if self._looking.locked() or self._wake.is_set():
            await self._store.write(lambda conn: self._write(conn, claim, outcome))
            self.wake()
            return
        async with self._looking:
            wanted, now = self._wanted(leaving=lane), self._moment()

            def write(conn: Connection) -> _Found:
                self._write(conn, claim, outcome)
                return self._look(conn, wanted, now)

            self._start(group, await self._store.write(write))
            self._set_back = False

    def _write(self, conn: Connection, claim: Claim, outcome: Outcome) -> None:
        """What becomes of the row comes first, for it fails when the lease is lost. What the commit makes due by the
        row's own name then runs once more."""
        now = self._clock.now()
        match outcome:
            case Done():
                work.finish(conn, claim, now)
            case Again(counts=True) if claim.attempts + 1 >= self._retries_max:
                self._park(conn, claim, "attempts_used_up", outcome.why, outcome.commit)
                return
            case Again():
                attempts = claim.attempts + 1 if outcome.counts else 0
                work.again(conn, claim, now + outcome.after, now, outcome.why, attempts)
            case Unknown():
                why = work.UNKNOWN_OUTCOME + outcome.why
                work.again(conn, claim, now + outcome.after, now, why, claim.attempts)
            case Refused():
                self._park(conn, claim, outcome.code, outcome.why, outcome.commit)
                return
        outcome.commit(conn)

    def _park(self, conn: Connection, claim: Claim, code: str, why: str, commit: Commit) -> None:
        """But look once more at what has come while it was worked on: a fact that would have moved it, or a person who
        asks for it, must not find it parked a moment later. That is an attempt too, so it ends."""
        work.hold(conn, claim)
        once_more = claim.attempts < self._retries_max and work.is_woken(conn, claim)
        commit(conn)
        if once_more:
            now = self._clock.now()
            work.again(conn, claim, now, now, why, claim.attempts + 1)
            return
        why = kept(why, work.WHY_CHARS)
        step = self._steps.get(claim.kind)
        (step.parked(claim, code, why) if step is not None else nothing)(conn)
        work.park(conn, claim, code, why)
        log.error("parked for a person", code=code, why=why)

    def _once_more(self, claim: Claim, error: Retryable) -> Outcome:
        """What may have happened is looked up for as long as that takes: its attempts only make the waits longer, and
        the last one is never used up."""
        asked = timedelta(seconds=error.retry_after_seconds or 0)
        if not isinstance(error, NotLookedUp):
            return Again(max(asked, self._backoff(claim)), str(error), counts=True)
        if claim.attempts + 1 >= self._retries_max:
            return Unknown(max(asked, self._until_looked_up(claim)), str(error))
        return Again(max(asked, self._backoff(claim)), f"{work.UNKNOWN_OUTCOME}{error}", counts=True)

    def _until_looked_up(self, claim: Claim) -> timedelta:
        """An unknown outcome uses up no attempt, so the attempts don't tell how often it was looked up: while it stays
        unknown, the wait grows with how long it is so, to the same 15 minutes."""
        first = self._backoff(claim)
        if not (claim.last_error or "").startswith(work.UNKNOWN_OUTCOME):
            return first
        half = min(RETRY_MAX, (self._clock.now() - (claim.unknown_since or claim.created_at)) / 2)
        return max(first, half * (0.5 + self._ids.jitter() / 2))

    def _backoff(self, claim: Claim) -> timedelta:
        """Doubling from the base to 15 minutes, spread over the upper half of the interval."""
        exponent = min(claim.attempts, 20)
        whole: timedelta = min(RETRY_MAX, self._retry_base * (1 << exponent))
        return whole * (0.5 + self._ids.jitter() / 2)
